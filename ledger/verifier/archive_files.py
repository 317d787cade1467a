"""The files of an evidence archive as bytes: the manifest's shape, lines, and rows held against those made again.

Everything is read in pieces of bounded size, whatever a file claims to be.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar, Final, TypeAlias

from . import canonical, entries, reading
from .archive_rows import COLUMNS, Row, cell
from .errors import Invalid

FORMAT: Final = "muster/evidence/v1"
MANIFEST: Final = "manifest.json"
SIGNATURE: Final = "manifest.sig"
ALWAYS: Final = (
    "checkpoint", "log.vkey", "README.txt", "entries.ndjson", "proofs.ndjson", "evidence.csv", "evidence.json",
)  # fmt: skip
COMPLETE: Final = ("headers.bin", "range.json", "person.json")
FILTERS: Final = ("scope", "module", "persona", "since", "until", "decision", "incident")
COUNTS: Final = ("rows", "entries", "erased", "headers")
_FIELDS: Final = {
    "format", "made_at", "made_by", "tenant", "origin", "query", "range", "counts", "files", "checkpoint",
    "completeness", "limits",
}  # fmt: skip
_MOST_LINE: Final = 8 << 20
_MOST_FILE: Final = 4 << 20
_MOST_HASHED: Final = 1 << 36
"""A sparse file can have any size; what is this long is not read, whatever the manifest says."""
_MOST_BESIDE: Final = 1 << 30
"""Nor is what is this long, and not as long as the manifest says."""
_BLOCK: Final = 1 << 20
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_SHOWN: Final = 80

Tell: TypeAlias = Callable[[int | None, str | None, str], None]


def opened(folder: Path, name: str) -> io.BufferedReader:
    """A file of the folder itself, never through a link; raises Invalid."""
    try:
        return reading.opened(folder / name)
    except OSError as exc:
        raise Invalid(f"{name} cannot be read: {exc.strerror}") from exc


def small(folder: Path, name: str) -> bytes:
    """A whole file that has to be small; raises Invalid."""
    try:
        return reading.read(folder / name, _MOST_FILE)
    except OSError as exc:
        raise Invalid(f"{name} cannot be read: {exc.strerror}") from exc


def digest(folder: Path, name: str, said: int) -> tuple[str, int]:
    """SHA-256 and size of a file of so many bytes, the manifest says; raises Invalid."""
    running, size = sha256(), 0
    with opened(folder, name) as file:
        actual = os.fstat(file.fileno()).st_size
        if actual > _MOST_HASHED or (actual > _MOST_BESIDE and actual != said):
            raise Invalid(f"{name} is not the one of the manifest: {actual} bytes, the manifest says {said}")
        while block := file.read(_BLOCK):
            running.update(block)
            size += len(block)
    return running.hexdigest(), size


def lines(file: io.BufferedReader, name: str) -> Iterator[tuple[int, int, bytes]]:
    """(number, offset, line without its newline); raises Invalid where a line does not end, or not soon enough."""
    number = offset = 0
    while line := file.readline(_MOST_LINE):
        number += 1
        if not line.endswith(b"\n"):
            raise Invalid(f"{name}: line {number} has no end")
        yield number, offset, line[:-1]
        offset += len(line)


def manifest(data: bytes) -> dict[str, Any]:
    """The manifest, with every field as it has to be; raises Invalid."""
    value = canonical.parse(data)
    if value is None:
        raise Invalid("it is no canonical JSON object")
    wrong = [what for what, right in _shape(value) if not right]
    if wrong:
        raise Invalid(f"it is not a manifest of {FORMAT}: wrong are {', '.join(wrong)}")
    return value


def _shape(value: dict[str, Any]) -> Iterator[tuple[str, bool]]:
    query, span, counts, files = (_object(value, name) for name in ("query", "range", "counts", "files"))
    completeness, limits = _object(value, "completeness"), value.get("limits")
    yield "its fields", value.keys() == _FIELDS
    yield "format", value.get("format") == FORMAT
    for name in ("tenant", "origin", "checkpoint"):
        yield name, isinstance(value.get(name), str)
    yield "made_at", isinstance(value.get("made_at"), str) and entries.is_instant(value["made_at"])
    yield "query", query.keys() == {"subjects", *FILTERS} and _texts(query["subjects"])
    yield "query", all(query.get(name) is None or isinstance(query[name], str) for name in FILTERS)
    for name in ("since", "until"):
        yield f"query.{name}", query.get(name) is None or entries.is_instant(str(query[name]))
    yield "range", span.keys() == {"start", "stop"} and all(_count(n) for n in span.values())
    yield "counts", counts.keys() == set(COUNTS) and all(_count(n) for n in counts.values())
    yield "files", bool(files) and all(_file(described) for described in files.values())
    yield "completeness", isinstance(completeness.get("proved"), bool) and isinstance(completeness.get("why"), str)
    yield "limits", _texts(limits)


def _object(value: dict[str, Any], name: str) -> dict[str, Any]:
    found = value.get(name)
    return found if isinstance(found, dict) else {}


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def _count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _file(described: Any) -> bool:
    return (
        isinstance(described, dict)
        and described.keys() == {"sha256", "bytes"}
        and isinstance(described["sha256"], str)
        and _SHA256.fullmatch(described["sha256"]) is not None
        and _count(described["bytes"])
    )


class Listed:
    """The rows of one file, held against the rows that the entries give, in the order of the log."""

    name: ClassVar[str]
    head: ClassVar[bytes]
    lead: ClassVar[bytes] = b""
    between: ClassVar[bytes] = b""
    tail: ClassVar[bytes] = b""

    def __init__(self, file: io.BufferedReader, tell: Tell) -> None:
        self._file = file
        self._tell = tell
        self._written = sha256(self.head)
        self._whole = True
        self._pending: tuple[int, bytes] | None = None
        self._records = self._read()
        self._rows = 0

    def _read(self) -> Iterator[tuple[int, bytes]]:
        """(number of the row, its bytes)."""
        raise NotImplementedError

    def _spelled(self, row: Row) -> bytes:
        raise NotImplementedError

    def _cells(self, record: bytes) -> dict[str, Any] | None:
        """The cells of a record by column; None where it is not a row."""
        raise NotImplementedError

    def _shown(self, value: Any) -> Any:
        return value

    def take(self, row: Row) -> None:
        """The next row that has to be there."""
        wanted = self._spelled(row)
        self._written.update((self.between if self._rows else self.lead) + wanted)
        self._rows += 1
        while (actual := self._next()) is not None:
            number, record = actual
            if record == wanted:
                self._pending = None
                return
            cells = self._cells(record)
            if cells is None or self._same(cells, row):
                self._pending = None
                self._differences(number, cells, row)
                return
            if not self._before(cells, row):
                break
            self._pending = None
            self._wrong(None, None, f"row {number} is there twice, or of an entry that has none")
        self._wrong(row["index"], row["entry_id"], "the row of this entry is missing")

    def end(self, file_sha256: str) -> None:
        """After the last row."""
        while (actual := self._next()) is not None:
            self._pending = None
            self._wrong(None, None, f"row {actual[0]} is there twice, or of an entry that has none")
        self._written.update(self.tail)
        if self._whole and self._written.hexdigest() != file_sha256:
            self._wrong(None, None, "the rows are right, and not written as they have to be")

    def _next(self) -> tuple[int, bytes] | None:
        if self._pending is None:
            try:
                self._pending = next(self._records, None)
            except Invalid as exc:
                self._wrong(None, None, str(exc))
                self._records = iter(())
        return self._pending

    def _same(self, cells: dict[str, Any], row: Row) -> bool:
        return str(cells["index"]) == str(row["index"]) or cells["entry_id"] == row["entry_id"]

    def _before(self, cells: dict[str, Any], row: Row) -> bool:
        index = str(cells["index"])
        return not (index.isascii() and index.isdigit() and len(index) < 20) or int(index) < row["index"]

    def _differences(self, number: int, cells: dict[str, Any] | None, row: Row) -> None:
        place = row["index"], row["entry_id"]
        if cells is None:
            self._wrong(*place, f"row {number} is not a row with these columns")
            return
        wrong = [column for column in COLUMNS if cells[column] != self._shown(row[column])]
        for column in wrong:
            said, given = (str(value)[:_SHOWN] for value in (cells[column], self._shown(row[column])))
            self._wrong(*place, f"row {number}, column {column}: {said!r}, the entry gives {given!r}")
        if not wrong:
            self._wrong(*place, f"row {number} is right, and not written as it has to be")

    def _wrong(self, index: int | None, entry_id: str | None, detail: str) -> None:
        self._whole = False
        self._tell(index, entry_id, f"{self.name}: {detail}")


class Sheet(Listed):
    """`evidence.csv`, as RFC 4180 has it."""

    name = "evidence.csv"
    head = (",".join(COLUMNS) + "\r\n").encode()

    def _read(self) -> Iterator[tuple[int, bytes]]:
        number = length = quotes = 0
        parts: list[bytes] = []
        while line := self._file.readline(_MOST_LINE):
            parts.append(line)
            length += len(line)
            quotes += line.count(b'"')
            if length >= _MOST_LINE:
                raise Invalid(f"row {number} has no end")
            if quotes % 2 and line.endswith(b"\n"):
                continue  # a line's end within quotes
            record = b"".join(parts)
            if number or record != self.head:
                yield max(number, 1), record
            number, length, quotes, parts = number + 1, 0, 0, []
        if parts:
            yield number, b"".join(parts)

    def _spelled(self, row: Row) -> bytes:
        sheet = io.StringIO(newline="")
        csv.writer(sheet, lineterminator="\r\n").writerow([cell(row[column]) for column in COLUMNS])
        return sheet.getvalue().encode()

    def _cells(self, record: bytes) -> dict[str, Any] | None:
        try:
            [found] = csv.reader([record.decode()], strict=True)
        except (csv.Error, ValueError):
            return None
        return dict(zip(COLUMNS, found, strict=True)) if len(found) == len(COLUMNS) else None

    def _shown(self, value: Any) -> Any:
        return cell(value)


class Array(Listed):
    """`evidence.json`: an array, one object a line."""

    name = "evidence.json"
    head = b"["
    lead = b"\n"
    between = b",\n"
    tail = b"\n]\n"

    def _read(self) -> Iterator[tuple[int, bytes]]:
        number, closed = 0, False
        for number, _, line in lines(self._file, self.name):
            if closed:
                raise Invalid("it goes on behind its end")
            closed = line == b"]"
            if number > 1 and not closed:
                yield number - 1, line.removesuffix(b",")
        if not closed:
            raise Invalid(f"it has no end behind row {max(number - 1, 0)}")

    def _spelled(self, row: Row) -> bytes:
        return canonical.encode(row)

    def _cells(self, record: bytes) -> dict[str, Any] | None:
        try:
            value = json.loads(record)
        except (ValueError, RecursionError):
            return None
        return value if isinstance(value, dict) and value.keys() == set(COLUMNS) else None
