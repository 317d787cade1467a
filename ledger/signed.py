"""What was signed of a log, held against the log: checkpoints, the keys that the log names for them, and witnesses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from ledger.model import StoredCheckpoint
from ledger.store import Reader
from ledger.verifier import entries, note
from ledger.verifier.errors import Invalid
from ledger.verifier.log import LogCheck
from ledger.verifier.note import Checkpoint, Note
from ledger.verifier.policy import Policy
from ledger.verifier.tree import Tree

_FAR: Final = 2**62
_PAGE: Final = 256
_EMPTY: Final = Tree().root()


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """What the one who checks brings along: notes of earlier checkpoints by where they are from, and witnesses.

    `quorum` is the bytes of a C2SP tlog-policy that the newest checkpoint has to satisfy; `key` is the vkey that has to
    sign the log now, from a source that whoever checks trusts. `unread` says what of it could not be read. `offline` is
    that no service writes to the database meanwhile; `service` that one signs it, so that there have to be checkpoints.
    """

    known: tuple[tuple[str, bytes], ...] = ()
    quorum: bytes | None = field(default=None, repr=False)
    key: str | None = None
    unread: tuple[str, ...] = ()
    offline: bool = False
    service: bool = False


@dataclass(frozen=True, slots=True)
class Signed:
    """A checkpoint that has to agree with the log; `stored` is None for one that was kept elsewhere."""

    where: str
    stored: StoredCheckpoint | None
    said: Checkpoint
    note: Note


class SignedCheck:
    """Every checkpoint of a log, and those that were kept elsewhere."""

    def __init__(self, reader: Reader, tenant: str, trust: Trust, log: LogCheck) -> None:
        self.signed: list[Signed] = []
        self.wanted: list[int] = []
        """The sizes whose roots are needed and not yet taken, the smallest last."""
        self.roots: dict[int, bytes] = {}
        self.adjusted: list[int] = []
        """Where the clock was adjusted."""
        self.told: list[str] = []
        self._reader = reader
        self._tenant = tenant
        self._trust = trust
        self._log = log
        self._found = log.found

    def stop(self, start: int, end: int) -> int:
        """How far to read from `start` on, at most to `end`, so that a checkpoint's root can be taken."""
        return self.wanted[-1] if self.wanted and start < self.wanted[-1] < end else end

    def reached(self, size: int) -> None:
        """The log was read up to `size`: take its root where a checkpoint needs it."""
        while self.wanted and self.wanted[-1] <= size:
            wanted = self.wanted.pop()
            if wanted == size:
                self.roots[wanted] = self._log.root()

    def collect(self) -> None:
        """Read what was signed, and what was kept elsewhere."""
        before = _FAR
        while page := self._reader.checkpoints(self._tenant, before, _PAGE):
            for stored in page:
                self._collect(f"the checkpoint of {stored.size} entries", self._note(stored), stored)
            before = page[-1].size
        for fault in self._trust.unread:
            self._found(None, None, "checkpoint", fault)
        for where, data in self._trust.known:
            self._collect(where, data, None)
        for size in self._reader.loose_cosignatures(self._tenant):
            self._found(None, None, "checkpoint", f"that of {size} entries is gone, and its cosignatures are there")

    def order(self) -> None:
        """Put them in the order of the log, so that each root is taken on the way."""
        self.signed.sort(key=lambda signed: signed.said.size)
        self.wanted = sorted({signed.said.size for signed in self.signed} - {0}, reverse=True)

    def _note(self, stored: StoredCheckpoint) -> bytes:
        """A checkpoint's note, without those lines of its cosignatures that are none."""
        lines = ""
        for line in stored.cosignatures:
            try:
                note.parse_signature(line)
            except Invalid as exc:
                self._found(None, None, "checkpoint", f"the checkpoint of {stored.size} entries, a cosignature: {exc}")
            else:
                lines += f"{line}\n"
        return (stored.log_note + lines).encode()

    def _collect(self, where: str, data: bytes, stored: StoredCheckpoint | None) -> None:
        try:
            parsed = note.parse(data)
            self.signed.append(Signed(where, stored, note.parse_checkpoint(parsed.text), parsed))
        except Invalid as exc:
            self._found(None, None, "checkpoint", f"{where}: {exc}")

    def compare(self, size: int) -> None:
        """Hold all of them against the log, which was read up to `size`."""
        held = {signed.said.size for signed in self.signed if signed.stored is not None}
        for signed in self.signed:
            for wrong in self._contradictions(signed, size, held):
                self._found(None, None, "checkpoint", f"{signed.where}: {wrong}")
        self._instants()
        held_key = self._log.keys.newest
        if self._trust.service and held_key is not None and self._reader.checkpoint(self._tenant) is None:
            self._found(
                None, None, "checkpoint", "the log names the key that signs it, and there is no checkpoint at all"
            )
        if self._trust.key is not None and (held_key is None or held_key.vkey() != self._trust.key):
            named = held_key.vkey() if held_key else "none"
            self._found(None, None, "key", f"the log is signed by {named}, not by the key that was given")
        if self._trust.quorum is not None:
            self._witnesses(self._trust.quorum)

    def _instants(self) -> None:
        """A checkpoint's instant is not signed; it may only lie before the one before where the clock was adjusted."""
        before: StoredCheckpoint | None = None
        for signed in self.signed:
            stored = signed.stored
            if stored is None:
                continue
            if not entries.is_instant(stored.at):
                self._found(None, None, "checkpoint", f"{signed.where}: its instant is none: {stored.at[:40]!r}")
                continue
            if (
                before is not None
                and stored.at < before.at
                and not any(index >= before.size for index in self.adjusted)  # it may be signed after what it lacks
            ):
                self._found(None, None, "checkpoint", f"{signed.where}: made before that of {before.size} entries")
            before = stored

    def _contradictions(self, signed: Signed, size: int, held: set[int]) -> Iterator[str]:
        said, stored = signed.said, signed.stored
        if stored is not None and stored.size != said.size:
            yield f"its row says {stored.size}, its note {said.size}"
        if said.size > size:
            yield f"the log has {size} entries and is behind it: entries were taken away (rolled back)"
        elif self.roots.get(said.size, _EMPTY if said.size == 0 else None) != said.root:
            yield f"the first {said.size} entries are not those that it was made of (changed or forked)"
        keys = self._log.keys.at(said.size) if stored is not None else self._log.keys.known()
        try:
            signers = note.verify(signed.note, keys)
        except Invalid as exc:
            yield str(exc)
            return
        names = {key.name for key in signers}
        if not signers or (stored is not None and keys[0] not in signers):
            named = keys[0].vkey() if keys else "none"
            yield f"it is not signed by the key that the log names for it ({named})"
        elif said.origin not in names:
            yield f"it is of {said.origin}, and signed by {', '.join(sorted(names))}"
        elif stored is None and said.size <= size and said.size not in held:
            yield "the log's own checkpoints lack it"

    def _witnesses(self, quorum: bytes) -> None:
        try:
            policy = Policy.parse(quorum)
        except Invalid as exc:
            self._found(None, None, "witness", f"the policy of witnesses: {exc}")
            return
        newest = None
        strangers: dict[tuple[str, bytes], str] = {}
        for signed in self.signed:
            if signed.stored is None:
                continue
            newest = signed
            for line in signed.note.signatures:
                if not any(key.made(line) for key in (*self._log.keys.known(), *(w.key for w in policy.witnesses))):
                    strangers.setdefault((line.name, line.key_id), signed.where)
            try:
                note.verify(signed.note, [witness.key for witness in policy.witnesses])
            except Invalid as exc:
                self._found(None, None, "witness", f"{signed.where}: {exc}")
        for (name, key_id), where in strangers.items():
            self.told.append(
                f"{where} has a line of an unknown witness, whom the policy lacks: {name} ({key_id.hex()})"
            )
        if newest is None or not _satisfied(policy, newest.note):
            where = newest.where if newest else "the log has no checkpoint"
            self._found(None, None, "witness", f"{where}: the quorum of the policy has not cosigned it")


def _satisfied(policy: Policy, signed: Note) -> bool:
    try:
        return policy.satisfied(signed)
    except Invalid:  # a line of a witness is wrong
        return False
