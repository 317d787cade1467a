"""Witnesses: every new checkpoint goes to all that the policy names an address of, and what they answer is kept.

One task for each tenant and witness, so none waits for another, and nothing else waits for any. The newest checkpoint
is submitted, from the size that the witness last cosigned; a start submits it again, so that a log that was rolled back
or forked meanwhile is found before it grows. A witness that is away is told as such; one that holds another history
than ours raises an alarm (`alarms.py`).
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from random import SystemRandom
from typing import TYPE_CHECKING, Any

from engine.errors import MusterError, SetupError
from engine.publishing import keys, submission
from engine.publishing.alarms import Alarm, Alarms, Fork
from engine.publishing.checkpoints import Checkpoints
from engine.publishing.outside import contradicts
from engine.publishing.submission import Holds, Inconsistent, Line, NoUse, Submission
from engine.runtime import Runtime
from engine.settings import Settings
from ledger import instants
from ledger.errors import LedgerError
from ledger.model import JSON, Cosigned, StoredCheckpoint
from ledger.verifier.errors import Invalid
from ledger.verifier.note import Key, Note, Signature, opened, parse
from ledger.verifier.policy import Policy, Witness

if TYPE_CHECKING:
    import httpx

_POLL_SECONDS = 0.5
_SHOUT_SECONDS = 60.0
_BACKOFF_SECONDS = (1.0, 60.0)
_TRIES = 3
"""How often one submission begins again from another size: once is usual, more if somebody else submits beside us."""
_LOOKED_BACK = 1000
_log = logging.getLogger(__name__)


class _Forked(Exception):
    """A witness holds `holds` entries that ours do not go on from; a sentence."""

    def __init__(self, reason: str, holds: int) -> None:
        super().__init__(reason)
        self.holds = holds


@dataclass(slots=True, kw_only=True)
class Standing:
    """How a witness stands to a tenant's log: what it last cosigned and when, and what is wrong since."""

    tenant: str
    witness: Witness
    size: int = 0
    at: str | None = None
    error: str | None = None
    error_at: str | None = None
    failures: int = 0


