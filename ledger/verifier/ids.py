"""Which entries of a log share an ID: what leans on an entry names it by its ID, so each has to be one entry's alone.

IDs are in no order of the log, so all of them have to be compared: by a temporary database, which sorts them in files.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Final

_TOGETHER: Final = 1024
_TABLE: Final = """
PRAGMA cache_size = -2048;
CREATE TABLE seen (id BLOB NOT NULL, idx INTEGER NOT NULL);
"""
_TWICE: Final = "SELECT id, min(idx), max(idx) FROM seen GROUP BY id HAVING min(idx) < max(idx) ORDER BY max(idx)"


class Ids:
    """The IDs of entries as they are read, in whatever order; the same entry may be read again."""

    def __init__(self) -> None:
        self._scratch = sqlite3.connect("")
        self._scratch.executescript(_TABLE)
        self._waiting: list[tuple[bytes, int]] = []

    def close(self) -> None:
        """Leave no temporary database."""
        self._scratch.close()

    def take(self, index: int, entry_id: str) -> None:
        """Note the ID of the entry at an index."""
        self._waiting.append((bytes.fromhex(entry_id.replace("-", "")), index))
        if len(self._waiting) == _TOGETHER:
            self._write()

    def twice(self) -> Iterator[tuple[int, str, str]]:
        """(index, ID, what is wrong) of the last entry of each ID that more than one has, in the order of the log."""
        self._write()
        for data, first, last in self._scratch.execute(_TWICE):
            text = data.hex()
            entry_id = "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
            yield last, entry_id, f"entry {first} has the same ID"

    def _write(self) -> None:
        self._scratch.executemany("INSERT INTO seen VALUES (?, ?)", self._waiting)
        self._waiting.clear()
