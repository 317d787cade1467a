"""Who owns a database's file, and how much room there is beside it."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ledger.errors import HomeLocked

_HOLDS_S: Final = 0.02


def take_ownership(path: Path) -> int:
    """Lock a file beside the database: closing any descriptor of the database itself drops SQLite's locks."""
    descriptor = os.open(f"{path}.owner", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        os.close(descriptor)
        raise HomeLocked(f"another process owns the ledger at {path}") from exc
    return descriptor


def free(path: Path) -> int:
    """How many bytes more the disk of a database takes."""
    stat = os.statvfs(path.parent)
    return stat.f_bavail * stat.f_frsize


class Room:
    """`free`, asked again only when the last answer is 20 ms old: with each commit it would take 15 us.

    The floor that is left free is 256 MB, and no disk takes 13 GB in a second: what was above the floor 20 ms ago is
    not full now.
    """

    def __init__(self, ask: Callable[[Path], int] = free, clock: Callable[[], float] = time.monotonic) -> None:
        self._ask = ask
        self._clock = clock
        self._until = float("-inf")
        self._free = 0

    def __call__(self, path: Path) -> int:
        """How many bytes more the disk of a database takes, as of 20 ms ago at the most."""
        now = self._clock()
        if now >= self._until:
            self._free = self._ask(path)
            self._until = now + _HOLDS_S
        return self._free
