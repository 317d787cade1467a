"""The log as tlog-tiles: what is in a tile, and a folder of them that is kept up with the log.

An export is begun once and brought up to date as often as one likes. The checkpoint is written last and by rename, so
it never names a tile that is not there; a folder that holds another log, or a later one, is refused and left as it is.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engine.errors import BadRequest, Conflict
from engine.publishing.outside import contradicts
from ledger import tiles
from ledger.errors import Malformed
from ledger.merkle import STEP
from ledger.model import StoredCheckpoint
from ledger.store import Reader
from ledger.tiles import Tile
from ledger.verifier.errors import Invalid
from ledger.verifier.note import Checkpoint, Key, opened, parse_key

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What an export did: the checkpoint's size, and how many files it wrote."""

    size: int
    before: int
    files: int


def content(reader: Reader, tenant: str, tile: Tile) -> bytes:
    """The bytes of a tile that the log covers; raises Malformed where it does not."""
    stop = tile.start + tile.width
    if tile.level is None:
        entries = reader.headers(tenant, tile.start, stop)
        data, whole = tiles.bundle(entries), len(entries) == tile.width
    else:
        hashes = reader.hashes(tenant, tile.level * 8 // STEP, tile.start, stop)
        data, whole = b"".join(hashes), len(hashes) == tile.width
    if not whole:
        raise Malformed(f"the log has not all that {tile.path} holds: run `muster ledger verify`")
    return data


def export(
    reader: Reader, tenant: str, key: Key, checkpoint: StoredCheckpoint, folder: Path, progress: Progress
) -> Exported:
    """Write what a folder lacks of the log up to a checkpoint; raises BadRequest, Conflict for a foreign folder."""
    before = _before(reader, tenant, key, checkpoint, folder)
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "log.vkey", f"{key.vkey()}\n".encode())
    wanted = list(tiles.tiles(checkpoint.size, since=before))
    for done, tile in enumerate(wanted):
        _write(folder / tile.path, content(reader, tenant, tile))
        progress(done + 1, len(wanted))
    _write(folder / "checkpoint", checkpoint.note.encode())
    for tile in wanted:
        if tile.width == tiles.WIDTH:
            _clear_partials(folder / tile.path)
    return Exported(size=checkpoint.size, before=before, files=len(wanted))


def _before(reader: Reader, tenant: str, key: Key, checkpoint: StoredCheckpoint, folder: Path) -> int:
    """How much of this log a folder has already."""
    held, known = folder / "checkpoint", folder / "log.vkey"
    if not held.exists():
        if (folder / "tile").exists() and not known.exists():
            raise BadRequest(
                f"{folder} has tiles of a log and neither its checkpoint nor its key: give an empty folder"
            )
        return 0
    said = _read(held, known, key)
    if said.origin != key.name:
        return 0  # the log has another name by now: its tiles are the same, and all are written again
    if said.size > checkpoint.size:
        raise Conflict(
            f"{folder} has a checkpoint of {said.size} entries, this log one of {checkpoint.size}: rolled back?"
        )
    contradiction = contradicts(reader, tenant, said)
    if contradiction is not None:
        raise Conflict(f"{folder} holds another log than this one: {contradiction}")
    return said.size


def _read(held: Path, known: Path, key: Key) -> Checkpoint:
    for candidate in (key, *([parse_key(known.read_text())] if known.exists() else [])):
        try:
            return opened(held.read_bytes(), candidate)[0]
        except Invalid as exc:
            wrong = exc
    raise BadRequest(f"{held} is not a checkpoint of this log: give an empty folder, or the right one ({wrong})")


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all, and on the disk before anything that comes after it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    with fresh.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _clear_partials(full: Path) -> None:
    """The partial tiles of a tile that is full now: readers take the full one's beginning."""
    partials = full.with_name(f"{full.name}.p")
    if partials.is_dir():
        for path in partials.iterdir():
            path.unlink()
        partials.rmdir()
