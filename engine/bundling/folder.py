"""A module's files: one folder of the source, with what a private overlay lays over it, and the digest of both.

Answer keys may live apart from the words that everybody reads: `OVERLAY/modules/<id>/keys.yaml` stands for the file of
that path in the module's folder. The digest is that of the files together, so it does not matter where they lie.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

from ledger import canonical
from ledger.canonical import JSON

Files: TypeAlias = Mapping[str, bytes]
"""Content by path, with `/` between its parts."""

MOST_BYTES = 32 * 1024 * 1024
"""What one module may weigh, its media included: it is read into memory to be hashed and stored."""


def read(folder: Path, overlay: Path | None = None) -> dict[str, bytes]:
    """Every file of a folder, those of the overlay in the place of their namesakes."""
    found: dict[str, bytes] = {}
    for root in (folder, overlay):
        if root is not None and root.is_dir():
            found |= {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}
    return found


def digest(files: Files) -> str:
    """SHA-256 (hex) over the canonical, sorted list of (path, SHA-256)."""
    listed: list[JSON] = [[name, hashlib.sha256(data).hexdigest()] for name, data in sorted(files.items())]
    return hashlib.sha256(canonical.encode(listed)).hexdigest()


def odd_files(folder: Path) -> Iterator[str]:
    """What would make a module's digest mean something else than what a reviewer sees."""
    weight = 0
    if folder.is_symlink():
        yield "the folder is a link"
        return
    for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
        name = path.relative_to(folder).as_posix()
        if not name.isprintable():
            yield f"{name!r} is not a name that can be written"
        elif path.name.startswith("."):
            yield f"{name} is hidden"
        elif path.is_symlink() or not (path.is_dir() or path.is_file()):
            yield f"{name} is a link, or no file at all"
        elif not os.access(path, os.R_OK):
            yield f"{name} cannot be read"
        else:
            weight += path.stat().st_size
    if weight > MOST_BYTES:
        yield f"its files weigh {weight} bytes, at most {MOST_BYTES} can be stored"
