"""Many rows to a statement: what a transaction asks for together, and what it writes together.

Each step of a statement gives Python's lock away, and a busy event loop in another thread keeps it for up to a whole
switch interval. So the number of steps is what counts, not that of rows: statements come in a few widths, and what
does not fill one is filled up with what the statement leaves out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Final, TypeAlias

import apsw
import orjson

from ledger.sqlite.memory import Known

Value: TypeAlias = str | int | bytes | None
Db: TypeAlias = apsw.Connection | apsw.Cursor
"""What takes statements. A connection makes a cursor for each of them, which takes longer than most of them do."""

_WIDTHS: Final = (1, 4, 16, 64, 256)
_MOST: Final = _WIDTHS[-1]

# One row, so one step, for all of them. (As keys of a JSON object SQLite cuts names at a null.)
_VERSIONS: Final = "SELECT json_group_array(json_array(name, version)) FROM objects WHERE tenant = ? AND name IN ({})"
_PEOPLE: Final = """
SELECT json_group_array(json_array(id, ref, hex(k))) FROM people WHERE tenant = ? AND type = ? AND id IN ({})
"""


@cache
def _asking(statement: str, width: int) -> str:
    return statement.format(", ".join("?" * width))


def _width(count: int) -> int:
    return next(width for width in _WIDTHS if width >= count)


def _filled(values: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Values for statements that take so many of them; the last one stands in for what is missing."""
    for start in range(0, len(values), _MOST):
        part = list(values[start : start + _MOST])
        width = _width(len(part))
        yield width, part + part[-1:] * (width - len(part))


def versions(db: Db, tenant: str, names: Sequence[str]) -> dict[str, int]:
    """The versions of those of some objects that exist."""
    found: dict[str, int] = {}
    for width, part in _filled(names):
        found |= dict(orjson.loads(db.execute(_asking(_VERSIONS, width), (tenant, *part)).get))
    return found


def people(db: Db, tenant: str, kind: str, ids: Sequence[str]) -> dict[str, Known]:
    """Ref and key of those of some people of one type who are known, by their IDs."""
    found: dict[str, Known] = {}
    for width, part in _filled(ids):
        rows = orjson.loads(db.execute(_asking(_PEOPLE, width), (tenant, kind, *part)).get)
        found |= {person: (ref, bytes.fromhex(key)) for person, ref, key in rows}
    return found


class Table:
    """A table that rows are written into. Its first column is never null."""

    __slots__ = ("_columns", "_statements")

    def __init__(self, name: str, *columns: str) -> None:
        self._columns = len(columns)
        self._statements = {width: _writing(name, columns, width) for width in _WIDTHS}

    def write(self, db: Db, values: list[Value]) -> None:
        """Write the rows that these values make one behind the other, in their order."""
        columns = self._columns
        if len(values) == columns:
            db.execute(self._statements[1], values)
            return
        for start in range(0, len(values), _MOST * columns):
            part = values[start : start + _MOST * columns]
            width = _width(len(part) // columns)
            part += [None] * (width * columns - len(part))
            db.execute(self._statements[width], part)


def _writing(table: str, columns: tuple[str, ...], width: int) -> str:
    names = ", ".join(columns)
    row = f"({', '.join('?' * len(columns))})"
    if width == 1:
        return f"INSERT INTO {table} ({names}) VALUES {row}"  # noqa: S608  our own names
    # If a row is refused, nobody goes on with the transaction. Of a statement that could be undone alone SQLite would
    # copy each page before it changes it, from 64 KB on into a file: a quarter of what a full group takes.
    chosen = ", ".join(f"column{number}" for number in range(1, len(columns) + 1))
    values = ", ".join([row] * width)
    return f"INSERT OR ROLLBACK INTO {table} ({names}) SELECT {chosen} FROM (VALUES {values}) WHERE column1 IS NOT NULL"  # noqa: S608
