"""The reading side on SQLite: read-only connections, one a thread, and no snapshot that outlives a call."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Final, TypeAlias, cast

import apsw
import orjson

from ledger import entry as entries_
from ledger.canonical import JSON
from ledger.errors import NotReady
from ledger.merkle import EMPTY_ROOT, Frontier
from ledger.model import Entry, Head, Person, RawEntry, StoredCheckpoint
from ledger.sqlite import schema
from ledger.sqlite.connections import Connections
from ledger.store import Part, RawRow, Row

_CHUNK: Final = 128
_FAR: Final = 2**62
_TABLES: Final = (
    "heads",
    "entries",
    "payloads",
    "people",
    "objects",
    "idempotency",
    "nodes",
    "checkpoints",
    "cosignatures",
)
_FROM: Final = re.compile(rf"\b(?:FROM|JOIN) ({'|'.join(_TABLES)})\b")

# What a row has to be made of. STRICT tables are, unless somebody wrote to the file itself: SQLite checks a type when
# it writes, not when it reads.
_Shape: TypeAlias = frozenset[tuple[type, ...]]


def _of(columns: str) -> _Shape:
    """Rows of these columns: integer, text, bytes; a capital may be NULL."""
    kinds = {"i": (int,), "s": (str,), "b": (bytes,), "S": (str, type(None)), "B": (bytes, type(None))}
    return frozenset(product(*(kinds[column] for column in columns)))


_ANY_RAW: Final = _of("isbbBBSS")
_INDEX: Final = _of("i")
_NAME: Final = _of("s")
_STATES: Final = _of("sib")
_A_PERSON: Final = _of("sb")
_A_HEAD: Final = _of("ibss")
_A_CHECKPOINT: Final = _of("isss")
_A_KEY: Final = _of("ss")
_AN_ID: Final = _of("si")
_PLACE: Final = _of("ii")
_HASH: Final = _of("b")

_RAW: Final = """
SELECT e.idx, e.id, e.header, e.leaf, p.payload, p.salt, p.about_type, p.about_id
FROM entries AS e LEFT JOIN payloads AS p ON p.tenant = e.tenant AND p.idx = e.idx
"""
_RAW_BY_RANGE: Final = _RAW + "WHERE e.tenant = ? AND e.idx >= ? AND e.idx < ? ORDER BY e.idx LIMIT ?"
_RAW_BY_ID: Final = _RAW + "WHERE e.tenant = ? AND e.id = ?"
# Newest first, from the index of whom an entry is about; the kind stands in the header.
_ABOUT: Final = """
SELECT e.idx, e.id, e.header, e.leaf, p.payload, p.salt, p.about_type, p.about_id
FROM payloads AS p JOIN entries AS e ON e.tenant = p.tenant AND e.idx = p.idx
WHERE p.tenant = ? AND p.about_type = ? AND p.about_id = ? AND p.idx < ?
AND EXISTS (SELECT 1 FROM json_each(?) WHERE instr(e.header, CAST('"kind":"' || value || '"' AS BLOB)) > 0)
ORDER BY p.idx DESC LIMIT ?
"""

_OF_KIND: Final = _RAW + (  # noqa: S608 - constants, no value of anybody
    "WHERE e.tenant = ? AND e.idx >= ? AND e.idx < ? AND EXISTS ("
    "SELECT 1 FROM json_each(?) WHERE instr(e.header, CAST('\"kind\":\"' || value || '\"' AS BLOB)) > 0"
    ") ORDER BY e.idx LIMIT ?"
)

_LEAVES: Final = "SELECT leaf FROM entries WHERE tenant = ? AND idx >= ? AND idx < ? ORDER BY idx"
_NODES: Final = "SELECT hash FROM nodes WHERE tenant = ? AND level = ? AND idx >= ? AND idx < ? ORDER BY idx"
_HEADERS: Final = "SELECT header FROM entries WHERE tenant = ? AND idx >= ? AND idx < ? ORDER BY idx"
_CHECKPOINTS: Final = """
SELECT c.size, c.at, c.note, (
  SELECT json_group_array(line) FROM cosignatures AS s WHERE s.tenant = c.tenant AND s.size = c.size
) FROM checkpoints AS c WHERE c.tenant = ? AND c.size < ? ORDER BY c.size DESC LIMIT ?
"""

# By the index that a lookup uses, so that what is wrong with it is seen.
_IDS: Final = "SELECT id, idx FROM entries INDEXED BY entries_id WHERE tenant = ? AND id > ? ORDER BY id LIMIT ?"
_LOOSE_PAYLOADS: Final = """
SELECT p.idx FROM payloads AS p WHERE p.tenant = ? AND NOT EXISTS (
  SELECT 1 FROM entries AS e WHERE e.tenant = p.tenant AND e.idx = p.idx
) ORDER BY p.idx LIMIT 1000
"""
_LOOSE: Final = """
SELECT DISTINCT s.size FROM cosignatures AS s WHERE s.tenant = ? AND NOT EXISTS (
  SELECT 1 FROM checkpoints AS c WHERE c.tenant = s.tenant AND c.size = s.size
) ORDER BY s.size
"""

_PERSON: Final = "SELECT ref, k FROM people WHERE tenant = ? AND type = ? AND id = ?"
_HEAD: Final = "SELECT size, frontier, newest_at, active_revision FROM heads WHERE tenant = ?"
_OBJECTS: Final = """
SELECT name, version, state FROM objects WHERE tenant = ? AND name IN (SELECT value FROM json_each(?))
"""

# (all rows after the key, the key before the first, what a row is made of)
_PROJECTED: Final[dict[Part, tuple[str, tuple[str, ...], _Shape]]] = {
    "objects": (
        "SELECT name, version, state FROM objects WHERE tenant = ? AND name > ? ORDER BY name LIMIT ?",
        ("",),
        _of("sib"),
    ),
    "people": (
        "SELECT type, id, ref, k FROM people WHERE tenant = ? AND (type, id) > (?, ?) ORDER BY type, id LIMIT ?",
        ("", ""),
        _of("sssb"),
    ),
    "idempotency": (
        "SELECT key, request, entry_id FROM idempotency WHERE tenant = ? AND key > ? ORDER BY key LIMIT ?",
        ("",),
        _of("sss"),
    ),
}

# Each tenant by one step in an index, as fast as it can be told; a row that lies out of order is not seen.
_TENANTS: Final = """
WITH RECURSIVE t (name) AS (
  SELECT min(tenant) FROM {table}
  UNION ALL SELECT (SELECT min(tenant) FROM {table} WHERE tenant > t.name) FROM t WHERE t.name IS NOT NULL
) SELECT name FROM t WHERE name IS NOT NULL
"""
_ODD_NODES: Final = """
SELECT level, idx FROM nodes WHERE tenant = ? AND level < 1
UNION ALL SELECT level, idx FROM nodes WHERE tenant = ? AND level > 15
UNION ALL SELECT level, idx FROM nodes
WHERE tenant = ? AND level IN (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15) AND idx < 0 LIMIT 20
"""
_ALL_TENANTS: Final = "SELECT DISTINCT tenant FROM {table} NOT INDEXED"


class SqliteReader:
    """See ledger.store.Reader. Works beside a live writer, and without one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connections = Connections(path)
        self._connections.here()  # a database that cannot be read is said now, not at the first question

    def close(self) -> None:
        """See Reader. What a thread is just reading ends there with NotReady."""
        self._connections.close()

    def _rows(self, statement: str, bindings: tuple[str | int, ...] = (), shape: _Shape | None = None) -> list[Row]:
        """All rows of one short statement, its snapshot given back; each of them has to be of the shape."""
        try:
            rows = cast("list[Row]", self._connections.here().execute(statement, bindings).fetchall())
        except apsw.Error as exc:
            raise NotReady(f"the ledger at {self._path} cannot be read: {exc}") from exc
        except UnicodeDecodeError as exc:
            raise self._damaged(statement, "text that is not UTF-8") from exc
        if shape is not None:
            for row in rows:
                if tuple(map(type, row)) not in shape:
                    raise self._damaged(statement, "a row with a value of the wrong type")
        return rows

    def _row(self, statement: str, bindings: tuple[str | int, ...], shape: _Shape) -> Row | None:
        rows = self._rows(statement, bindings, shape)
        return rows[0] if rows else None

    def _damaged(self, statement: str, what: str) -> NotReady:
        tables = " or ".join(dict.fromkeys(_FROM.findall(statement)))
        return NotReady(f"the ledger at {self._path} is damaged: {tables} holds {what}")

    def _growing(self, rows: list[Row], statement: str, width: int, after: Row | None) -> list[Row]:
        """The same rows, whose keys grow: in a damaged index they need not, and whoever pages by them never ends."""
        for row in rows:
            if after is not None and not row[:width] > after[:width]:
                raise self._damaged(statement, "keys that do not grow")
            after = row
        return rows

    def person(self, tenant: str, person: Person) -> str | None:
        """See Reader."""
        row = self._row(_PERSON, (tenant, person.type, person.id), _A_PERSON)
        return None if row is None else cast(str, row[0])

    def key(self, tenant: str, person: Person) -> bytes | None:
        """See Reader."""
        row = self._row(_PERSON, (tenant, person.type, person.id), _A_PERSON)
        return None if row is None else cast(bytes, row[1])

    def objects(self, tenant: str, names: Sequence[str]) -> dict[str, tuple[int, JSON | None]]:
        """See Reader."""
        found: dict[str, tuple[int, JSON | None]] = dict.fromkeys(names, (-1, None))
        for name, version, state in self._rows(_OBJECTS, (tenant, json.dumps(list(found))), _STATES):
            try:
                found[cast(str, name)] = (cast(int, version), orjson.loads(cast(bytes, state)))
            except ValueError as exc:
                raise self._damaged(_OBJECTS, f"a state that is not JSON ({name!r})") from exc
        return found

    def head(self, tenant: str) -> Head:
        """See Reader."""
        row = self._row(_HEAD, (tenant,), _A_HEAD)
        if row is None:
            return Head(size=0, root=EMPTY_ROOT, newest_at=None, active_revision=None)
        size, frontier, newest_at, revision = row
        return Head(
            size=cast(int, size),
            root=Frontier.from_bytes(cast(bytes, frontier)).root(),
            newest_at=cast(str, newest_at),
            active_revision=cast(str, revision),
        )

    def tenants(self) -> list[str]:
        """See Reader."""
        statement = "SELECT tenant FROM heads ORDER BY tenant"
        return [cast(str, tenant) for (tenant,) in self._rows(statement, (), _NAME)]

    def entry(self, tenant: str, entry_id: str) -> Entry | None:
        """See Reader."""
        row = self._row(_RAW_BY_ID, (tenant, entry_id), _ANY_RAW)
        return None if row is None else _entry(_raw(row))

    def entry_at(self, tenant: str, index: int) -> Entry | None:
        """See Reader."""
        row = self._row(_RAW_BY_RANGE, (tenant, index, index + 1, 1), _ANY_RAW)
        return None if row is None else _entry(_raw(row))

    def entries(self, tenant: str, start: int, stop: int) -> Iterator[Entry]:
        """See Reader."""
        return map(_entry, self.raw_entries(tenant, start, stop))

    def of_kind(self, tenant: str, kinds: Sequence[str], start: int, stop: int) -> Iterator[Entry]:
        """See Reader."""
        while start < stop:
            rows = self._rows(_OF_KIND, (tenant, start, stop, json.dumps(list(kinds)), _CHUNK), _ANY_RAW)
            self._growing(rows, _OF_KIND, 1, (start - 1,))
            yield from (_entry(_raw(row)) for row in rows)
            if len(rows) < _CHUNK:
                return
            start = cast(int, rows[-1][0]) + 1

    def about(self, tenant: str, person: Person, kinds: Sequence[str], before: int, most: int) -> list[Entry]:
        """See Reader."""
        wanted = (tenant, person.type, person.id, before, json.dumps(list(kinds)), most)
        return [_entry(_raw(row)) for row in self._rows(_ABOUT, wanted, _ANY_RAW)]

    def indices_about(self, tenant: str, person: Person) -> list[int]:
        """See Reader."""
        statement = "SELECT idx FROM payloads WHERE tenant = ? AND about_type = ? AND about_id = ? ORDER BY idx"
        return [cast(int, index) for (index,) in self._rows(statement, (tenant, person.type, person.id), _INDEX)]

    def hashes(self, tenant: str, level: int, start: int, stop: int) -> list[bytes]:
        """See Reader."""
        key: tuple[str | int, ...] = (tenant, start, stop) if level == 0 else (tenant, level, start, stop)
        return [cast(bytes, node) for (node,) in self._rows(_LEAVES if level == 0 else _NODES, key, _HASH)]

    def headers(self, tenant: str, start: int, stop: int) -> list[bytes]:
        """See Reader."""
        return [cast(bytes, header) for (header,) in self._rows(_HEADERS, (tenant, start, stop), _HASH)]

    def checkpoints(self, tenant: str, before: int, most: int) -> list[StoredCheckpoint]:
        """See Reader."""
        rows = self._rows(_CHECKPOINTS, (tenant, before, most), _A_CHECKPOINT)
        self._growing(rows[::-1], _CHECKPOINTS, 1, None)
        if rows and not cast(int, rows[0][0]) < before:
            raise self._damaged(_CHECKPOINTS, "keys that do not grow")
        return [
            StoredCheckpoint(
                size=cast(int, size),
                at=cast(str, at),
                log_note=cast(str, note),
                cosignatures=self._lines(cast(str, lines)),
            )
            for size, at, note, lines in rows
        ]

    def _lines(self, array: str) -> tuple[str, ...]:
        try:
            lines = json.loads(array)
        except ValueError as exc:
            raise self._damaged(_LOOSE, "a line that is no text") from exc
        if not all(isinstance(line, str) for line in lines):
            raise self._damaged(_LOOSE, "a line that is no text")
        return tuple(lines)

    def checkpoint(self, tenant: str, size: int | None = None) -> StoredCheckpoint | None:
        """See Reader."""
        found = self.checkpoints(tenant, _FAR if size is None else size + 1, 1)
        return found[0] if found and size in (None, found[0].size) else None

    def idempotent(self, tenant: str, key: str) -> tuple[str, str] | None:
        """See Reader."""
        statement = "SELECT request, entry_id FROM idempotency WHERE tenant = ? AND key = ?"
        row = self._row(statement, (tenant, key), _A_KEY)
        return None if row is None else (cast(str, row[0]), cast(str, row[1]))

    def rows(self, tenant: str, start: int, stop: int) -> list[RawRow]:
        """See Reader."""
        rows = self._rows(_RAW_BY_RANGE, (tenant, start, stop, stop - start), _ANY_RAW)
        return cast("list[RawRow]", self._growing(rows, _RAW_BY_RANGE, 1, (start - 1,)))

    def ids(self, tenant: str, after: str, most: int) -> list[tuple[str, int]]:
        """See Reader."""
        rows = self._rows(_IDS, (tenant, after, most), _AN_ID)
        return cast("list[tuple[str, int]]", self._growing(rows, _IDS, 1, (after,)))

    def loose_payloads(self, tenant: str) -> list[int]:
        """See Reader."""
        return [cast(int, index) for (index,) in self._rows(_LOOSE_PAYLOADS, (tenant,), _INDEX)]

    def loose_cosignatures(self, tenant: str) -> list[int]:
        """See Reader."""
        return [cast(int, size) for (size,) in self._rows(_LOOSE, (tenant,), _INDEX)]

    def raw_entries(self, tenant: str, start: int, stop: int) -> Iterator[RawEntry]:
        """See Reader."""
        while start < stop:
            rows = self._rows(_RAW_BY_RANGE, (tenant, start, stop, _CHUNK), _ANY_RAW)
            self._growing(rows, _RAW_BY_RANGE, 1, (start - 1,))
            yield from map(_raw, rows)
            if len(rows) < _CHUNK:
                return
            start = cast(int, rows[-1][0]) + 1

    def index_of(self, tenant: str, entry_id: str) -> int | None:
        """See Reader."""
        row = self._row("SELECT idx FROM entries WHERE tenant = ? AND id = ?", (tenant, entry_id), _INDEX)
        return None if row is None else cast(int, row[0])

    def projected(self, tenant: str, part: Part, after: Row | None) -> tuple[int, list[Row]]:
        """See Reader."""
        statement, first, shape = _PROJECTED[part]
        key = cast("tuple[str, ...]", first if after is None else after[: len(first)])
        self._rows("BEGIN")
        try:
            [[size]] = self._rows("SELECT coalesce(max(size), 0) FROM heads WHERE tenant = ?", (tenant,))
            rows = self._rows(statement, (tenant, *key, _CHUNK), shape)
            return cast(int, size), self._growing(rows, statement, len(first), key)
        finally:
            self._rows("ROLLBACK")

    def faults(self, *, whole: bool) -> tuple[bool, list[str]]:
        """See Reader."""
        found, ours = self._definitions()
        wrong = [f"{kind} {name} is not the one of the format" for kind, name, *_ in sorted(ours - found)]
        names = {name for _, name, *_ in ours}
        wrong += [
            f"{kind} {name} is none of the format's" for kind, name, *_ in sorted(found - ours) if name not in names
        ]
        if whole and ours <= found:
            wrong += [str(line) for (line,) in self._rows("PRAGMA integrity_check(20)") if line != "ok"]
        return ours <= found, wrong

    def _definitions(self) -> tuple[set[schema.Definition], frozenset[schema.Definition]]:
        """What the database defines, and what one of its format does, both as of one instant: see `projected`."""
        self._rows("BEGIN")
        try:
            db = self._connections.here()
            schema.check_format(db, self._path)  # anew: it may have been brought up since it was opened
            return schema.definitions(db), schema.ours(db.pragma("user_version"))
        except (apsw.Error, UnicodeDecodeError) as exc:
            raise NotReady(f"the ledger at {self._path} cannot be read: {exc}") from exc
        finally:
            self._rows("ROLLBACK")

    def strangers(self, *, whole: bool) -> dict[str, list[str]]:
        """See Reader."""
        found: dict[str, list[str]] = {}
        statement = " UNION ALL ".join(
            f"SELECT '{table}', * FROM ({(_ALL_TENANTS if whole else _TENANTS).format(table=table)})"  # noqa: S608
            for table in _TABLES
        )
        rows = self._rows(statement, (), _A_KEY)  # one statement, so of one snapshot
        headed = {tenant for table, tenant in rows if table == "heads"}
        for table, tenant in rows:
            if tenant not in headed and str(table) not in found.setdefault(str(tenant), []):
                found[str(tenant)].append(str(table))
        return found

    def end(self, tenant: str) -> int:
        """See Reader."""
        row = self._row("SELECT coalesce(max(idx), -1) + 1 FROM entries WHERE tenant = ?", (tenant,), _INDEX)
        return 0 if row is None else cast(int, row[0])

    def odd_nodes(self, tenant: str) -> list[tuple[int, int]]:
        """See Reader."""
        return cast("list[tuple[int, int]]", self._rows(_ODD_NODES, (tenant, tenant, tenant), _PLACE))


def _raw(row: Row) -> RawEntry:
    index, entry_id, header, leaf, payload, salt, about_type, about_id = cast(RawRow, row)
    about = Person(about_type, about_id) if about_type is not None and about_id is not None else None
    return RawEntry(index=index, id=entry_id, header=header, leaf=leaf, payload=payload, salt=salt, about=about)


def _entry(raw: RawEntry) -> Entry:
    header = entries_.parse_header(raw.header)
    return Entry(
        index=raw.index,
        id=header.id,
        at=header.at,
        kind=header.kind,
        tenant=header.tenant,
        header=raw.header,
        payload=raw.payload,
        salt=raw.salt,
        about=raw.about,
    )
