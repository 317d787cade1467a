"""One check of an evidence archive as it goes: what is found, what is known by then, and how its files are read.

Everything is read in pieces, and what has to be looked up is in a temporary database.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from . import archive_files as files
from . import canonical, entries
from .errors import Invalid
from .finding import Finding, Report
from .ids import Ids
from .note import Checkpoint
from .signed import Keys
from .tree import Tree

_MOST_FINDINGS: Final = 10_000
_HEX: Final = re.compile(r"[0-9a-f]*")
_TABLES: Final = """
PRAGMA cache_size = -8192;
CREATE TABLE opened (
  idx INTEGER PRIMARY KEY, id TEXT NOT NULL, kind TEXT NOT NULL, type TEXT, identity TEXT,
  start INTEGER NOT NULL, length INTEGER NOT NULL, is_open INTEGER NOT NULL, header TEXT NOT NULL, leans TEXT
);
CREATE INDEX by_id ON opened (id);
CREATE INDEX by_person ON opened (identity, type, kind, idx);
CREATE INDEX by_first ON opened (leans) WHERE leans IS NOT NULL;
"""
_ROOM: Final = "SELECT start, length FROM opened WHERE is_open AND "


class Person:
    """The person of a complete archive, and the key by which entries about them are known."""

    def __init__(self, data: bytes) -> None:
        value = canonical.parse(data.removesuffix(b"\n"))
        first = value.get("first_entry") if value else None
        if value is None or value.keys() != {"type", "id", "ref", "key", "first_entry"} or not isinstance(first, dict):
            raise Invalid("person.json does not have the fields type, id, ref, key and first_entry")
        self.named = (str(value["type"]), str(value["id"]))
        self.ref = value["ref"]
        self.key = octets(value["key"], 32, "person.json: the key")
        if first.keys() != {"index", "id"} or type(first["index"]) is not int:
            raise Invalid("person.json: first_entry has to be an index and an ID")
        self.first, self.first_id = first["index"], first["id"]


class Run:
    """A check of one folder; what is found has to be asked for with `report`."""

    def __init__(self, folder: Path, vkeys: tuple[str, ...]) -> None:
        self.folder = folder
        self.vkeys = vkeys
        self._findings: list[Finding] = []
        self._more = 0
        self.told: list[str] = []
        self.scratch = sqlite3.connect("")
        self.scratch.executescript(_TABLES)
        self.ids = Ids()
        self._opened: io.BufferedReader | None = None
        self.keys = Keys()
        self.person: Person | None = None
        self.said = Checkpoint("", 0, Tree().root())
        self.roots: dict[int, bytes] = {}
        self.counted = dict.fromkeys(files.COUNTS, 0)
        self.manifest: dict[str, Any] = {}
        self.digests: dict[str, str] = {}

    def close(self) -> None:
        """Leave nothing open, and no temporary database."""
        self.scratch.close()
        self.ids.close()
        if self._opened is not None:
            self._opened.close()

    @property
    def wrong(self) -> int:
        """How much was found so far, listed or not."""
        return len(self._findings) + self._more

    def found(self, index: int | None, entry_id: str | None, check: str, detail: str) -> None:
        """Something is wrong."""
        if len(self._findings) < _MOST_FINDINGS:
            self._findings.append(Finding(index=index, id=entry_id, check=check, detail=detail))
        else:
            self._more += 1

    def report(self) -> Report:
        """What was found, as far as it is listed."""
        told = [*self.told, *([f"{self._more} more findings are not listed"] if self._more else [])]
        return Report(
            size=self.said.size,
            root=self.said.root,
            findings=tuple(self._findings),
            checkpoints=int(self.said.origin != ""),
            erased=self.counted["erased"],
            told=tuple(told),
        )

    def is_here(self, entry_id: str) -> bool:
        """Whether an entry of this ID is in the archive, opened or not."""
        return self.scratch.execute("SELECT 1 FROM opened WHERE id = ?", (entry_id,)).fetchone() is not None

    def is_leaned_on(self, entry_id: str) -> bool:
        """Whether a leased decision in the archive leans on the one of this ID."""
        return self.scratch.execute("SELECT 1 FROM opened WHERE leans = ?", (entry_id,)).fetchone() is not None

    def value(self, where: str, bindings: tuple[Any, ...]) -> dict[str, Any] | None:
        """The payload of an opened entry."""
        room = self.scratch.execute(_ROOM + where, bindings).fetchone()
        return None if room is None else self.at(*room)

    def at(self, start: int, length: int) -> dict[str, Any] | None:
        """The payload of the entry on a line of entries.ndjson."""
        if self._opened is None:
            self._opened = files.opened(self.folder, "entries.ndjson")
        self._opened.seek(start)
        line = json.loads(self._opened.read(length))
        return entries.payload(str(line["payload"]).encode())

    def lines(self, name: str) -> Iterator[tuple[int, int, bytes]]:
        """(number, offset, line) of a file; ends, with a finding, where it cannot be read."""
        try:
            with files.opened(self.folder, name) as file:
                yield from files.lines(file, name)
        except Invalid as exc:
            self.found(None, None, "file", str(exc))

    def small(self, name: str, parse: Callable[[bytes], Any]) -> Any:
        """What a small file says; None, with a finding, where it cannot be read."""
        try:
            return parse(files.small(self.folder, name))
        except Invalid as exc:
            self.found(None, None, "file", str(exc))
            return None


def need(condition: bool, otherwise: str) -> None:
    """Raise Invalid unless something holds."""
    if not condition:
        raise Invalid(otherwise)


def is_index(value: Any) -> bool:
    """Whether a JSON value can be an entry's index."""
    return type(value) is int and value >= 0


def octets(text: Any, length: int, what: str) -> bytes:
    """So many bytes from lower-case hex; raises Invalid."""
    if not isinstance(text, str) or len(text) != 2 * length or not _HEX.fullmatch(text):
        raise Invalid(f"{what} has to be {length} bytes in lower-case hex")
    return bytes.fromhex(text)


def hashes(value: Any) -> list[bytes]:
    """A list of hashes from a JSON value; raises Invalid."""
    if not isinstance(value, list) or len(value) > 128:
        raise Invalid("a list of hashes is not one")
    return [_hash(text) for text in value]


def _hash(text: Any) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, TypeError, ValueError) as exc:
        raise Invalid("a hash is not base64") from exc
    if len(data) != 32 or base64.b64encode(data).decode() != text:
        raise Invalid("a hash is not 32 bytes of base64 in its one spelling")
    return data
