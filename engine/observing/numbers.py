"""Numbers of one process, kept where the other workers of the service can read them, even after its death.

One file for each process, mapped into memory: a count is an addition to a 64-bit integer, and it stays when the
process is killed in the next microsecond. Whoever owns a file holds a lock on it (flock, which the kernel drops at
death). A new worker takes over a dead one's file and counts on from it: sums never fall, and files do not pile up.

Layout, in the machine's own byte order: int64 magic, int64 length of the keys, CELLS int64 numbers, then the keys: one
JSON line `[name, [label values], width]` for each series, in the order of their cells.
"""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import struct
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from engine.errors import SetupError

Labels: TypeAlias = tuple[str, ...]
Key: TypeAlias = tuple[str, Labels]

CELLS: Final = 16_384
KEY_BYTES: Final = 512 * 1024
SUFFIX: Final = ".numbers"
LEFT_OUT: Final = "muster_left_out_total"
"""The series of what was counted for others that found no room: the first one of every file."""

_MAGIC: Final = 0x6D7573746572_0001
_HEAD: Final = 16
_KEYS_AT: Final = _HEAD + 8 * CELLS
_SIZE: Final = _KEYS_AT + KEY_BYTES


@dataclass(frozen=True, slots=True)
class Series:
    """One series as a process has counted it; `alive` is whether that process still runs."""

    name: str
    labels: Labels
    values: list[int]
    alive: bool


class Numbers:
    """The numbers of this process.

    A cell is added to by one thread only: `cells[i] += 1` is three steps and no lock is taken for it.
    """

    def __init__(self, folder: Path | None = None) -> None:
        """`folder` is shared by the workers of one service; without one the numbers are this process's alone.

        Raises SetupError if the folder cannot hold them.
        """
        self.folder = folder
        self._file, self._path = -1, Path()
        if folder is None:
            self._memory = mmap.mmap(-1, _SIZE)
        else:
            try:
                self._file, self._path = _taken_over(folder) or _made(folder)
                self._memory = mmap.mmap(self._file, _SIZE)
            except OSError as exc:
                raise SetupError(f"{folder}: the workers' numbers cannot be kept here: {exc}") from exc
        self._head = memoryview(self._memory)[:_HEAD].cast("q")
        self.cells = memoryview(self._memory)[_HEAD:_KEYS_AT].cast("q")
        self._placing = threading.Lock()
        self._places: dict[Key, tuple[int, int]] = dict(_places(self._memory))
        self._free = max((at + width for at, width in self._places.values()), default=0)
        self._left_out = self.place(LEFT_OUT)

    def place(self, name: str, labels: Labels = (), width: int = 1) -> int:
        """The first of the `width` cells of a series. One that finds no room is counted in LEFT_OUT."""
        found = self._places.get((name, labels))
        if found is not None:
            return found[0]
        line = json.dumps([name, labels, width]).encode() + b"\n"
        with self._placing:
            found = self._places.get((name, labels))
            if found is not None:
                return found[0]
            at, end = self._free, self._head[1] + len(line)
            if at + width > CELLS or end > KEY_BYTES:
                if width > 1:
                    raise ValueError(f"no room for the {width} cells of {name}")
                return self._left_out
            # The length is written last: a process that is killed before it has added nothing.
            self._memory[_KEYS_AT + self._head[1] : _KEYS_AT + end] = line
            self._head[1] = end
            self._free = at + width
            self._places[name, labels] = at, width
            return at

    def own(self) -> Iterator[Series]:
        """The series of this process."""
        for (name, labels), (at, width) in list(self._places.items()):
            yield Series(name, labels, list(self.cells[at : at + width]), alive=True)

    def series(self) -> Iterator[Series]:
        """The series of this process and of all that share the folder, dead ones too."""
        yield from self.own()
        for path in sorted(self.folder.glob(f"*{SUFFIX}")) if self.folder is not None else ():
            if path != self._path:
                yield from _read(path)

    def close(self) -> None:
        """Leave the numbers to whoever comes next; what is still counted may be lost."""
        if self._file >= 0:
            fcntl.flock(self._file, fcntl.LOCK_UN)
            os.close(self._file)
            self._file = -1


def _made(folder: Path) -> tuple[int, Path]:
    """A new file, locked before anybody can see it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file, name = tempfile.mkstemp(suffix=".new", dir=folder)
    # With its blocks: a write into a hole of a mapped file on a full disk is a SIGBUS.
    os.posix_fallocate(file, 0, _SIZE)
    os.pwrite(file, struct.pack("=q", _MAGIC), 0)
    fcntl.flock(file, fcntl.LOCK_EX)
    path = Path(name).with_suffix(SUFFIX)
    return file, Path(name).rename(path)


def _taken_over(folder: Path) -> tuple[int, Path] | None:
    """The file of a process that has ended, now locked by this one."""
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        if _lock(file, fcntl.LOCK_EX) and _whole(file):
            return file, path
        os.close(file)
    return None


def _read(path: Path) -> Iterator[Series]:
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        # A lock that can be had means that nobody owns the file. While it is held a starting worker makes a new one.
        alive = not _lock(file, fcntl.LOCK_SH)
        if not _whole(file):
            return
        with mmap.mmap(file, _SIZE, access=mmap.ACCESS_READ) as memory:
            for (name, labels), (at, width) in _places(memory):
                values = struct.unpack_from(f"={width}q", memory, _HEAD + 8 * at)
                yield Series(name, labels, list(values), alive)
    finally:
        os.close(file)


def _places(memory: mmap.mmap) -> Iterator[tuple[Key, tuple[int, int]]]:
    """Where the series of a file stand."""
    (length,) = struct.unpack_from("=q", memory, 8)
    at = 0
    for line in memory[_KEYS_AT : _KEYS_AT + length].splitlines():
        name, labels, width = json.loads(line)
        yield (name, tuple(labels)), (at, width)
        at += width


def _whole(file: int) -> bool:
    return os.fstat(file).st_size == _SIZE and os.pread(file, 8, 0) == struct.pack("=q", _MAGIC)


def _lock(file: int, how: int) -> bool:
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
