"""`backup.json`: what a backup holds. It is written last, so a folder without it is no backup.

Canonical JSON {format, made_at, with_keys, tenants: {tenant: {size, root, checkpoint}}, files: {path: sha256}, self},
one line. `self` is the SHA-256 of the same without it, so that no byte of it can change unseen. That is no signature:
what vouches for the log are its checkpoints.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from engine.errors import BadRequest, Conflict
from engine.upkeep.files import digest, listed
from ledger import canonical, strict
from ledger.errors import LedgerError
from ledger.model import JSON
from ledger.sqlite.copying import Copied

NAME: Final = "backup.json"
FORMAT: Final = 1
_MOST_BYTES: Final = 64 << 20


class NotWhole(Conflict):
    """A backup or a log that is not what it was: the sentence names what was changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """What a backup holds."""

    made_at: str
    with_keys: bool
    tenants: dict[str, Copied]
    files: dict[str, str]

    def to_bytes(self) -> bytes:
        """The file."""
        tenants: dict[str, JSON] = {
            tenant: {"size": copied.size, "root": copied.root.hex(), "checkpoint": copied.checkpoint}
            for tenant, copied in self.tenants.items()
        }
        value: dict[str, JSON] = {
            "format": FORMAT,
            "made_at": self.made_at,
            "with_keys": self.with_keys,
            "tenants": tenants,
            "files": dict(self.files),
        }
        return canonical.encode({**value, "self": _digest(value)}) + b"\n"


def _digest(value: dict[str, JSON]) -> str:
    return hashlib.sha256(canonical.encode(value)).hexdigest()


def read(folder: Path) -> Index:
    """The index of a backup; raises BadRequest where the folder is none, NotWhole where the index was changed."""
    path = folder / NAME
    if not path.is_file():
        raise BadRequest(f"{folder} is no backup: it has no {NAME}, which is written last, so it was not finished")
    data = path.read_bytes()
    try:
        value = cast(dict[str, JSON], strict.read(data, max_bytes=_MOST_BYTES, max_string=_MOST_BYTES))
        said = value.pop("self")
        if said != _digest(value) or canonical.encode({**value, "self": said}) + b"\n" != data:
            raise NotWhole(f"{path} was changed")
        if value["format"] != FORMAT:
            raise BadRequest(f"{path} has format {value['format']}, this Muster reads {FORMAT}: use the newer Muster")
        tenants = cast("dict[str, dict[str, JSON]]", value["tenants"])
        return Index(
            made_at=str(value["made_at"]),
            with_keys=value["with_keys"] is True,
            tenants={name: _copied(said) for name, said in tenants.items()},
            files=cast("dict[str, str]", value["files"]),
        )
    except (LedgerError, KeyError, ValueError, TypeError, AttributeError) as exc:
        raise NotWhole(f"{path} was changed: {exc}") from exc


def _copied(said: dict[str, JSON]) -> Copied:
    checkpoint = said["checkpoint"]
    return Copied(
        size=cast(int, said["size"]),
        root=bytes.fromhex(str(said["root"])),
        checkpoint=None if checkpoint is None else str(checkpoint),
    )


def check_files(folder: Path, index: Index) -> None:
    """Hold every file against the index; raises NotWhole that names each that is changed, missing, or of nobody."""
    found = set(listed(folder)) - {NAME}
    wrong = [f"{name} is missing" for name in sorted(index.files.keys() - found)]
    wrong += [f"{name} is not of the backup" for name in sorted(found - index.files.keys())]
    wrong += [f"{n} was changed" for n in sorted(found & index.files.keys()) if digest(folder / n) != index.files[n]]
    if wrong:
        raise NotWhole(f"the backup {folder} is not whole: {'; '.join(wrong)}")
