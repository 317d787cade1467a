"""A backup of a home while it is in use: copied, verified, and only then called one.

The log is copied first, then the files that it may name, so that whatever a copied entry leans on is there. What is
erased, or handed over to another key, while it is made is done in the copy too before it ends. It is recorded in the
log before it counts, so that no erasure after that can miss it.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.errors import BadRequest, Unavailable
from engine.home import Home, write_private
from engine.publishing.outside import Outside, contradicts
from engine.upkeep import files
from engine.upkeep.index import NAME, Index, NotWhole
from engine.upkeep.scratch import scratch
from ledger import instants
from ledger.errors import Malformed
from ledger.rebuild import Progress, silent
from ledger.sqlite import SqliteReader
from ledger.sqlite.copying import Copied, Copying
from ledger.verifier.note import Checkpoint
from ledger.verify import Trust, verify

DATABASE: Final = "ledger.db"
_ROUNDS: Final = 10
_FILES: Final = ("version", "muster.toml")
_GROWING: Final = ("bundles", "content", "opa")
"""Folders whose files never change under their names."""
KEYS: Final = "keys"
_TOLD: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """A backup that was made, and the SHA-256 of its index."""

    folder: Path
    index: Index
    sha256: str


Recorder = Callable[[str, str, int], None]
"""Says in a tenant's log that a backup with this SHA-256 was made of so many entries; raises MusterError."""


def backup(
    home: Home, outside: Outside, folder: Path, *, with_keys: bool, record: Recorder, progress: Progress = silent
) -> Backup:
    """Make a backup in an empty folder; raises BadRequest, NotWhole where the log is damaged, Unavailable."""
    _prepare(home, folder)
    known = {tenant: outside.read(tenant) for tenant in outside.tenants()}
    signed = {tenant: kept[1] for tenant, kept in known.items() if kept is not None}
    with (
        scratch(home.path) as aside,
        closing(Copying(home.database, folder / DATABASE, aside, progress)) as copying,
    ):
        for _ in range(_ROUNDS):
            _grow(copying)
            names = _copy_files(home.path, folder, with_keys=with_keys)
            if copying.moved():
                continue
            tenants = copying.settle()
            check_log(folder / DATABASE, tenants, signed)
            names |= _checkpoints(folder, tenants)
            names[DATABASE] = files.digest(folder / DATABASE)
            at = instants.now_from(time.time_ns())
            index = Index(made_at=at, with_keys=with_keys, tenants=tenants, files=dict(sorted(names.items())))
            sha256 = hashlib.sha256(index.to_bytes()).hexdigest()
            for tenant, copied in tenants.items():
                record(tenant, sha256, copied.size)
            if not copying.moved():
                files.sync(folder)
                write_private(folder / NAME, index.to_bytes().decode())
                return Backup(folder=folder, index=index, sha256=sha256)
    raise Unavailable("people are erased without a pause: what is in the folder is no backup; try again later")


def _prepare(home: Home, folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadRequest(f"{folder} is not an empty folder: a backup is made in one of its own")
    if folder.resolve().is_relative_to(home.path.resolve()):
        raise BadRequest(f"{folder} is inside the home: a backup belongs elsewhere, best on another disk")
    files.make_folder(folder)
    folder.chmod(0o700)


def _grow(copying: Copying) -> None:
    try:
        copying.grow()
    except Malformed as exc:
        raise NotWhole(f"the log is not whole, so no backup was made of it: {exc}; see `muster ledger verify`") from exc


def _copy_files(home: Path, folder: Path, *, with_keys: bool) -> dict[str, str]:
    """Copy whatever else is in the home; answers SHA-256 by path."""
    copied = {
        name: files.copy(home / name, folder / name)
        for name in _FILES
        if (home / name).is_file() and (with_keys or b"log_key" not in (home / name).read_bytes())
    }
    for room in _GROWING:
        for name in files.listed(home / room):
            path = f"{room}/{name}"
            copied[path] = files.copy(home / path, folder / path)
    if with_keys:
        shutil.rmtree(folder / KEYS, ignore_errors=True)  # of a round before: the log's key may be another one now
        for name in files.listed(home / KEYS):
            with suppress(FileNotFoundError):  # a new key took its place; the log says so, and we come again
                copied[f"{KEYS}/{name}"] = files.copy(home / KEYS / name, folder / KEYS / name)
    return copied


def _checkpoints(folder: Path, tenants: dict[str, Copied]) -> dict[str, str]:
    """Put beside the copy its own newest checkpoints: the home's are ahead of it."""
    beside = Outside(folder / "checkpoints")
    written = {}
    for tenant, copied in tenants.items():
        if copied.checkpoint is not None:
            beside.write(tenant, copied.checkpoint)
            path = beside.path(tenant)
            written[path.relative_to(folder).as_posix()] = files.digest(path)
    return written


def check_log(database: Path, tenants: Mapping[str, Copied], signed: Mapping[str, Checkpoint]) -> None:
    """Verify a copied database, and hold it against checkpoints that were kept elsewhere; raises NotWhole."""
    reader = SqliteReader(database)
    try:
        for tenant, copied in tenants.items():
            report = verify(reader, tenant, Trust(offline=True))
            if not report.ok or (report.size, report.root) != (copied.size, copied.root):
                found = "; ".join(map(str, report.findings[:_TOLD])) or f"{report.size} entries, not {copied.size}"
                raise NotWhole(f"the copied log of {tenant} is not whole: {found}")
        for tenant, said in signed.items():
            wrong = contradicts(reader, tenant, said)
            if wrong is not None:
                raise NotWhole(f"{wrong}; see `muster ledger verify`")
    finally:
        reader.close()
