"""The check of a home's ledger: everything is computed again from stored rows, by the verifier's own path.

`ledger.verifier` shares no code with the writer but SHA-256 and canonical JSON; what is here reads the database and
holds every other table against what the entries say; a database whose tables are not the format's is not read at all.
Beside a live service it checks up to the size that it found at its start; the projection, which moves, is compared
chunk by chunk, each with the entries of the chunk's own snapshot. What was signed is in `ledger.signed`.

What nobody can see from one database alone: a rollback, and a rewrite of the whole that was signed again. For those it
takes checkpoints that were kept elsewhere (`known`), and a policy of witnesses.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from ledger.errors import Malformed, NotReady
from ledger.model import Head, Person
from ledger.signed import SignedCheck, Trust
from ledger.sqlite import SqliteReader
from ledger.store import Part, RawRow, Reader, Row
from ledger.verifier import canonical
from ledger.verifier.finding import Finding, Report
from ledger.verifier.log import BLOCK, LogCheck
from ledger.verifier.tree import Tree

__all__ = ["Finding", "Report", "Trust", "verify"]

_FAR: Final = 2**62
_PAGE: Final = 256
_IDS: Final = 4096
_EMPTY: Final = Tree().root()
_TRIES: Final = 3
_ADJUSTED: Final = b'"kind":"clock.adjusted"'


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


class _Verifier:
    def __init__(self, reader: Reader, tenant: str, trust: Trust) -> None:
        self._reader = reader
        self._tenant = tenant
        self._trust = trust
        self._log = LogCheck(tenant, lambda person: reader.key(tenant, Person(*person)), self._row)
        self._found = self._log.found
        self._signed = SignedCheck(reader, tenant, trust, self._log)
        self._ids = 0
        self.overtaken = False
        """Whether an `erasure` came behind the end that was found at the start."""

    def run(self) -> Report:
        size, root = 0, self._log.root()
        with self._noting():
            if self._database():
                with self._noting():
                    self._signed.collect()
                self._signed.order()
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
            checkpoints=sum(signed.stored is not None for signed in self._signed.signed),
            erased=len(self._log.erased),
            told=tuple(self._signed.told),
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
            self._signed.compare(size)
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
        signed = max((each.said.size for each in self._signed.signed if each.stored is not None), default=0)
        if 0 < signed < size:
            behind = size - signed
            self._signed.told.append(
                f"signed up to entry {signed - 1}; {behind} entries behind it are signed by nobody yet"
            )
        elif signed < size:
            self._signed.told.append(f"{size} entries are signed by nobody yet")
        if not self._trust.known:
            self._signed.told.append(
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
            stop = self._signed.stop(start, end)
            rows = self._entries(start, stop)
            if not rows:  # a head that says too much must not be believed step by step
                following = next(self._reader.raw_entries(self._tenant, stop, size), None)
                self._log.missing_until(size if following is None else following.index)
                continue
            for row in rows:
                self._ids += hash(row[:2])
                if _ADJUSTED in row[2]:
                    self._signed.adjusted.append(row[0])
            self._log.take(rows)
            self._log.missing_until(stop)
            self._signed.reached(stop)
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

    def _row(self, entry_id: str) -> RawRow | None:
        """The stored row that a lookup by ID leads to; None where there is none, or none that can be read."""
        try:
            index = self._reader.index_of(self._tenant, entry_id)
            return next(iter(self._reader.rows(self._tenant, index, index + 1)), None) if index is not None else None
        except NotReady:
            return None

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
        with self._noting():  # an ID that the lookup has twice does not grow: below its entries are named
            while page := self._reader.ids(self._tenant, after, _IDS):
                total += sum(hash((index, entry_id)) for entry_id, index in page if index < size)
                count += sum(index < size for _, index in page)
                after = page[-1][0]
        if (total, count) == (self._ids, size):
            return
        for raw in self._reader.raw_entries(self._tenant, 0, size):
            if self._reader.index_of(self._tenant, raw.id) != raw.index:
                self._found(raw.index, raw.id, "id", "another entry has this ID, or the lookup by ID is wrong")

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
