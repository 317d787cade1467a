"""The store: every revision and every OPA that ever decided, by hash, so that a replay can load them again.

    bundles/<revision>.tar.gz              the archive as it was signed
    bundles/<revision>.capabilities.json   the allowlist that it was checked against
    bundles/opa/<sha256>                   an OPA binary

What is read is checked against its name. Nothing is ever overwritten or removed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from engine.bundling import capabilities
from engine.bundling.build import MANIFEST, Built, revision_of, unpack
from engine.bundling.errors import Tampered
from engine.opa.binary import OpaBinary


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBundle:
    """A revision whose content has been checked against its name; OPA checks the signature when it loads `path`."""

    path: Path
    revision: str
    data: Mapping[str, Any]
    capabilities: str
    capabilities_text: str


@dataclass(frozen=True, slots=True)
class BundleStore:
    """The store in a folder."""

    folder: Path

    def put(self, built: Built) -> None:
        """Keep a revision. Signatures are part of no revision, so the archive that was first stays."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(self.folder / f"{built.revision}.capabilities.json", built.capabilities_text.encode())
        _write(self.folder / f"{built.revision}.tar.gz", built.archive)

    def get(self, revision: str) -> StoredBundle:
        """A revision; raises FileNotFoundError, or Tampered that names what was changed."""
        path = self.folder / f"{revision}.tar.gz"
        archive = path.read_bytes()
        try:
            files = unpack(archive)
        except ValueError as exc:
            raise Tampered(f"{path}: {exc}") from exc
        found = revision_of(files)
        if found != revision:
            raise Tampered(f"{path}: its content is revision {found}: the archive was changed")
        try:
            allowed = orjson.loads(files[MANIFEST])["metadata"]["capabilities"]
            text = (self.folder / f"{revision}.capabilities.json").read_text("utf-8")
            same = capabilities.digest(text) == allowed
        except (KeyError, TypeError, ValueError) as exc:
            raise Tampered(f"{path}: its manifest or allowlist is not one of ours: {exc!r}") from exc
        if not same:
            raise Tampered(f"{revision}.capabilities.json is not the allowlist that {path} was built with")
        return StoredBundle(
            path=path,
            revision=revision,
            data=orjson.loads(files["data.json"]),
            capabilities=allowed,
            capabilities_text=text,
        )

    def put_opa(self, opa: OpaBinary) -> None:
        """Keep an OPA binary."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self.folder / "opa" / opa.sha256
        if path.exists():
            return
        path.parent.mkdir(mode=0o700, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".opa-", delete=False) as copy:
            with opa.path.open("rb") as binary:
                shutil.copyfileobj(binary, copy)
            copy.flush()
            os.fsync(copy.fileno())
        Path(copy.name).chmod(0o700)
        Path(copy.name).replace(path)
        _sync(path.parent)

    def opa(self, sha256: str, version: str) -> OpaBinary:
        """An OPA binary that was kept; raises FileNotFoundError, or Tampered."""
        path = self.folder / "opa" / sha256
        with path.open("rb") as binary:
            if hashlib.file_digest(binary, "sha256").hexdigest() != sha256:
                raise Tampered(f"{path}: the binary was changed")
        return OpaBinary(path=path, version=version, sha256=sha256)


def _write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, durably; one that is there stays as it is."""
    if path.exists():
        return
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".new-", delete=False) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    Path(file.name).replace(path)
    _sync(path.parent)


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
