"""The check of a home's ledger: everything is computed again from stored rows, by the verifier's own path.

`ledger.verifier` shares no code with the writer but SHA-256 and canonical JSON; what is here reads the database and
holds every other table against what the entries say; a database whose tables are not the format's is not read at all.
Beside a live service it checks up to the size that it found at
its start; the projection, which moves, is compared chunk by chunk, each with the entries of the chunk's own snapshot.

What nobody can see from one database alone: a rollback, and a rewrite of the whole that was signed again. For those it
takes checkpoints that were kept elsewhere (`known`), and a policy of witnesses.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ledger.errors import Malformed, NotReady
from ledger.model import Head, Person, StoredCheckpoint
from ledger.sqlite import SqliteReader
from ledger.store import Part, RawRow, Reader, Row
from ledger.verifier import canonical, entries, note
from ledger.verifier.errors import Invalid
from ledger.verifier.finding import Finding, Report
from ledger.verifier.log import BLOCK, LogCheck
from ledger.verifier.note import Checkpoint, Note
from ledger.verifier.policy import Policy
from ledger.verifier.tree import Tree

__all__ = ["Finding", "Report", "Trust", "verify"]

_FAR: Final = 2**62
_PAGE: Final = 256
_IDS: Final = 4096
_EMPTY: Final = Tree().root()
_TRIES: Final = 3
_ADJUSTED: Final = b'"kind":"clock.adjusted"'


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


def verify(source: Path | Reader, tenant: str, trust: Trust | None = None) -> Report:
    """Check a tenant's whole log, from a database's path or a reader."""
    if not isinstance(source, Path):
        return _verify(source, tenant, trust or Trust())
    reader = SqliteReader(source)
    try:
        return _verify(reader, tenant, trust or Trust())
    finally:
        reader.close()


def _verify(reader: Reader, tenant: str, trust: Trust) -> Report:
    """Once; and again if somebody was erased meanwhile, since rows that were gone by then look like rows taken away."""
    for _ in range(_TRIES):
        check = _Verifier(reader, tenant, trust)
        report = check.run()
        if report.ok or not check.overtaken:
            break
    return report


@dataclass(frozen=True, slots=True)
class _Signed:
    """A checkpoint that has to agree with the log; `stored` is None for one that was kept elsewhere."""

    where: str
    stored: StoredCheckpoint | None
    said: Checkpoint
    note: Note


class _Verifier:
    def __init__(self, reader: Reader, tenant: str, trust: Trust) -> None:
        self._reader = reader
        self._tenant = tenant
        self._trust = trust
        self._log = LogCheck(tenant, lambda person: reader.key(tenant, Person(*person)))
        self._found = self._log.found
        self._signed: list[_Signed] = []
        self._wanted: list[int] = []
        self._roots: dict[int, bytes] = {}
        self._ids = 0
        self._adjusted: list[int] = []
        self._told: list[str] = []
        self.overtaken = False
        """Whether an `erasure` came behind the end that was found at the start."""

    def run(self) -> Report:
        size, root = 0, self._log.root()
        with self._noting():
            if self._database():
                with self._noting():
                    self._collect_checkpoints()
                self._order_checkpoints()
                head = self._head()
                size = self._reader.end(self._tenant) if head is None else head.size
                self._read_to(size)
                root = self._log.root()
                self._compare(head, size, root)
                self._tell(size)
                self._overtaken(size)
        findings = sorted(self._log.findings, key=lambda found: size if found.index is None else found.index)
        return Report(
            size=size,
            root=root,
            findings=tuple(findings),
            checkpoints=sum(signed.stored is not None for signed in self._signed),
            erased=len(self._log.erased),
            told=tuple(self._told),
        )

    @contextmanager
    def _noting(self) -> Iterator[None]:
        """What cannot be read ends one comparison, not the others."""
        try:
            yield
        except NotReady as exc:
            self._found(None, None, "storage", str(exc))

    def _compare(self, head: Head | None, size: int, root: bytes) -> None:
        """Every other table against the entries."""
        with self._noting():
            self._compare_nodes(self._log.tail())
        if head is not None:
            self._compare_head(head, root)
            with self._noting():
                self._outside()
        with self._noting():
            self._compare_ids(size)
        with self._noting():
            self._compare_checkpoints(size)
        for compare in (self._compare_people, self._compare_objects, self._compare_idempotency):
            with self._noting():
                compare()
        self._log.settle()

    def _overtaken(self, size: int) -> None:
        """Find out whether somebody was erased meanwhile; only what was found has to be doubted for it."""
        if self._log.findings:
            with suppress(Malformed, NotReady):  # it was said before that the head is damaged
                self._read_to(self._reader.head(self._tenant).size)
            self.overtaken = any(by >= size for by in self._log.erased.values())

    def _tell(self, size: int) -> None:
        signed = max((each.said.size for each in self._signed if each.stored is not None), default=0)
        if 0 < signed < size:
            behind = size - signed
            self._told.append(f"signed up to entry {signed - 1}; {behind} entries behind it are signed by nobody yet")
        elif signed < size:
            self._told.append(f"{size} entries are signed by nobody yet")
        if not self._trust.known:
            self._told.append(
                "no checkpoint from elsewhere was given: a rollback or a rewrite that was signed again cannot be seen"
            )

    # the database as such

    def _database(self) -> bool:
        """Whether it can be read as ours: a view in a table's place could answer anything, for ever.

        SQLite's own check of all pages, and a look at every row's tenant, are one read each, as long as the database is
        large: a live writer could not clear its log for so long. So beside a service they are left out, and damage
        shows by the comparisons alone: rows that no statement of ours comes upon, or that an index has and its table
        has not, are seen when the service is stopped.
        """
        whole = self._trust.offline
        readable, faults = self._reader.faults(whole=whole)
        for fault in faults:
            self._found(None, None, "storage", fault)
        if not readable:
            return False
        with self._noting():
            for stranger, tables in sorted(self._reader.strangers(whole=whole).items()):
                if stranger == self._tenant:
                    self._found(None, None, "head", f"the log has no head, and rows in {', '.join(tables)}")
                else:
                    detail = f"{', '.join(tables)}: rows of tenant {stranger!r}, of whom there is no head"
                    self._found(None, None, "storage", detail)
        return True

    # the log

    def _head(self) -> Head | None:
        """The head; None where there is none that can be read."""
        try:
            head = self._reader.head(self._tenant)
        except (Malformed, NotReady) as exc:
            self._found(None, None, "head", str(exc))
            return None
        return None if head.newest_at is None else head

    def _read_to(self, size: int) -> None:
        """Check entries up to `size`: block by block, with a stop wherever a checkpoint needs the root."""
        while self._log.size < size:
            start = self._log.size
            end = min(start - start % BLOCK + BLOCK, size)
            stop = next((wanted for wanted in self._wanted if start < wanted < end), end)
            rows = self._entries(start, stop)
            if not rows:  # a head that says too much must not be believed step by step
                following = next(self._reader.raw_entries(self._tenant, stop, size), None)
                self._log.missing_until(size if following is None else following.index)
                continue
            for row in rows:
                self._ids += hash(row[:2])
                if _ADJUSTED in row[2]:
                    self._adjusted.append(row[0])
            self._log.take(rows)
            self._log.missing_until(stop)
            while self._wanted and self._wanted[0] <= stop:
                wanted = self._wanted.pop(0)
                if wanted == stop:
                    self._roots[wanted] = self._log.root()
            with self._noting():
                self._compare_nodes()
            with self._noting():
                self._compare_keys()

    def _entries(self, start: int, stop: int) -> list[RawRow]:
        """The stored rows of a block; where it cannot be read, those that can, each other one a finding."""
        try:
            return self._reader.rows(self._tenant, start, stop)
        except NotReady:
            rows: list[RawRow] = []
            wrong: dict[int, str] = {}
            for index in range(start, stop):
                try:
                    rows += self._reader.rows(self._tenant, index, index + 1)
                except NotReady as exc:
                    wrong[index] = str(exc)
            if not rows or not wrong:  # no one entry is to blame
                raise
            for index, why in wrong.items():
                self._found(index, None, "storage", why)
            return rows

    def _compare_nodes(self, *more: tuple[int, int, list[bytes]]) -> None:
        """The tree's kept nodes, of whatever subtrees were completed."""
        for level, first, nodes in (*self._log.nodes, *more):
            kept = self._reader.hashes(self._tenant, level, first, first + len(nodes))
            if kept == nodes:
                continue
            pairs = enumerate(zip(nodes, kept, strict=False))
            wrong = next((n for n, (ours, theirs) in pairs if ours != theirs), len(kept))
            start = (first + min(wrong, len(nodes) - 1)) << 4 * level
            detail = f"the kept root of entries {start} to {start + (1 << 4 * level) - 1} is not theirs, or not there"
            self._found(start, None, "nodes", detail)
        self._log.nodes.clear()

    def _compare_keys(self) -> None:
        """What a lookup by idempotency key finds, of the entries just read."""
        for key, request, entry_id, index in self._log.idempotency:
            if self._reader.idempotent(self._tenant, key) != (request, entry_id):
                self._found(index, entry_id, "idempotency", "the lookup of its key finds something else")
        self._log.idempotency.clear()

    def _compare_ids(self, size: int) -> None:
        """Every ID leads to its index: the lookup has the same pairs as the rows, by one sum over each."""
        total, count, after = 0, 0, ""
        while page := self._reader.ids(self._tenant, after, _IDS):
            total += sum(hash((index, entry_id)) for entry_id, index in page if index < size)
            count += sum(index < size for _, index in page)
            after = page[-1][0]
        if (total, count) == (self._ids, size):
            return
        for raw in self._reader.raw_entries(self._tenant, 0, size):
            if self._reader.index_of(self._tenant, raw.id) != raw.index:
                self._found(raw.index, raw.id, "id", "another entry has this ID, or the lookup by ID is wrong")

    # what was signed

    def _collect_checkpoints(self) -> None:
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

    def _order_checkpoints(self) -> None:
        self._signed.sort(key=lambda signed: signed.said.size)
        self._wanted = sorted({signed.said.size for signed in self._signed} - {0})

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
            self._signed.append(_Signed(where, stored, note.parse_checkpoint(parsed.text), parsed))
        except Invalid as exc:
            self._found(None, None, "checkpoint", f"{where}: {exc}")

    def _compare_checkpoints(self, size: int) -> None:
        held = {signed.said.size for signed in self._signed if signed.stored is not None}
        for signed in self._signed:
            for wrong in self._contradictions(signed, size, held):
                self._found(None, None, "checkpoint", f"{signed.where}: {wrong}")
        self._compare_instants()
        held_key = self._log.keys.newest
        if self._trust.service and held_key is not None and self._reader.checkpoint(self._tenant) is None:
            self._found(
                None, None, "checkpoint", "the log names the key that signs it, and there is no checkpoint at all"
            )
        if self._trust.key is not None and (held_key is None or held_key.vkey() != self._trust.key):
            named = held_key.vkey() if held_key else "none"
            self._found(None, None, "key", f"the log is signed by {named}, not by the key that was given")
        if self._trust.quorum is not None:
            self._compare_witnesses(self._trust.quorum)

    def _compare_instants(self) -> None:
        """A checkpoint's instant is not signed; it may only lie before the one before where the clock was adjusted."""
        before: StoredCheckpoint | None = None
        for signed in self._signed:
            stored = signed.stored
            if stored is None:
                continue
            if not entries.is_instant(stored.at):
                self._found(None, None, "checkpoint", f"{signed.where}: its instant is none: {stored.at[:40]!r}")
                continue
            if (
                before is not None
                and stored.at < before.at
                and not any(before.size <= index < stored.size for index in self._adjusted)
            ):
                self._found(None, None, "checkpoint", f"{signed.where}: made before that of {before.size} entries")
            before = stored

    def _contradictions(self, signed: _Signed, size: int, held: set[int]) -> Iterator[str]:
        said, stored = signed.said, signed.stored
        if stored is not None and stored.size != said.size:
            yield f"its row says {stored.size}, its note {said.size}"
        if said.size > size:
            yield f"the log has {size} entries and is behind it: entries were taken away (rolled back)"
        elif self._roots.get(said.size, _EMPTY if said.size == 0 else None) != said.root:
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

    def _compare_witnesses(self, quorum: bytes) -> None:
        try:
            policy = Policy.parse(quorum)
        except Invalid as exc:
            self._found(None, None, "witness", f"the policy of witnesses: {exc}")
            return
        newest = None
        strangers: dict[tuple[str, bytes], str] = {}
        for signed in self._signed:
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
            self._told.append(
                f"{where} has a line of an unknown witness, whom the policy lacks: {name} ({key_id.hex()})"
            )
        if newest is None or not _satisfied(policy, newest.note):
            where = newest.where if newest else "the log has no checkpoint"
            self._found(None, None, "witness", f"{where}: the quorum of the policy has not cosigned it")

    # the projection

    def _compare_head(self, head: Head, root: bytes) -> None:
        if head.root != root:
            self._found(None, None, "root", f"the entries give {root.hex()}, the head says {head.root.hex()}")
        if head.newest_at != self._log.newest_at:
            self._found(None, None, "head", "the head's newest instant is not the newest entry's")
        if head.active_revision != self._log.facts.active_revision:
            self._found(None, None, "head", "the head's revision is not the one activated last")

    def _outside(self) -> None:
        """Rows before 0, or behind a head that was read after them."""
        for raw in self._reader.raw_entries(self._tenant, -_FAR, 0):
            self._found(raw.index, raw.id, "index", "the entry is before the first")
        for index in self._reader.loose_payloads(self._tenant):
            self._found(index, None, "payload", "there is a payload and no entry for it")
        for level, number in self._reader.odd_nodes(self._tenant):
            self._found(None, None, "nodes", f"a root of level {level}, number {number} is kept, which no log has")
        for level in range(1, 16):
            beyond = self._log.size >> 4 * level
            surplus = len(self._reader.hashes(self._tenant, level, beyond, _FAR))
            if surplus > (self._reader.head(self._tenant).size >> 4 * level) - beyond:
                self._found(None, None, "nodes", f"more roots of level {level} are kept than the log has subtrees")
        for raw in self._reader.raw_entries(self._tenant, self._reader.head(self._tenant).size, _FAR):
            if raw.index < self._reader.head(self._tenant).size:
                return  # appended while we looked
            self._found(raw.index, raw.id, "index", "the entry is behind the head")

    def _rows(self, part: Part) -> Iterator[Row]:
        """A part's rows; before each chunk, the entries of the chunk's snapshot are taken in."""
        after: Row | None = None
        while True:
            size, rows = self._reader.projected(self._tenant, part, after)
            self._read_to(size)
            if not rows:
                return
            yield from rows
            after = rows[-1]

    def _compare_people(self) -> None:
        seen: set[tuple[str, str]] = set()
        for kind, identity, ref, key in self._rows("people"):
            person = (str(kind), str(identity))
            seen.add(person)
            known = self._log.people.get(person)
            if known is None:
                self._found(None, None, "people", f"{person[0]} {person[1]} has a row and no first entry")
            elif (ref, key) != (known.ref, known.key):
                self._found(known.index, known.id, "people", "the person's row is not as their first entry says")
        for person, known in self._log.people.items():
            if person not in seen and self._reader.person(self._tenant, Person(*person)) is None:
                self._found(known.index, known.id, "people", "the person has no row")

    def _compare_objects(self) -> None:
        seen: set[str] = set()
        for row in self._rows("objects"):
            name = str(row[0])
            seen.add(name)
            held = self._log.facts.state(name)
            if held is None:
                self._found(None, None, "objects", f"{name} has a row and no entry")
            elif row[1:] != (self._log.versions[name], canonical.encode(held)):
                # A row that is ahead leans on an entry that could not be read: that one is to blame.
                claimed = row[1] if isinstance(row[1], int) and row[1] < self._log.size else -1
                index = max(self._log.versions[name], claimed)
                self._found(index, None, "objects", f"{name} is not as its entries say")
        for name, index in self._log.versions.items():
            if name not in seen and self._reader.objects(self._tenant, [name])[name][0] == -1:
                self._found(index, None, "objects", f"{name} has no row")

    def _compare_idempotency(self) -> None:
        for row in self._rows("idempotency"):
            key, request, entry_id = map(str, row)
            index = self._reader.index_of(self._tenant, entry_id)
            if index is None:
                self._found(None, entry_id, "idempotency", "the key's entry is not in the log")
                continue
            for raw in self._reader.raw_entries(self._tenant, index, index + 1):
                value = None if raw.payload is None else canonical.parse(raw.payload)
                if raw.payload is None:
                    self._found(index, entry_id, "idempotency", "the key's row is there, its entry was erased")
                elif value is not None and value.get("idempotency") != {"key": key, "request": request}:
                    self._found(index, entry_id, "idempotency", "the key's row is not as its entry says")


def _satisfied(policy: Policy, signed: Note) -> bool:
    try:
        return policy.satisfied(signed)
    except Invalid:  # a line of a witness is wrong
        return False
