"""A private folder inside the home for what is being made: on the home's own disk, gone with whoever made it.

What lies there is as private as the ledger. A folder that a killed process left is removed by the next one: its lock
is free.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

PREFIX: Final = ".upkeep-"


@contextmanager
def scratch(home: Path) -> Iterator[Path]:
    """A new folder (0700), locked while it is used, and removed with all that is in it."""
    _sweep(home)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=home))
    lock = locked(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _sweep(home: Path) -> None:
    for folder in home.glob(f"{PREFIX}*"):
        lock = locked(folder)
        if lock is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def locked(folder: Path) -> int | None:
    """A descriptor that holds the folder's lock; None where somebody else does, or where it is gone."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
