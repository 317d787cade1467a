"""Which entries an archive opens: those that are asked for, and the entries that they lean on, once each.

What is selected is kept in a temporary database of SQLite that no name leads to: as many entries as there are, in a few
megabytes of memory. The log is read in short chunks, each with a snapshot of its own.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Final, cast

import apsw

from engine.decide import joined
from engine.reports import rows
from engine.reports.query import Query, window
from engine.reports.rows import Beside
from ledger.fields import Payload
from ledger.model import Entry, Person
from ledger.store import Reader

Progress = Callable[[int, int], None]

_STEP: Final = 4096
_PAGE: Final = 512
_MOST_PEOPLE: Final = 4096
_MOST_FIRSTS: Final = 64
_TABLES: Final = """
PRAGMA cache_size = -4096;
CREATE TABLE opened (idx INTEGER PRIMARY KEY, is_row INTEGER NOT NULL, directory INTEGER);
BEGIN
"""


class Selection:
    """The entries of one archive, over the first `size` entries of a tenant's log."""

    def __init__(self, reader: Reader, tenant: str, size: int, query: Query, progress: Progress) -> None:
        self._reader = reader
        self._tenant = tenant
        self._size = size
        self._query = query
        self._progress = progress
        self._known: OrderedDict[Person, int | None] = OrderedDict()
        self._firsts: OrderedDict[str, Payload] = OrderedDict()
        self._scratch = apsw.Connection("")
        self._scratch.execute(_TABLES)
        self.entries = self.rows = self.erased = 0
        self.first: Entry | None = None
        """The first entry of the one person who is asked for; None where the directory does not know them."""
        self.adjusted: list[int] = []
        self.start = self.stop = 0

    def close(self) -> None:
        """Give the temporary database back."""
        self._scratch.close()

    def run(self) -> None:
        """Select."""
        for entry in self._of_kind(("log.key", "clock.adjusted"), 0, self._size, "log"):
            if entry.kind == "clock.adjusted":
                self.adjusted.append(entry.index)
            else:
                self._open(entry)
        self.start, self.stop = window(self._reader, self._tenant, self._size, self._query, self.adjusted)
        person = self._query.person
        if person is not None:
            self._first_of(person)
        for entry in self._candidates():
            if entry.payload is not None:
                self._look(entry, person)

    def opened(self) -> Iterator[tuple[Entry, Payload | None, Beside]]:
        """Every entry that is opened, in the order of the log; what its row is made of, None where it has none."""
        last = -1
        while page := self._scratch.execute(
            "SELECT idx, is_row, directory FROM opened WHERE idx > ? ORDER BY idx LIMIT ?", (last, _PAGE)
        ).fetchall():
            for index, noted, directory in cast("list[tuple[int, int, int | None]]", page):
                entry = self._at(index)
                if noted and entry.payload is not None:
                    yield entry, self._said(entry), self._beside(entry, directory)
                else:
                    yield entry, None, Beside()
            last = cast(int, page[-1][0])

    # what is asked for

    def _candidates(self) -> Iterator[Entry]:
        """The entries that may be asked for, in the order of the log."""
        reader, tenant = self._reader, self._tenant
        if self._query.decision is not None:
            found = reader.entry(tenant, self._query.decision)
            yield from [found] if found is not None and found.index < self._size else []
        elif self._query.subjects:
            people = [Person("user", subject) for subject in dict.fromkeys(self._query.subjects)]
            for index in heapq.merge(*(reader.indices_about(tenant, person) for person in people)):
                if self.start <= index < self.stop:
                    yield self._at(index)
                    self._progress(index + 1 - self.start, self.stop - self.start)
        else:
            kinds = ("decision",) if self._query.incident is not None else (*rows.KINDS, "subject")
            yield from self._of_kind(kinds, self.start, self.stop, "range")

    def _of_kind(self, kinds: Sequence[str], start: int, stop: int, part: str) -> Iterator[Entry]:
        for low in range(start, stop, _STEP):
            high = min(low + _STEP, stop)
            yield from self._reader.of_kind(self._tenant, kinds, low, high)
            if part == "range":
                self._progress(high - start, stop - start)

    def _look(self, entry: Entry, person: Person | None) -> None:
        """Open an entry if it is asked for."""
        if entry.kind == "subject" and entry.about is not None:
            self._remember(entry.about, entry.index)
        if entry.kind in rows.KINDS:
            value = self._said(entry)
            directory = self._directory_of(entry) if rows.needs_directory(entry.kind, value) else None
            beside = self._beside(entry, directory)
            if self._query.takes(rows.row(entry, value, beside), value):
                self._open(entry, asked=True)
                return
        if person is not None:
            self._open(entry)

    def _first_of(self, person: Person) -> None:
        """Open the entry that made a person known: it commits to their key."""
        for index in self._reader.indices_about(self._tenant, person):
            entry = self._at(index) if index < self._size else None
            if entry is not None and entry.kind == "subject" and "key_commitment" in entry.value:
                self.first = entry
                self._open(entry)
                return

    # what is opened

    def _open(self, entry: Entry, *, asked: bool = False) -> None:
        """Open an entry, and whatever it leans on."""
        pending = [(entry, asked)]
        while pending:
            entry, asked = pending.pop()
            # A decision that is only leaned on, by the lease of one that is asked for, has no row of its own.
            linked = self._query.linked and entry.kind in rows.KINDS and entry.kind != "decision"
            if self._note(entry, is_row=asked or linked) and entry.payload is not None:
                pending += self._behind(entry)

    def _behind(self, entry: Entry) -> Iterator[tuple[Entry, bool]]:
        for identifier in rows.leans_on(entry.kind, entry.value):
            index = self._reader.index_of(self._tenant, identifier)
            if index is not None and index < self._size and not self._is_noted(index):
                yield self._at(index), False

    def _is_noted(self, index: int) -> bool:
        return self._scratch.execute("SELECT 1 FROM opened WHERE idx = ?", (index,)).fetchone() is not None

    def _note(self, entry: Entry, *, is_row: bool) -> bool:
        """Note that an entry is opened; whether it was not before."""
        is_row = is_row and entry.payload is not None
        directory = None
        if is_row and rows.needs_directory(entry.kind, self._said(entry)):
            directory = self._directory_of(entry)
            if directory is not None:
                self._note(self._at(directory), is_row=False)
        known = self._scratch.execute("SELECT is_row FROM opened WHERE idx = ?", (entry.index,)).fetchone()
        if known is None:
            self.entries += 1
            self.erased += entry.payload is None
        if is_row and (known is None or not known[0]):
            self.rows += 1
        self._scratch.execute(
            "INSERT INTO opened VALUES (?, ?, ?) ON CONFLICT (idx) DO UPDATE"
            " SET is_row = max(is_row, excluded.is_row), directory = coalesce(excluded.directory, directory)",
            (entry.index, int(is_row), directory),
        )
        return known is None

    # what is beside an entry

    def _said(self, entry: Entry) -> Payload:
        """What an entry says, a leased decision with what stands in the one that it leans on."""
        value = entry.value
        if entry.kind != "decision" or not joined.is_leased(value):
            return value
        return joined.whole(value, self._first_of_lease(str(value["leans_on"])))

    def _first_of_lease(self, entry_id: str) -> Payload:
        """The whole decision of this ID; nothing where there is none: that is for the verifier to tell."""
        if entry_id not in self._firsts:
            found = self._reader.entry(self._tenant, entry_id)
            right = found is not None and found.kind == "decision" and found.payload is not None
            value = found.value if found is not None and right else {}
            self._firsts[entry_id] = {} if joined.is_leased(value) else value
            if len(self._firsts) > _MOST_FIRSTS:
                self._firsts.popitem(last=False)
        self._firsts.move_to_end(entry_id)
        return self._firsts[entry_id]

    def _beside(self, entry: Entry, directory: int | None) -> Beside:
        result = None
        if entry.kind == "certification":
            found = self._reader.entry(self._tenant, str(entry.value.get("for")))
            result = found.value if found is not None and found.kind == "result" and found.payload else None
        beside = self._at(directory) if directory is not None else None
        return Beside(result=result, directory=beside.value if beside is not None and beside.payload else None)

    def _directory_of(self, entry: Entry) -> int | None:
        """The newest directory entry of an entry's person before it."""
        if entry.about is None:
            return None
        if not self._query.linked and entry.about in self._known:
            return self._known[entry.about]
        found = self._reader.about(self._tenant, entry.about, ("subject",), entry.index, 1)
        index = found[0].index if found else None
        self._remember(entry.about, index)
        return index

    def _remember(self, person: Person, index: int | None) -> None:
        """What was looked up stays right while the log is gone through in its order."""
        self._known[person] = index
        self._known.move_to_end(person)
        if len(self._known) > _MOST_PEOPLE:
            self._known.popitem(last=False)

    def _at(self, index: int) -> Entry:
        entry = self._reader.entry_at(self._tenant, index)
        assert entry is not None, "an entry below the checkpoint's size is there"
        return entry
