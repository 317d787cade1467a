"""The offline check: everything is computed again from stored rows, by a path of its own.

It shares SHA-256, canonical JSON and the reduction with the writer, and nothing else. It names every wrong
entry, the first one first. Beside a live service it checks up to the size that it found at its start; the
projection, which moves, is compared chunk by chunk, each with the entries of the chunk's own snapshot.

What nobody can see from one database alone: a rollback, and a rewrite of the whole: keep a checkpoint.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ledger import canonical, instants, recompute
from ledger.canonical import JSON
from ledger.errors import LedgerError, Malformed, NotReady
from ledger.model import Entry, Head, Person, RawEntry, unknown_person
from ledger.reduce import Reduction
from ledger.sqlite import SqliteReader
from ledger.store import Part, Reader, Row

_BOUND_MS: Final = 2_000
_FAR: Final = 2**62


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong; `index` and `id` are the entry's, None where no one entry is to blame."""

    index: int | None
    id: str | None
    check: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was checked and what was found, findings in the order of the log."""

    size: int
    root: bytes
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether the log is whole."""
        return not self.findings

    def described(self) -> dict[str, JSON]:
        """The report as JSON."""
        findings: list[JSON] = [
            {"index": f.index, "id": f.id, "check": f.check, "detail": f.detail} for f in self.findings
        ]
        return {"ok": self.ok, "size": self.size, "root": self.root.hex(), "findings": findings}


def verify(source: Path | Reader, tenant: str) -> Report:
    """Check a tenant's whole log, from a database's path or a reader."""
    if not isinstance(source, Path):
        return _Verifier(source, tenant).run()
    reader = SqliteReader(source)
    try:
        return _Verifier(reader, tenant).run()
    finally:
        reader.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """A person by their first entry."""

    index: int
    id: str
    ref: JSON
    key: bytes


@dataclass(slots=True)
class _Siblings:
    """A result and the certifications behind it: those may only have read what was before the result."""

    result: str | None = None
    before: dict[str, int] = field(default_factory=dict)