@dataclass(slots=True)
class Witnesses:
    """A home's witnesses, for all tenants."""

    checkpoints: Checkpoints
    alarms: Alarms = field(init=False)
    policy: Policy | None = field(init=False)
    _standings: dict[tuple[str, str], Standing] = field(default_factory=dict)
    _submits: bool = False
    """Whether it is this worker that does; to the others of a service it leaves a file."""
    _shouted: float | None = None

    def __post_init__(self) -> None:
        """Read the policy; raises SetupError with every mistake and its line."""
        self.alarms = Alarms(self.checkpoints.writer)
        self.policy = read_policy(self.runtime.settings)

    @property
    def runtime(self) -> Runtime:
        return self.checkpoints.runtime

    def standings(self, tenant: str) -> list[Standing]:
        """Every witness of the policy, in the order of the file."""
        witnesses = self.policy.witnesses if self.policy else ()
        if self._submits:
            return [self._standing(tenant, witness) for witness in witnesses]
        told = self._told()
        return [
            Standing(tenant=tenant, witness=witness, **told[tenant, witness.key.name])
            if (tenant, witness.key.name) in told
            else self._stored(tenant, witness)
            for witness in witnesses
        ]

    def described(self, tenant: str) -> dict[str, JSON]:
        """Whether the policy is satisfied, and each witness; raises NotFound before the first checkpoint."""
        newest = self.checkpoints.newest(tenant)
        alarms = {alarm.witness: alarm for alarm in self.alarms.of(tenant)}
        told: list[JSON] = [_described(standing, alarms) for standing in self.standings(tenant)]
        return {
            "quorum": self.policy.quorum if self.policy else None,
            "size": newest.size,
            "satisfied": self._satisfied(newest),
            "satisfied_size": next((c.size for c in self._looked_back(tenant, 100) if self._satisfied(c)), None),
            "witnesses": told,
            "alarms": [alarm.described() for alarm in alarms.values()],
        }

    async def run(self) -> None:
        """Submit, and tell of alarms, for ever."""
        tasks: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._submits = True
        asked = any(witness.url is not None for witness in (self.policy.witnesses if self.policy else ()))
        async with submission.client() if asked else nullcontext() as client:
            try:
                while True:
                    if client is not None:
                        self._start(client, tasks)
                    self._shout()
                    await asyncio.sleep(_POLL_SECONDS)
            finally:
                for task in tasks.values():
                    task.cancel()
                await asyncio.gather(*tasks.values(), return_exceptions=True)

    def _start(self, client: httpx.AsyncClient, tasks: dict[tuple[str, str], asyncio.Task[None]]) -> None:
        """A task for each tenant and witness that has none; one that ended did so by a mistake of ours."""
        for tenant in self.runtime.tenants():
            for witness in self.policy.witnesses if self.policy else ():
                task = tasks.get((tenant, witness.key.name))
                if witness.url is None or (task is not None and not task.done()):
                    continue
                if task is not None and not task.cancelled():
                    _log.error(
                        "the task of witness %s ended, and begins again", witness.name, exc_info=task.exception()
                    )
                way = Submission(client=client, prefix=witness.url.rstrip("/"), key=witness.key)
                tasks[tenant, witness.key.name] = asyncio.create_task(self._follow(tenant, witness, way))

    def _shout(self) -> None:
        """What stands, at once and then every minute."""
        if self._shouted is None or time.monotonic() - self._shouted >= _SHOUT_SECONDS:
            try:
                self.alarms.shout()
            except LedgerError as exc:
                _log.error("whether an alarm of a fork stands cannot be read: %s", exc)
            self._shouted = time.monotonic()

    async def _follow(self, tenant: str, witness: Witness, way: Submission) -> None:
        """Keep one witness up with one log, for ever."""
        confirmed, failed = 0, 0
        while True:
            try:
                standing = self._standing(tenant, witness)
                stored = await self.checkpoints.beyond(tenant, confirmed)
                confirmed = await self._submit(standing, stored, way)
                failed = 0
            except NoUse as exc:
                failed += 1
                self._failed(tenant, witness, str(exc))
            except (MusterError, LedgerError, OSError) as exc:
                failed += 1
                self._failed(tenant, witness, f"what it said could not be kept: {exc}")
            if failed:
                await asyncio.sleep(_backoff(failed))

    async def _submit(self, standing: Standing, stored: StoredCheckpoint, way: Submission) -> int:
        """One submission; the size that was cosigned. Raises NoUse, also after an alarm was raised."""
        try:
            line, stored = await self._cosignature(standing, stored, way)
        except _Forked as exc:
            if self.alarms.stands(standing.tenant, way.key.name):
                raise NoUse(str(exc)) from exc
            fork = await self._fork(standing.tenant, stored, way, exc)
            stands = await self.alarms.take(standing.tenant, way.key.name, fork)
            raise NoUse(fork.reason if stands else f"cleared, and still so: {fork.reason}") from exc
        await self._keep(standing, stored, line)
        return stored.size

    async def _cosignature(
        self, standing: Standing, stored: StoredCheckpoint, way: Submission
    ) -> tuple[Line, StoredCheckpoint]:
        """Ask, and begin again from the size that the witness says it holds; raises NoUse and _Forked."""
        tenant, old = standing.tenant, standing.size
        log = self._key(tenant)
        for _ in range(_TRIES):
            proof = self.checkpoints.consistency(tenant, old, stored.size)
            answer = await way.add(old, proof, stored.log_note, log)
            if isinstance(answer, Line):
                return answer, stored
            if isinstance(answer, Inconsistent):
                raise _Forked(_refuses(stored.size, old, answer), old)
            if answer.size == old:
                raise NoUse(f"it says that it holds {old} entries, and refuses what begins at {old}: it is broken")
            stored = await self._reaching(tenant, stored, answer)
            old = answer.size
        raise NoUse(f"what it holds moved {_TRIES} times meanwhile: does somebody else submit this log, with our key?")

    async def _reaching(self, tenant: str, stored: StoredCheckpoint, answer: Holds) -> StoredCheckpoint:
        """A checkpoint that is not behind what the witness holds; raises _Forked where our log is."""
        size = self.runtime.reader.head(tenant).size
        if answer.size > size:
            raise _Forked(f"it holds {answer.size} entries of this log, which has {size}: rolled back", answer.size)
        return stored if answer.size <= stored.size else await self.checkpoints.covering(tenant, answer.size)

    async def _keep(self, standing: Standing, stored: StoredCheckpoint, line: Line) -> None:
        """Store a cosignature, and put it into the outside copy; one for each witness and size is enough."""
        tenant, key = standing.tenant, standing.witness.key
        if not any(key.made(signature) for signature in parse(stored.note.encode()).signatures):
            cosigned = Cosigned(tenant=tenant, size=stored.size, lines=(line.text,))
            await asyncio.wrap_future(self.runtime.ledger.keep(cosigned))
            newest = self.runtime.reader.checkpoint(tenant)
            if newest is not None and newest.size == stored.size:  # no `await` since: nothing newer is overwritten
                self.runtime.outside.write(tenant, newest.note)
        standing.size, standing.at, standing.error, standing.error_at = stored.size, line.at, None, None
        self._tell()

    async def _fork(self, tenant: str, stored: StoredCheckpoint, way: Submission, exc: _Forked) -> Fork:
        """What is known of a fork, with the witness's checkpoint where that proves it to anybody."""
        theirs: str | None = None
        try:
            theirs = await asyncio.to_thread(self._proof, tenant, await way.held(self._key(tenant).name), way.key)
            proof = "its checkpoint, signed by this log's own key, proves it"
        except (NoUse, Invalid, MusterError, LedgerError) as missing:
            proof = f"it is its word alone: {missing}"
        return Fork(reason=f"{exc}; {proof}", holds=exc.holds, ours=stored.note, theirs=theirs)

    def _proof(self, tenant: str, data: bytes, witness: Key) -> str:
        """A witness's checkpoint, if a key of this log signed it and it is not of our history; raises Invalid."""
        reader = self.runtime.reader
        named = {self._key(tenant)}
        for entry in reader.of_kind(tenant, ["log.key"], 0, reader.head(tenant).size):
            named.add(keys.key_of(str(entry.value["vkey"])))
        wrong = Invalid("its checkpoint is not signed by this log")
        for key in named:
            try:
                said, note = opened(data, key)
            except Invalid as exc:
                wrong = exc
                continue
            if contradicts(reader, tenant, said) is None:
                raise Invalid(f"the checkpoint of {said.size} entries that it shows is one of ours")
            return _trimmed(note, key, witness)
        raise wrong

    def _failed(self, tenant: str, witness: Witness, error: str) -> None:
        standing = self._standing(tenant, witness)
        if standing.error != error:
            _log.warning("witness %s did not cosign the log of %s: %s", witness.key.name, tenant, error)
        standing.error, standing.error_at = error, instants.now_from(time.time_ns())
        standing.failures += 1
        self._tell()

    def _standing(self, tenant: str, witness: Witness) -> Standing:
        """What is known of a witness here, learned from the stored cosignatures where it is asked first."""
        if (tenant, witness.key.name) not in self._standings:
            self._standings[tenant, witness.key.name] = self._stored(tenant, witness)
        return self._standings[tenant, witness.key.name]

    def _stored(self, tenant: str, witness: Witness) -> Standing:
        """What the stored cosignatures say of a witness."""
        standing = Standing(tenant=tenant, witness=witness)
        for stored in self._looked_back(tenant, _LOOKED_BACK):
            when = _cosigned(stored, witness.key)
            if when is not None:
                standing.size, standing.at = stored.size, when
                break
        return standing

    def _tell(self) -> None:
        """Leave what is known of all witnesses to the other workers, if there are any."""
        shared = self.runtime.shared
        if shared is not None:
            rows = [[each.tenant, each.witness.key.name, _changing(each)] for each in self._standings.values()]
            made = shared.witnesses.with_suffix(".new")
            made.write_text(json.dumps(rows))
            made.replace(shared.witnesses)

    def _told(self) -> dict[tuple[str, str], dict[str, Any]]:
        """What the worker that submits has left; nothing where none has yet."""
        shared = self.runtime.shared
        try:
            rows = json.loads(shared.witnesses.read_bytes()) if shared is not None else ()
        except FileNotFoundError:
            rows = ()
        return {(tenant, name): known for tenant, name, known in rows}

    def _looked_back(self, tenant: str, most: int) -> Iterator[StoredCheckpoint]:
        """The newest checkpoints, read in short pages."""
        before, page = 1 << 62, 20
        for _ in range(0, most, page):
            found = self.runtime.reader.checkpoints(tenant, before, page)
            yield from found
            if len(found) < page:
                return
            before = found[-1].size

    def _satisfied(self, stored: StoredCheckpoint) -> bool | None:
        """None without a policy."""
        return self.policy.satisfied(parse(stored.note.encode())) if self.policy else None

    def _key(self, tenant: str) -> Key:
        key = self.checkpoints.key(tenant)
        assert key is not None, "a log with a checkpoint has its key"
        return key


