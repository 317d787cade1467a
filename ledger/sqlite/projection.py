"""The projection made again from entries in tables of another database, and how its rows take the place of others.

It is the writer's own reduction. Nothing of it is held in memory, so a log may be about any number of people: rows are
in the tables of the format, what only the making needs in a database beside them (`side`), which goes with its folder.
Erased payloads reduce to nothing, and an `erasure` takes away what the entries that it lists had made.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias, cast

import apsw
import orjson

from ledger import canonical
from ledger.entry import Header, commitment, key_commitment, parse_header
from ledger.errors import LedgerError, Malformed, Stale
from ledger.fields import Payload, State, field, mapping, text
from ledger.merkle import Frontier, leaf_hash
from ledger.model import Person, RawEntry, Receipt, unknown_object
from ledger.prepared import PreparedAppend
from ledger.reduce import changed, reduce
from ledger.sqlite import schema
from ledger.sqlite.transaction import Transaction

Table: TypeAlias = Literal["heads", "nodes", "objects", "idempotency", "people"]
What: TypeAlias = Literal["missing", "surplus", "differs"]
Key: TypeAlias = tuple[str | int, ...]
Values: TypeAlias = tuple[str | int | bytes, ...]

TABLES: Final[tuple[Table, ...]] = ("nodes", "objects", "idempotency", "people", "heads")
PAGE: Final = 512
_Raw: TypeAlias = tuple[int, str, bytes, bytes, bytes | None, bytes | None, str | None, str | None]
MOST_BEHIND: Final = 1024
"""So many entries the writer takes in itself; if more have come, the rebuild has to catch up outside of it first."""

# table -> (columns of the key behind `tenant`, the others)
_SHAPES: Final[dict[Table, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "heads": ((), ("size", "frontier", "newest_at", "active_revision")),
    "nodes": (("level", "idx"), ("hash",)),
    "objects": (("name",), ("version", "state")),
    "idempotency": (("key",), ("request", "entry_id")),
    "people": (("type", "id"), ("ref", "k")),
}
_SIDE: Final = """
CREATE TABLE side.touched (
  tenant TEXT NOT NULL, idx INTEGER NOT NULL, part TEXT NOT NULL, key TEXT NOT NULL,
  PRIMARY KEY (tenant, idx, part, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE side.missing (tenant TEXT NOT NULL, idx INTEGER NOT NULL, PRIMARY KEY (tenant, idx)) STRICT, WITHOUT ROWID;
CREATE TABLE side.differs (
  tenant TEXT NOT NULL, part TEXT NOT NULL, key TEXT NOT NULL, what TEXT NOT NULL,
  PRIMARY KEY (tenant, part, key)
) STRICT, WITHOUT ROWID;
"""
_NOTED: Final = """
SELECT part, key, what FROM side.differs WHERE tenant = ? AND (part, key) > (?, ?) ORDER BY part, key LIMIT ?
"""
_RAW: Final = """
SELECT e.idx, e.id, e.header, e.leaf, p.payload, p.salt, p.about_type, p.about_id
FROM entries AS e LEFT JOIN payloads AS p ON p.tenant = e.tenant AND p.idx = e.idx
WHERE e.tenant = ? AND e.idx >= ? AND e.idx < ? ORDER BY e.idx
"""


def open_scratch(folder: Path) -> apsw.Connection:
    """Tables to make a projection in, in a private folder that is thrown away."""
    db = schema.open_writer(folder / "projection.db", synchronous="OFF", create=True)
    attach_side(db, folder)
    return db


def attach_side(db: apsw.Connection, folder: Path) -> None:
    """Put beside a database what only the making of its projection needs."""
    path = folder / "side.db"
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    db.execute("PRAGMA journal_mode = MEMORY")  # one user, thrown away after a crash
    db.execute("PRAGMA cache_size = -32768")
    db.execute("ATTACH ? AS side", (str(path),))
    db.execute("PRAGMA side.journal_mode = MEMORY")
    db.execute("PRAGMA side.synchronous = OFF")
    db.execute(_SIDE)


class Tables:
    """The rows of a projection in any database of the format, by a connection of the caller's."""

    def __init__(self, db: apsw.Connection) -> None:
        self.db = db

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """All that is read inside is of one moment; keep it short."""
        self.db.execute("BEGIN")
        try:
            yield
        finally:
            self.db.execute("ROLLBACK")

    def tenants(self) -> list[str]:
        """Every tenant that has entries, whatever the heads say."""
        found: list[str] = []
        while (tenant := self._first_after(found[-1] if found else "")) is not None:
            found.append(tenant)
        return found

    def _first_after(self, tenant: str) -> str | None:
        return cast("str | None", self.db.execute("SELECT min(tenant) FROM entries WHERE tenant > ?", (tenant,)).get)

    def size(self, tenant: str) -> int:
        """How many entries a log has, by the entries themselves."""
        statement = "SELECT coalesce(max(idx), -1) + 1 FROM entries WHERE tenant = ?"
        return cast(int, self.db.execute(statement, (tenant,)).get)

    def entries(self, tenant: str, start: int, stop: int) -> list[RawEntry]:
        """Stored entries start <= index < stop; not many."""
        rows = self.db.execute(_RAW, (tenant, start, stop)).fetchall()
        return [_raw(*cast("_Raw", row)) for row in rows]

    def page(self, table: Table, tenant: str, after: Key | None, until: Key | None) -> dict[Key, Values]:
        """The next rows by key, at most PAGE: of keys behind `after`, not behind `until`."""
        keys, values = _SHAPES[table]
        row, marks = f"({', '.join(keys)})", f"({', '.join('?' * len(keys))})"
        where = "tenant = ?"
        where += f" AND {row} > {marks}" if keys and after is not None else ""
        where += f" AND {row} <= {marks}" if keys and until is not None else ""
        order = f" ORDER BY {', '.join(keys)}" if keys else ""
        statement = f"SELECT {', '.join(keys + values)} FROM {table} WHERE {where}{order} LIMIT {PAGE}"  # noqa: S608
        found = self.db.execute(statement, (tenant, *(after or ()), *(until or ()))).fetchall()
        return {cast(Key, row[: len(keys)]): cast(Values, row[len(keys) :]) for row in found}

    def count(self, table: Table, tenant: str) -> int:
        """How many rows a tenant has."""
        return cast(int, self.db.execute(f"SELECT count(*) FROM {table} WHERE tenant = ?", (tenant,)).get)  # noqa: S608

    def row(self, table: Table, tenant: str, key: Key) -> Values | None:
        """One row's values."""
        keys, values = _SHAPES[table]
        statement = f"SELECT {', '.join(values)} FROM {table} WHERE {_where(keys)}"  # noqa: S608
        return cast("Values | None", self.db.execute(statement, (tenant, *key)).fetchone())

    def put(self, table: Table, tenant: str, key: Key, values: Values) -> None:
        """Write a row, in the place of the one that has its key."""
        names = ("tenant", *_SHAPES[table][0], *_SHAPES[table][1])
        statement = f"INSERT OR REPLACE INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"  # noqa: S608
        self.db.execute(statement, (tenant, *key, *values))

    def remove(self, table: Table, tenant: str, key: Key) -> None:
        """Take a row away."""
        self.db.execute(f"DELETE FROM {table} WHERE {_where(_SHAPES[table][0])}", (tenant, *key))  # noqa: S608


def _raw(
    index: int,
    entry_id: str,
    header: bytes,
    leaf: bytes,
    payload: bytes | None,
    salt: bytes | None,
    about_type: str | None,
    about_id: str | None,
) -> RawEntry:
    about = None if about_type is None or about_id is None else Person(about_type, about_id)
    return RawEntry(index=index, id=entry_id, header=header, leaf=leaf, payload=payload, salt=salt, about=about)


def _where(keys: Iterable[str]) -> str:
    return " AND ".join(f"{name} = ?" for name in ("tenant", *keys))


class Projection:
    """A tenant's projection of the first `size` entries, in the tables of `db`. One thread at a time.

    `key_of` answers what stands as a person's key: given are the person and the 32 bytes that their first entry commits
    to.
    """

    def __init__(self, db: apsw.Connection, tenant: str, key_of: Callable[[Person, bytes], bytes]) -> None:
        self.tables = Tables(db)
        self.tenant = tenant
        self.frontier = Frontier()
        self.newest_at: str | None = None
        self.active_revision: str | None = None
        self.erased = 0
        """How many payloads that were in these tables have been erased."""
        self._db = db
        self._key_of = key_of

    @property
    def size(self) -> int:
        return self.frontier.size

    def take(self, raw: RawEntry) -> None:
        """Take the next entry; raises Malformed where the log itself is not whole."""
        if raw.index != self.size:
            raise Malformed(f"entry {self.size} is not there")
        try:
            self._take(raw)
        except (LedgerError, ValueError, KeyError, apsw.ConstraintError) as exc:
            raise Malformed(f"entry {raw.index}: {exc}") from exc

    def _take(self, raw: RawEntry) -> None:
        header = parse_header(raw.header)
        if (header.id, header.tenant) != (raw.id, self.tenant):
            raise Malformed("its header is of another ID or tenant")
        leaf = leaf_hash(raw.header)
        if leaf != raw.leaf:
            self.note("entries", (raw.index,), "differs")
        for done in self.frontier.append(leaf):
            self.tables.put("nodes", self.tenant, (done.level, done.index), (done.hash,))
        self.newest_at = header.at
        if raw.payload is None or raw.salt is None:
            self._db.execute("INSERT INTO side.missing VALUES (?, ?)", (self.tenant, raw.index))
            return
        if commitment(raw.salt, raw.payload) != header.commitment:
            raise Malformed("its payload is not the one that its header commits to")
        if header.kind != "decision" or b'"idempotency"' in raw.payload:  # most of the log changes nothing
            self._reduce(raw, header, orjson.loads(raw.payload))

    def _reduce(self, raw: RawEntry, header: Header, value: State) -> None:
        if "idempotency" in value:
            taken = mapping(value, "idempotency")
            self._put(raw, "idempotency", (text(taken, "key"),), (text(taken, "request"), header.id))
        if header.kind == "activation":
            self.active_revision = text(value, "revision")
        elif header.kind == "erasure":
            self._erase(value)
        ref = self._ref(raw, header.kind, value)
        for name in changed(header.kind, value, ref, header.id):
            row = self.tables.row("objects", self.tenant, (name,))
            state = None if row is None else orjson.loads(cast(bytes, row[1]))
            after = reduce(name, state, kind=header.kind, payload=value, entry_id=header.id, at=header.at)
            self._put(raw, "objects", (name,), (raw.index, canonical.encode(after)))

    def _ref(self, raw: RawEntry, kind: str, value: Payload) -> str | None:
        """The pseudonym of whom an entry is about; a person's first entry brings it."""
        if raw.about is None:
            return None
        key = (raw.about.type, raw.about.id)
        row = self.tables.row("people", self.tenant, key)
        if row is None and kind == "subject":
            committed = bytes.fromhex(text(value, "key_commitment"))
            row = (text(value, "ref"), self._key_of(raw.about, committed))
            self._put(raw, "people", key, row)
        return None if row is None else cast(str, row[0])

    def _put(self, raw: RawEntry, table: Table, key: Key, values: Values) -> None:
        self.tables.put(table, self.tenant, key, values)
        if raw.about is not None:  # only what is about somebody can be erased
            touched = (self.tenant, raw.index, table, json.dumps(key))
            self._db.execute("INSERT OR IGNORE INTO side.touched VALUES (?, ?, ?, ?)", touched)

    def _erase(self, value: Payload) -> None:
        """Take away the payloads that an erasure lists, and every row that was made of them."""
        indices = field(value, "indices")
        for index in indices if isinstance(indices, list) else ():
            where = (self.tenant, cast(int, index))
            made = self._db.execute("SELECT part, key FROM side.touched WHERE tenant = ? AND idx = ?", where).fetchall()
            for part, key in made:
                self.tables.remove(cast("Table", part), self.tenant, tuple(json.loads(cast(str, key))))
            for statement in (
                "DELETE FROM side.touched WHERE tenant = ? AND idx = ?",
                "DELETE FROM side.missing WHERE tenant = ? AND idx = ?",
                "DELETE FROM main.payloads WHERE tenant = ? AND idx = ?",
            ):
                self._db.execute(statement, where)
            self.erased += self._db.changes()

    def settle(self) -> None:
        """Write the head's row."""
        if self.size:
            head = (self.size, self.frontier.to_bytes(), cast(str, self.newest_at), cast(str, self.active_revision))
            self.tables.put("heads", self.tenant, (), head)

    def unexplained(self) -> int | None:
        """The first entry whose payload is not there although no erasure lists it."""
        statement = "SELECT min(idx) FROM side.missing WHERE tenant = ?"
        return cast("int | None", self._db.execute(statement, (self.tenant,)).get)

    # What was found to differ elsewhere. `entries` are told of by their leaves.

    def note(self, part: Table | Literal["entries"], key: Key, what: What) -> None:
        """Remember that a row elsewhere is not as this one."""
        row = (self.tenant, part, json.dumps(key), what)
        self._db.execute("INSERT OR REPLACE INTO side.differs VALUES (?, ?, ?, ?)", row)

    def forget(self, part: str, key: Key) -> None:
        """It was no difference."""
        row = (self.tenant, part, json.dumps(key))
        self._db.execute("DELETE FROM side.differs WHERE tenant = ? AND part = ? AND key = ?", row)

    def noted(self) -> Iterator[tuple[Table | Literal["entries"], Key, What]]:
        """All that was noted, by table and key; may be forgotten meanwhile."""
        part, key = "", ""
        while rows := self._db.execute(_NOTED, (self.tenant, part, key, PAGE)).fetchall():
            for part, key, what in cast("list[tuple[Table, str, What]]", rows):
                yield part, tuple(json.loads(key)), what


def same(table: Table, live: Values | None, made: Values | None) -> bool:
    """Whether a row is as it was made. A person's key cannot be made: it is held against what was committed to."""
    if table == "people" and live is not None and made is not None:
        return live[0] == made[0] and committed(live) == made[1]
    return live == made


def committed(person: Values) -> bytes:
    """What the key in a person's row commits to."""
    return bytes.fromhex(key_commitment(cast(bytes, person[1])))


@dataclass(frozen=True, slots=True)
class Replace:
    """The writer's work: put rows of a projection in the place of those that it noted, and append the entry about it.

    `entry` makes the append from how many rows of which table were replaced.
    """

    projection: Projection
    entry: Callable[[dict[str, int]], PreparedAppend]


def replace(db: apsw.Connection, transaction: Transaction, work: Replace) -> tuple[Receipt, ...]:
    """Do it in the writer's transaction; no receipts where nothing differs any more. Raises Stale: catch up first."""
    live, made = Tables(db), work.projection
    size = live.size(made.tenant)
    if size - made.size > MOST_BEHIND:
        raise Stale("the log")
    for raw in live.entries(made.tenant, made.size, size):
        made.take(raw)
    made.settle()
    rows: dict[str, int] = {}
    for part, key, _ in made.noted():
        if _leaf(db, made.tenant, key) if part == "entries" else _row(live, made, part, key):
            rows[part] = rows.get(part, 0) + 1
            _tell(transaction, made, part, key)
    return transaction.append(work.entry(rows)) if rows else ()


def _tell(transaction: Transaction, made: Projection, part: Table | Literal["entries"], key: Key) -> None:
    """Have those who watch the ledger hear of a row that was replaced."""
    if part == "objects":
        transaction.moved.object(made.tenant, cast(str, key[0]))
    elif part == "people":
        transaction.moved.object(made.tenant, unknown_object(Person(*cast("tuple[str, str]", key))))
    elif part == "heads" and made.active_revision is not None:
        transaction.moved.revision(made.tenant, made.active_revision)


def _leaf(db: apsw.Connection, tenant: str, key: Key) -> bool:
    """Write the leaf that an entry's header has; whether there was another."""
    [[header, leaf]] = db.execute("SELECT header, leaf FROM entries WHERE tenant = ? AND idx = ?", (tenant, *key))
    right = leaf_hash(cast(bytes, header))
    db.execute("UPDATE entries SET leaf = ? WHERE tenant = ? AND idx = ?", (right, tenant, *key))
    return bool(right != leaf)


def _row(live: Tables, made: Projection, table: Table, key: Key) -> bool:
    """Write one row as it was made; whether there was another. A person's key is kept, never made or taken away."""
    before, after = live.row(table, made.tenant, key), made.tables.row(table, made.tenant, key)
    if same(table, before, after):
        return False
    if table == "people":
        if before is None or after is None or committed(before) != after[1]:
            return False
        after = (after[0], before[1])
    if after is None:
        live.remove(table, made.tenant, key)
    else:
        live.put(table, made.tenant, key, after)
    return True
