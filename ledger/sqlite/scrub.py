"""What is left of an erased person in a database's files after its rows are gone, and how it goes too.

`secure_delete` zeroes what is deleted. It does not reach copies that SQLite left in the unused middle of a page when it
moved cells to another page (measured: after 3 of 100 erasures in a file of 3.7 MB). Only writing the whole file anew
removes those, so it is looked for, and done where it is needed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import apsw

from ledger.errors import NotReady
from ledger.sqlite import schema

_CHUNK: Final = 1 << 20
_KEPT: Final = dict[tuple[int, int], int]()


@dataclass(frozen=True, slots=True)
class Scrub:
    """The writer's work: empty the log of writes; with `rewrite`, write the whole database anew before that."""

    rewrite: bool


def scrub(db: apsw.Connection, how: Scrub) -> None:
    """Do it; raises NotReady while somebody reads what is to go."""
    # Who reads on is not waited for: appends are behind this, and whoever asked for it asks again.
    db.set_busy_timeout(0)
    try:
        if how.rewrite:
            db.execute("VACUUM")
        db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    except (apsw.BusyError, apsw.LockedError) as exc:
        raise NotReady("somebody is reading the ledger without a break; try again") from exc
    except apsw.FullError as exc:
        raise NotReady("the disk has no space to write the ledger anew") from exc
    finally:
        db.set_busy_timeout(schema.BUSY_MS)


def files(path: Path) -> list[Path]:
    """The files of a database that are there."""
    return [file for file in (path, Path(f"{path}-wal"), Path(f"{path}-shm")) if file.is_file()]


def occurrences(path: Path, needle: bytes) -> int:
    """How often bytes stand in one file."""
    descriptor, count, offset, window = _descriptor(path), 0, 0, b""
    while chunk := os.pread(descriptor, _CHUNK, offset):
        offset += len(chunk)
        window = window[max(0, len(window) - len(needle) + 1) :] + chunk
        at = window.find(needle)
        while at != -1:
            count += 1
            at = window.find(needle, at + 1)
    return count


def _descriptor(path: Path) -> int:
    """A file that is read beside SQLite, and never closed: whoever closes any descriptor of a file loses all locks that
    the process has on it, SQLite's among them (fcntl(2)). The next program that opened and closed the database would
    take itself for the last one, and delete the log of writes with all that is still written to it."""
    status = path.stat()
    return _KEPT.get((status.st_dev, status.st_ino)) or _KEPT.setdefault(
        (status.st_dev, status.st_ino), os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    )


def remains(path: Path, needles: Iterable[bytes]) -> int:
    """How often any of these stands in a database's files."""
    return sum(occurrences(file, needle) for needle in needles for file in files(path))