def read_policy(settings: Settings) -> Policy | None:
    """The policy that is configured, if any; raises SetupError."""
    path = settings.log.witness_policy
    if path is None:
        return None
    try:
        policy = Policy.parse(path.read_bytes())
    except OSError as exc:
        raise SetupError(f"MUSTER_WITNESS_POLICY: {path} cannot be read: {exc.strerror}") from exc
    except Invalid as exc:
        raise SetupError(f"MUSTER_WITNESS_POLICY: {path}: {exc}") from exc
    names = [witness.key.name for witness in policy.witnesses]
    mistakes = [
        f"two witnesses are called {name} by their keys, so that nobody could tell their alarms apart"
        for name in sorted({name for name in names if names.count(name) > 1})
    ]
    mistakes += [mistake for witness in policy.witnesses for mistake in _address(witness)]
    if mistakes:
        raise SetupError(f"MUSTER_WITNESS_POLICY: {path}: " + "; ".join(mistakes))
    return policy


def _address(witness: Witness) -> Iterator[str]:
    """What is wrong with a witness's URL."""
    if witness.url is None:
        return
    import httpx

    try:
        url = httpx.URL(witness.url)
    except httpx.InvalidURL as exc:
        yield f"witness {witness.name}: its URL cannot be read: {exc}"
        return
    if url.scheme not in ("http", "https") or not url.host or url.userinfo or url.query or url.fragment:
        yield f"witness {witness.name}: its URL is http(s)://HOST/PATH, its submission prefix, and nothing more"


