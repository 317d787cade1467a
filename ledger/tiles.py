"""The log as C2SP tlog-tiles: which files a tree of some size has, and what is in them.

Knows paths and bytes, and neither disk nor network. A partial tile is never hashed upwards, and there is no empty one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ledger.entry import MAX_HEADER
from ledger.errors import Malformed

WIDTH: Final = 256
_PATH: Final = re.compile(r"tile/(0|[1-9][0-9]?|entries)/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?", re.ASCII)
_MOST_GROUPS: Final = 6


@dataclass(frozen=True, slots=True)
class Tile:
    """One file: hashes of a level, or an entry bundle (`level` None); `width` is 256 where it is full."""

    level: int | None
    number: int
    width: int

    @property
    def start(self) -> int:
        """The number of its first hash, or entry."""
        return self.number * WIDTH

    @property
    def path(self) -> str:
        """Where it is, from the log's root."""
        room = "entries" if self.level is None else str(self.level)
        partial = "" if self.width == WIDTH else f".p/{self.width}"
        return f"tile/{room}/{_number(self.number)}{partial}"

    def within(self, size: int) -> bool:
        """Whether a tree of this size has all that is in it."""
        return self.start + self.width <= size >> 8 * (self.level or 0)


def parse(path: str) -> Tile:
    """The tile behind a path; raises Malformed."""
    match = _PATH.fullmatch(path)
    if match is None:
        raise Malformed("no tile has this path")
    room, number, width = match.groups()
    groups = number.replace("x", "").split("/")
    tile = Tile(None if room == "entries" else int(room), int("".join(groups)), int(width or WIDTH))
    # One spelling only: no leading group of zeroes, no level beyond 63, no width of 256 that calls itself partial.
    if len(groups) > _MOST_GROUPS or tile.path != path or (tile.level or 0) > 63 or tile.width > WIDTH:
        raise Malformed("no tile has this path")
    return tile


def tiles(size: int, *, since: int = 0) -> Iterator[Tile]:
    """All tiles of a tree of `size`; with `since`, those only that a tree of that size has not got, or not as full.

    Level by level, in the order of the log; entry bundles first.
    """
    for level in (None, *range(64)):
        count, before = size >> 8 * (level or 0), since >> 8 * (level or 0)
        if count == 0:
            return
        if count == before:
            continue
        for number in range(before // WIDTH, count // WIDTH):
            yield Tile(level, number, WIDTH)
        if count % WIDTH:
            yield Tile(level, count // WIDTH, count % WIDTH)


def bundle(entries: Sequence[bytes]) -> bytes:
    """An entry bundle: each entry behind its length as two bytes, big-endian."""
    data = bytearray()
    for entry in entries:
        if len(entry) > MAX_HEADER:
            raise Malformed(f"an entry of {len(entry)} bytes does not fit a bundle")
        data += len(entry).to_bytes(2) + entry
    return bytes(data)


def _number(number: int) -> str:
    groups = [f"{number % 1000:03d}"]
    while number := number // 1000:
        groups.insert(0, f"x{number % 1000:03d}")
    return "/".join(groups)