class _Verifier:
    def __init__(self, reader: Reader, tenant: str) -> None:
        self._reader = reader
        self._tenant = tenant
        self._findings: list[Finding] = []
        self._tree = recompute.Tree()
        self._size = 0
        self._newest_at: str | None = None
        self._reduction = Reduction()
        self._versions: dict[str, int] = {}
        self._people: dict[Person, _Known] = {}
        self._siblings = _Siblings()

    def run(self) -> Report:
        size, root = 0, self._tree.root()
        try:
            head = self._head()
            size = head.size if head else 0
            self._read_to(size)
            root = self._tree.root()
            if head is not None:
                self._compare_head(head, root)
                self._outside()
            self._compare_people()
            self._compare_objects()
            self._compare_idempotency()
        except NotReady as exc:
            self._found(self._size, None, "storage", str(exc))
        self._findings.sort(key=lambda found: size if found.index is None else found.index)
        return Report(size=size, root=root, findings=tuple(self._findings))

    def _found(self, index: int | None, entry_id: str | None, check: str, detail: str) -> None:
        self._findings.append(Finding(index=index, id=entry_id, check=check, detail=detail))

    # the log

    def _head(self) -> Head | None:
        try:
            return self._reader.head(self._tenant)
        except Malformed as exc:
            self._found(None, None, "head", str(exc))
            return None

    def _read_to(self, size: int) -> None:
        """Check and apply entries up to `size`."""
        for raw in self._reader.raw_entries(self._tenant, self._size, size):
            self._miss(raw.index)
            self._entry(raw)
        self._miss(size)

    def _miss(self, until: int) -> None:
        if self._size < until:
            self._found(self._size, None, "index", f"entries {self._size} to {until - 1} are missing")
            self._tree.append(b"")  # the root cannot come out right any more, and shall not
            self._size = self._reduction.size = until

    def _entry(self, raw: RawEntry) -> None:
        leaf = recompute.leaf(raw)
        self._tree.append(leaf)
        if leaf != raw.leaf:
            self._found(raw.index, raw.id, "leaf", "the header is not the one whose hash stands beside it")
        header, payload = recompute.header(raw, self._tenant), recompute.payload(raw)
        if isinstance(header, str):
            self._found(raw.index, raw.id, "header", header)
        elif not recompute.opens(raw, header["commitment"]):
            self._found(raw.index, raw.id, "commitment", "payload and salt are not what the header commits to")
        if payload is None:
            self._found(raw.index, raw.id, "payload", "the payload is missing, or no canonical JSON object")
        if isinstance(header, str) or payload is None:
            self._size = self._reduction.size = raw.index + 1
            return
        entry = _entry(raw, header)
        self._order(entry)
        self._identity(entry, header, payload)
        if entry.kind in ("decision", "certification"):
            self._decided(entry, payload)
        self._apply(entry, payload)

    def _order(self, entry: Entry) -> None:
        if self._reader.index_of(self._tenant, entry.id) != entry.index:
            self._found(entry.index, entry.id, "id", "another entry has this ID, or the lookup by ID is wrong")
        if self._newest_at is not None and entry.at < self._newest_at and entry.kind != "clock.adjusted":
            self._found(entry.index, entry.id, "at", f"{entry.at}, behind an entry of {self._newest_at}")
        self._newest_at = entry.at

    def _identity(self, entry: Entry, header: dict[str, JSON], payload: dict[str, JSON]) -> None:
        """Whom the entry is about: the row, the payload, the tag and the person's key must agree."""
        about = entry.about
        named = recompute.named(entry.kind, payload)
        if named is not None and named != about:
            self._found(entry.index, entry.id, "about", "the row is about another person than the payload")
        if entry.kind == "subject" and about is not None and about not in self._people:
            self._first(entry, about, payload)
        known = None if about is None else self._people.get(about)
        if header["tag"] != (None if known is None else recompute.tag(known.key, entry.id)):
            self._found(entry.index, entry.id, "tag", "the tag is not the one of the person's key")

    def _first(self, entry: Entry, person: Person, payload: dict[str, JSON]) -> None:
        key = self._reader.key(self._tenant, person) or b""
        self._people[person] = _Known(index=entry.index, id=entry.id, ref=payload.get("ref"), key=key)
        if recompute.key_commitment(key) != payload.get("key_commitment"):
            self._found(entry.index, entry.id, "key", "the person's key is not the one that was committed to")

    def _decided(self, entry: Entry, payload: dict[str, JSON]) -> None:
        """What a decision or certification leaned on must be what the entries before it say."""
        if payload.get("revision") != self._reduction.active_revision:
            self._found(entry.index, entry.id, "revision", "the revision is not the one active at this entry")
        given = payload.get("input")
        now = given.get("now") if isinstance(given, dict) else None
        if not isinstance(now, str) or not instants.is_instant(now):
            self._found(entry.index, entry.id, "now", "the input has no instant")
        elif not 0 <= instants.parse(entry.at) - instants.parse(now) <= _BOUND_MS:
            self._found(entry.index, entry.id, "now", f"decided at {now}, recorded at {entry.at}")
        if entry.kind == "certification" and (
            self._siblings.result is None or payload.get("for") != self._siblings.result
        ):
            self._found(entry.index, entry.id, "for", "the certification does not stand behind its result")
        reads = payload.get("reads")
        for read in reads if isinstance(reads, list) else [None]:
            wrong = self._wrong_read(entry.kind, read)
            if wrong:
                self._found(entry.index, entry.id, "reads", wrong)

    def _wrong_read(self, kind: str, read: JSON) -> str | None:
        if not isinstance(read, list) or len(read) != 2 or not isinstance(read[0], str):
            return "the reads are not a list of [object, version]"
        name = read[0]
        person = unknown_person(name)
        if person is not None:
            current = self._people[person].index if person in self._people else -1
        else:
            current = self._versions.get(name, -1)
            if kind == "certification":
                current = self._siblings.before.get(name, current)
        return None if read[1] == current else f"read {name} at {read[1]}, where the log has {current}"

    def _apply(self, entry: Entry, payload: dict[str, JSON]) -> None:
        taken = payload.get("idempotency")
        if isinstance(taken, dict):
            found = self._reader.idempotent(self._tenant, str(taken.get("key")))
            if found != (taken.get("request"), entry.id):
                self._found(entry.index, entry.id, "idempotency", "the lookup of its key finds something else")
        if entry.kind != "certification" or payload.get("for") != self._siblings.result:
            self._siblings = _Siblings(result=entry.id if entry.kind == "result" else None)
        self._size = entry.index + 1
        try:
            names = self._reduction.apply(entry)
        except LedgerError as exc:
            self._found(entry.index, entry.id, "reduction", str(exc))
            return
        for name in names:
            self._siblings.before.setdefault(name, self._versions.get(name, -1))
            self._versions[name] = entry.index

    # the projection

    def _compare_head(self, head: Head, root: bytes) -> None:
        if head.root != root:
            self._found(None, None, "root", f"the entries give {root.hex()}, the head says {head.root.hex()}")
        if head.newest_at != self._newest_at:
            self._found(None, None, "head", "the head's newest instant is not the newest entry's")
        if head.active_revision != self._reduction.active_revision:
            self._found(None, None, "head", "the head's revision is not the one activated last")

    def _outside(self) -> None:
        """Rows before 0, or behind a head that was read after them."""
        for raw in self._reader.raw_entries(self._tenant, -_FAR, 0):
            self._found(raw.index, raw.id, "index", "the entry is before the first")
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
        seen: set[Person] = set()
        for kind, identity, ref, key in self._rows("people"):
            person = Person(str(kind), str(identity))
            seen.add(person)
            known = self._people.get(person)
            if known is None:
                self._found(None, None, "people", f"{person} has a row and no first entry")
            elif (ref, key) != (known.ref, known.key):
                self._found(known.index, known.id, "people", "the person's row is not as their first entry says")
        for person, known in self._people.items():
            if person not in seen and self._reader.person(self._tenant, person) is None:
                self._found(known.index, known.id, "people", "the person has no row")

    def _compare_objects(self) -> None:
        seen: set[str] = set()
        for row in self._rows("objects"):
            name = str(row[0])
            seen.add(name)
            held = self._reduction.state(name)
            if held is None:
                self._found(None, None, "objects", f"{name} has a row and no entry")
            elif row[1:] != (self._versions[name], canonical.encode(held)):
                # A row that is ahead leans on an entry that could not be read: that one is to blame.
                claimed = row[1] if isinstance(row[1], int) and row[1] < self._size else -1
                index = max(self._versions[name], claimed)
                self._found(index, None, "objects", f"{name} is not as its entries say")
        for name, index in self._versions.items():
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
                payload = recompute.payload(raw)
                if payload is not None and payload.get("idempotency") != {"key": key, "request": request}:
                    self._found(index, entry_id, "idempotency", "the key's row is not as its entry says")


def _entry(raw: RawEntry, header: dict[str, JSON]) -> Entry:
    return Entry(
        index=raw.index,
        id=raw.id,
        at=str(header["at"]),
        kind=str(header["kind"]),
        tenant=str(header["tenant"]),
        header=raw.header,
        payload=raw.payload,
        salt=raw.salt,
        about=raw.about,
    )
