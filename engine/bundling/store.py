"""The store: every revision and every OPA that ever decided, by hash, so that a replay can load them again.

    bundles/<revision>.tar.gz              the archive as it was signed
    bundles/<revision>.capabilities.json   the allowlist that it was checked against
    bundles/opa/<sha256>                   an OPA binary

What is read is checked against its name. Nothing is ever overwritten or removed.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import orjson

from engine.bundling import capabilities
from engine.bundling.archive import MANIFEST, SIGNATURES, Built, revision_of, unpack
from engine.bundling.errors import Tampered
from engine.opa.binary import OpaBinary
from ledger.errors import StrictError

_HASH = re.compile(r"[0-9a-f]{64}")
_CHUNK = 1024 * 1024


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
        """Keep a revision, durably once this returns; raises Tampered where it is kept already and was changed.

        Signatures and allowlist are part of no revision, so the archive that was first stays, with its allowlist. The
        archive is written last: while it is not there, nothing is kept, and what a crash left is written anew.
        """
        archive = self.folder / f"{built.revision}.tar.gz"
        if archive.exists():
            self.get(built.revision)
            return
        _make(self.folder)
        with _written(self.folder / f"{built.revision}.capabilities.json") as file:
            file.write(built.capabilities_text.encode())
        with _written(archive) as file:
            file.write(built.archive)

    def revisions(self) -> tuple[str, ...]:
        """Every revision that is kept, sorted."""
        found = (path.name.removesuffix(".tar.gz") for path in self.folder.glob("*.tar.gz"))
        return tuple(sorted(name for name in found if _HASH.fullmatch(name)))

    def get(self, revision: str) -> StoredBundle:
        """A revision; raises FileNotFoundError, or Tampered that names what was changed."""
        if not _HASH.fullmatch(revision):
            raise FileNotFoundError(f"{revision!r} is not the name of a revision")
        path = self.folder / f"{revision}.tar.gz"
        archive = path.read_bytes()
        try:
            files = unpack(archive)
        except ValueError as exc:
            raise Tampered(f"{path}: {exc}") from exc
        found = revision_of(files)
        if found != revision:
            raise Tampered(f"{path}: its content is revision {found}: {', '.join(_changed(files))} was changed")
        try:
            manifest = orjson.loads(files[MANIFEST])
            named, allowed = manifest["revision"], manifest["metadata"]["capabilities"]
        except (KeyError, TypeError, ValueError) as exc:
            raise Tampered(f"{path}: its {MANIFEST} cannot be read: {exc!r}") from exc
        if named != revision:
            raise Tampered(f"{path}: its {MANIFEST} names another revision, {named}")
        allowlist = self.folder / f"{revision}.capabilities.json"
        try:
            text = allowlist.read_text("utf-8")
            same = capabilities.digest(text) == allowed
        except (OSError, UnicodeDecodeError, StrictError) as exc:
            raise Tampered(f"{allowlist} cannot be read: {exc}") from exc
        if not same:
            raise Tampered(f"{allowlist.name} is not the allowlist that {path} was built with")
        return StoredBundle(
            path=path,
            revision=revision,
            data=orjson.loads(files["data.json"]),
            capabilities=allowed,
            capabilities_text=text,
        )

    def put_opa(self, opa: OpaBinary) -> None:
        """Keep an OPA binary: a copy, since a link would change with the original; raises Tampered.

        What is copied is hashed again: a binary that was replaced after it was found would lie here under a false name
        until a replay needs it.
        """
        path = self.folder / "opa" / opa.sha256
        if path.exists():
            return
        _make(self.folder)
        _make(path.parent)
        digest = hashlib.sha256()
        with opa.path.open("rb") as binary, _written(path, 0o700) as copy:
            while chunk := binary.read(_CHUNK):
                digest.update(chunk)
                copy.write(chunk)
            if digest.hexdigest() != opa.sha256:
                raise Tampered(f"{opa.path}: the binary was changed since it was found")

    def opa(self, sha256: str, version: str) -> OpaBinary:
        """An OPA binary that was kept; raises FileNotFoundError, or Tampered."""
        if not _HASH.fullmatch(sha256):
            raise FileNotFoundError(f"{sha256!r} is not the name of an OPA")
        path = self.folder / "opa" / sha256
        with path.open("rb") as binary:
            if hashlib.file_digest(binary, "sha256").hexdigest() != sha256:
                raise Tampered(f"{path}: the binary was changed")
        return OpaBinary(path=path, version=version, sha256=sha256)


def _changed(files: Mapping[str, bytes]) -> Iterator[str]:
    """Files that are not what the archive's own signature says of them: only to name them, it proves nothing here.

    JSON is signed by its structure, as OPA hashes it; so `data.json` is named where no other file is.
    """
    try:
        (token,) = orjson.loads(files[SIGNATURES])["signatures"]
        body = token.split(".")[1]
        listed = orjson.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))["files"]
        signed = {str(file["name"]): str(file["hash"]) for file in listed}
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        yield SIGNATURES
        return
    differing = [
        name
        for name in sorted((signed.keys() | files.keys()) - {MANIFEST, SIGNATURES, "data.json"})
        if name not in files or signed.get(name) != hashlib.sha256(files[name]).hexdigest()
    ]
    yield from differing or ["data.json"]


def _make(folder: Path) -> None:
    if not folder.is_dir():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _sync(folder.parent)


@contextmanager
def _written(path: Path, mode: int = 0o600) -> Iterator[IO[bytes]]:
    """A file that is there whole and durable, or not at all."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".new-", delete=False) as file:
        new = Path(file.name)
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            new.chmod(mode)
            new.replace(path)
        except BaseException:
            new.unlink(missing_ok=True)
            raise
    _sync(path.parent)


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
