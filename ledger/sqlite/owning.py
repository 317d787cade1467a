"""Who owns a database's file, and how much room there is beside it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from ledger.errors import HomeLocked


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
