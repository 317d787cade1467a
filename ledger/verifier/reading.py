"""Files of an export as bytes: regular ones only, of a bounded size, and never through a link.

Whoever made an export chose what lies in it: a pipe never ends, a device is never whole, and a sparse file of a
terabyte costs its maker nothing.
"""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path
from typing import Final

from .errors import Invalid

MOST_KEY: Final = 4 << 10
MOST_NOTE: Final = 1 << 20


def opened(path: Path, *, follow: bool = False) -> io.BufferedReader:
    """A regular file, through a link only to `follow`; raises Invalid for anything else, OSError where none is."""
    if not follow and path.is_symlink():
        raise Invalid(f"{path.name} is a link")
    flags = os.O_RDONLY
    for more in ("O_CLOEXEC", "O_NONBLOCK", "O_NOCTTY", "O_BINARY", *(() if follow else ("O_NOFOLLOW",))):
        flags |= getattr(os, more, 0)  # not every system has each
    fd = os.open(path, flags)
    if not stat.S_ISREG(os.fstat(fd).st_mode):  # os.fdopen would refuse a folder, with an error of its own
        os.close(fd)
        raise Invalid(f"{path.name} is not a file")
    return os.fdopen(fd, "rb")


def read(path: Path, most: int, *, follow: bool = False) -> bytes:
    """A whole file of at most so many bytes; raises Invalid, or OSError where there is none."""
    with opened(path, follow=follow) as file:
        try:
            data = file.read(most + 1)
        except OSError as exc:
            raise Invalid(f"{path.name} cannot be read: {exc.strerror}") from exc
    if len(data) > most:
        raise Invalid(f"{path.name} is larger than {most} bytes")
    return data
