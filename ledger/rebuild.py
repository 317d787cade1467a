"""Makes every projection again from entries, and holds it against the one that is there, row by row.

Projections are heads, nodes, objects, idempotency, the refs of people, and the leaves of entries. A person's key cannot
be made from entries: its row is part of the log, and only held against what their first entry committed to.

It runs beside a live writer: rows are compared in pages, each page of one snapshot, after all entries of that snapshot
were taken in. What differs is looked at once more if something was erased meanwhile, since a payload may have gone
between the snapshot and its reading.

A log that is itself not whole makes nothing: `wrong` says what, and then no row may be replaced by what is made here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias, cast

from ledger.errors import Malformed
from ledger.sqlite import schema
from ledger.sqlite.projection import (
    PAGE,
    TABLES,
    Key,
    Projection,
    Table,
    Tables,
    Values,
    What,
    committed,
    open_scratch,
    same,
)
from ledger.sqlite.reader import SqliteReader
from ledger.verifier.errors import Invalid
from ledger.verifier.note import Checkpoint, parse, parse_checkpoint

_STEP: Final = 1024
Progress: TypeAlias = Callable[[int, int], None]


def silent(done: int, total: int) -> None:
    """Tell nobody how far it is."""
    del done, total


@dataclass(frozen=True, slots=True)
class Difference:
    """A row that is not as the entries say; `mends` is False where no entry has what would mend it (a person's key)."""

    table: Table | Literal["entries"]
    key: Key
    what: What
    mends: bool

    def __str__(self) -> str:
        named = {"entries": "leaf of entry", "heads": "head"}.get(self.table, self.table)
        words = {"missing": "is not there", "surplus": "has no entry", "differs": "is not as its entries say"}[
            self.what
        ]
        more = "" if self.mends else " (its key is in no entry: restore a backup)"
        return f"{named} {' '.join(map(str, self.key))}".rstrip() + f" {words}{more}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a rebuild made and found. `wrong` is what is the matter with the log itself, in sentences."""

    tenant: str
    size: int
    rows: dict[str, int]
    differing: int
    wrong: tuple[str, ...]

    @property
    def equal(self) -> bool:
        """Whether every row is as it was made."""
        return not self.differing and not self.wrong


class Rebuild:
    """One tenant's rebuild from the database at `path`, with its working state in a private `folder`.

    `known` are checkpoints that were kept elsewhere: entries that contradict one make nothing.
    """

    def __init__(
        self,
        path: Path,
        tenant: str,
        folder: Path,
        known: Sequence[Checkpoint] = (),
        progress: Progress = silent,
    ) -> None:
        self.tenant = tenant
        self._reader = SqliteReader(path)
        self._live = Tables(schema.open_reader(path))
        self.made = Projection(open_scratch(folder), tenant, lambda _, committed: committed)
        self._progress = progress
        self._wrong: list[str] = []
        self._wanted: dict[int, set[bytes]] = {}
        for said in (*known, *self._signed()):
            self._wanted.setdefault(said.size, set()).add(said.root)
        self._matched = 0

    def close(self) -> None:
        """Give every connection back; the folder is the caller's to remove."""
        self.made.tables.db.close()
        self._live.db.close()
        self._reader.close()

    def _signed(self) -> Iterator[Checkpoint]:
        """The log's own newest checkpoint: if it fits, all before it do."""
        stored = self._reader.checkpoint(self.tenant)
        if stored is None:
            return
        try:
            yield parse_checkpoint(parse(stored.note.encode()).text)
        except Invalid as exc:
            self._wrong.append(f"the checkpoint of {stored.size} entries cannot be read: {exc}")

    def run(self) -> Report:
        """Make and compare everything."""
        try:
            self.catch_up()
            began = self.made.size
            for table in TABLES:
                self._compare(table)
            self.catch_up()
            if any(self._reader.of_kind(self.tenant, ("erasure",), began, self.made.size)):
                self._look_again()
        except Malformed as exc:
            self._wrong.append(str(exc))
        return self._report()

    def again(self) -> Report:
        """Take in what has come since; what was found is not looked for again."""
        try:
            self.catch_up()
        except Malformed as exc:
            self._wrong.append(str(exc))
        return self._report()

    def _report(self) -> Report:
        return Report(
            tenant=self.tenant,
            size=self.made.size,
            rows={"entries": self.made.size, **{t: self.made.tables.count(t, self.tenant) for t in TABLES}},
            differing=sum(1 for _ in self.made.noted()),
            wrong=tuple(self._wrong) or tuple(self._judged()),
        )

    def differences(self) -> Iterator[Difference]:
        """Every row that differs, by table and key."""
        for table, key, what in self.made.noted():
            yield Difference(table, key, what, table != "people" or self._key_is_there(key))

    def _key_is_there(self, key: Key) -> bool:
        live, made = (tables.row("people", self.tenant, key) for tables in (self._live, self.made.tables))
        return live is not None and made is not None and committed(live) == made[1]

    def catch_up(self, size: int | None = None) -> None:
        """Take in all entries, or those before `size`; raises Malformed."""
        total = self._live.size(self.tenant) if size is None else size
        while self.made.size < total:
            start, stop = self.made.size, min(self.made.size + _STEP, total)
            with self.made.tables.db:
                for raw in self._reader.raw_entries(self.tenant, start, stop):
                    self.made.take(raw)
                    self._check_root()
            if self.made.size != stop:
                raise Malformed(f"entry {self.made.size} is not there")
            self._progress(self.made.size, total)
        self.made.settle()

    def _check_root(self) -> None:
        roots, size = self._wanted.get(self.made.size), self.made.size
        if roots is None:
            return
        if roots == {self.made.frontier.root()}:
            self._matched = max(self._matched, size)
        else:
            self._wrong.append(f"the first {size} entries are not those that a checkpoint was made of")

    def _compare(self, table: Table) -> None:
        after: Key | None = None
        while True:
            with self._live.snapshot():
                size = self._live.size(self.tenant)
                page = self._live.page(table, self.tenant, after, None)
            self.catch_up(size)
            last = next(reversed(page)) if len(page) == PAGE else None
            with self.made.tables.db:
                self._compare_page(table, page, after, last)
            if last is None:
                return
            after = last

    def _compare_page(self, table: Table, page: dict[Key, Values], after: Key | None, last: Key | None) -> None:
        """Hold the live rows of a range of keys against all that were made in it; `last` is None at the end."""
        left = dict(page)
        while made := self.made.tables.page(table, self.tenant, after, last):
            for key, values in made.items():
                live = left.pop(key, None)
                if not same(table, live, values):
                    self.made.note(table, key, "missing" if live is None else "differs")
            after = next(reversed(made))
            if not after:
                break  # a head has no key, and there is one
        for key in left:
            self.made.note(table, key, "surplus")

    def _look_again(self) -> None:
        for part, key, _ in self.made.noted():
            if part == "entries":
                continue
            with self._live.snapshot():
                size, live = self._live.size(self.tenant), self._live.row(part, self.tenant, key)
            self.catch_up(size)
            if same(part, live, self.made.tables.row(part, self.tenant, key)):
                self.made.forget(part, key)

    def _judged(self) -> Iterator[str]:
        """What is the matter with the log itself, though each of its entries can be read."""
        behind = max(self._wanted, default=0)
        if behind > self.made.size:
            yield f"the log has {self.made.size} entries and is behind a checkpoint of {behind}: rolled back"
        gone = self.made.unexplained()
        if gone is not None:
            yield f"entry {gone}: its payload is not there, and no erasure lists it"
        leaf = max((cast(int, key[0]) for part, key, _ in self.made.noted() if part == "entries"), default=-1)
        if leaf >= self._matched and leaf >= self._vouched():
            # Either the header was changed or its leaf; nothing here says which.
            yield f"entry {leaf}: its leaf is not its header's, and neither a checkpoint nor the head covers it"

    def _vouched(self) -> int:
        """How many entries the head's root covers, where it is the one that the headers make."""
        with self._live.snapshot():
            size, row = self._live.size(self.tenant), self._live.row("heads", self.tenant, ())
        self.catch_up(size)
        return size if row is not None and row[1] == self.made.frontier.to_bytes() else 0