def _refuses(size: int, old: int, answer: Inconsistent) -> str:
    return (
        f"it refuses the checkpoint of {size} entries, which it says does not go on from the {old} that it has "
        f"cosigned (422: {answer.said}): forked"
    )


def _cosigned(stored: StoredCheckpoint, key: Key) -> str | None:
    """When a key cosigned a stored checkpoint; what is stored was verified before."""
    for signature in parse(stored.note.encode()).signatures:
        if key.made(signature):
            return instants.from_ms(int.from_bytes(signature.body[:8]) * 1000)
    return None


def _trimmed(note: Note, *of: Key) -> str:
    """A note with the signatures of these keys alone: what else a witness wrote there has no place in our log."""
    lines = [s for s in note.signatures if any(key.made(s) for key in of)]
    return f"{note.text}\n" + "".join(f"{_line(signature)}\n" for signature in lines)


def _line(signature: Signature) -> str:
    return f"\u2014 {signature.name} {base64.b64encode(signature.key_id + signature.body).decode()}"


def _changing(standing: Standing) -> dict[str, JSON]:
    """What changes of a standing."""
    return {
        "size": standing.size,
        "at": standing.at,
        "error": standing.error,
        "error_at": standing.error_at,
        "failures": standing.failures,
    }


def _described(standing: Standing, alarms: dict[str, Alarm]) -> JSON:
    alarm = alarms.get(standing.witness.key.name)
    return {
        "name": standing.witness.key.name,
        "called": standing.witness.name,
        "vkey": standing.witness.key.vkey(),
        "url": standing.witness.url,
        **_changing(standing),
        "alarm": alarm.described() if alarm else None,
    }


def _backoff(failed: int) -> float:
    """Seconds, doubled with each failure up to a cap, and spread, so that many logs do not come back together."""
    first, most = _BACKOFF_SECONDS
    return min(most, first * 2.0 ** min(failed - 1, 10)) * SystemRandom().uniform(0.5, 1.0)
