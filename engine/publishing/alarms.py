"""Alarms of a fork: raised once while they stand, seen everywhere, cleared by an admin with a reason.

An alarm is an entry of the log, and counts before it is one: while the ledger takes no entry it stands in memory and is
logged. What was cleared is raised again as soon as a witness holds anything else than what was cleared.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from engine.access.caller import itself
from engine.entries.writer import Once, Writer
from engine.errors import NotFound
from ledger.ids import uuid7
from ledger.model import JSON, Append, Changed, Draft, Entry
from ledger.store import Reader

_PREFIX = "alarm/"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fork:
    """What a witness holds that is not ours: its size as it says, and its checkpoint if the log's key signed it."""

    reason: str
    holds: int
    ours: str
    theirs: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """An alarm that stands. `entry` is None while the ledger could not take it."""

    tenant: str
    witness: str
    reason: str
    since: str | None
    entry: str | None

    def described(self) -> dict[str, JSON]:
        """As it is told everywhere."""
        return {
            "tenant": self.tenant,
            "witness": self.witness,
            "reason": self.reason,
            "since": self.since,
            "entry": self.entry,
        }

    def __str__(self) -> str:
        since = self.since or "now, and not yet recorded"
        return (
            f"FORK ALARM: {self.reason} (log of {self.tenant}, witness {self.witness}, since {since}). It stands "
            f"until an admin clears it with a reason: `muster ledger clear-alarm {self.witness} --reason`"
        )


def standing(reader: Reader, tenant: str) -> dict[str, Alarm]:
    """The alarms of a tenant that the log says stand, by witness: also of one that is in no policy any more."""
    found: dict[str, Alarm] = {}
    names = _names(reader, tenant)
    for name, (_, state) in reader.objects(tenant, names).items() if names else ():
        if isinstance(state, dict) and state.get("event") != "cleared":  # what is damaged is no clearance
            witness = name.removeprefix(_PREFIX)
            found[witness] = Alarm(
                tenant=tenant,
                witness=witness,
                reason=str(state.get("reason")),
                since=str(state.get("since")),
                entry=str(state.get("evidence")),
            )
    return found


def _names(reader: Reader, tenant: str) -> list[str]:
    names: list[str] = []
    while True:
        _, rows = reader.projected(tenant, "objects", (names[-1] if names else _PREFIX,))
        alarms = [str(row[0]) for row in rows if str(row[0]).startswith(_PREFIX)]
        names += alarms
        if not alarms or len(alarms) < len(rows):
            return names


@dataclass(slots=True)
class Alarms:
    """The alarms of a home. What stands is remembered until a commit moves an alarm, whichever worker made it."""

    writer: Writer
    _standing: dict[str, dict[str, Alarm]] = field(default_factory=dict)
    _moved: set[str] = field(default_factory=set)
    """The tenants whose alarms have to be read again; added to in the ledger's thread."""

    def __post_init__(self) -> None:
        self.writer.runtime.watch(self._changed, lambda: self._moved.update(self._standing))

    def _changed(self, changed: Changed) -> None:
        if any(name.startswith(_PREFIX) for name in changed.objects):
            self._moved.add(changed.tenant)

    def of(self, tenant: str) -> tuple[Alarm, ...]:
        """What stands for a tenant, by the witness's name."""
        known = self._known(tenant)
        return tuple(known[name] for name in sorted(known))

    def all(self) -> tuple[Alarm, ...]:
        """What stands for any tenant."""
        return tuple(alarm for tenant in self.writer.runtime.tenants() for alarm in self.of(tenant))

    def stands(self, tenant: str, witness: str) -> bool:
        """Whether an alarm of this witness stands, in the ledger."""
        alarm = self._known(tenant).get(witness)
        return alarm is not None and alarm.entry is not None

    def shout(self) -> None:
        """Log what stands, so that nobody can say it was not told."""
        for alarm in self.all():
            _log.critical("%s", alarm)

    async def take(self, tenant: str, witness: str, fork: Fork) -> bool:
        """Raise an alarm, unless one stands or an admin has cleared this very one; whether one stands now.

        Raises Unavailable where it could not be recorded; it stands all the same.
        """
        if self.stands(tenant, witness):
            return True
        name = f"{_PREFIX}{witness}"
        version, state = self.writer.runtime.reader.objects(tenant, [name])[name]
        if isinstance(state, dict) and self._cleared(tenant, str(state["evidence"]), fork):
            return False
        told = Alarm(tenant=tenant, witness=witness, reason=fork.reason, since=None, entry=None)
        self._known(tenant)[witness] = told
        _log.critical("%s", told)
        payload: dict[str, JSON] = {
            "event": "raised",
            "witness": witness,
            "reason": fork.reason,
            "holds": fork.holds,
            "ours": fork.ours,
            "theirs": fork.theirs,
            "by": itself(tenant).named(None),
        }
        draft = Draft(id=uuid7(), kind="alarm", payload=payload)
        await self.writer.runtime.append(Append(tenant=tenant, drafts=(draft,), reads=((name, version),)))
        self._refresh(tenant)
        return True

    async def clear(self, once: Once, witness: str, reason: str) -> Entry:
        """Say that an alarm is over; raises NotFound where none stands."""
        name, tenant = f"{_PREFIX}{witness}", once.caller.tenant
        by = self.writer.by(once.caller)

        async def build() -> Append:
            version, state = self.writer.runtime.reader.objects(tenant, [name])[name]
            if not isinstance(state, dict) or state["event"] == "cleared":
                raise NotFound(f"no alarm of the witness {witness} stands in the log of {tenant}")
            payload: dict[str, JSON] = {
                "event": "cleared",
                "witness": witness,
                "reason": reason,
                "raised": state["evidence"],
                "by": by,
            }
            draft = Draft(id=uuid7(), kind="alarm", payload=once.marked(payload))
            return Append(tenant=tenant, drafts=(draft,), reads=((name, version),))

        entry, _ = await self.writer.write(once, build)
        self._refresh(tenant)
        return entry

    def _known(self, tenant: str) -> dict[str, Alarm]:
        if tenant not in self._standing or tenant in self._moved:
            self._moved.discard(tenant)  # first: what moves while it is read is read again
            self._refresh(tenant)
        return self._standing[tenant]

    def _refresh(self, tenant: str) -> None:
        """What the log says, and what it could not be told yet."""
        known = standing(self.writer.runtime.reader, tenant)
        unrecorded = {w: a for w, a in self._standing.get(tenant, {}).items() if a.entry is None}
        self._standing[tenant] = unrecorded | known

    def _cleared(self, tenant: str, entry_id: str, fork: Fork) -> bool:
        """Whether what an admin cleared is what the witness still holds, and nothing more was found of it."""
        raised: Entry | None = None
        cleared = self.writer.runtime.reader.entry(tenant, entry_id)
        if cleared is not None and cleared.value["event"] == "cleared":
            raised = self.writer.runtime.reader.entry(tenant, str(cleared.value.get("raised")))
        before = raised.value if raised is not None else {}
        return before.get("holds") == fork.holds and fork.theirs in (None, before.get("theirs"))
