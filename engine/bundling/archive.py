"""A revision as it is packed: its files, its name, and the check of one that comes out of the store.

Apart from `build`, which knows how a source is read: whoever serves a revision needs none of that.
"""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from engine.bundling import capabilities, rules
from engine.bundling.errors import Finding
from engine.opa.binary import OpaBinary
from ledger import canonical
from ledger.canonical import JSON

MANIFEST, SIGNATURES = ".manifest", ".signatures.json"
MOST_BYTES = 64 * 1024 * 1024
_PATH = re.compile(r"(?!\.\.?(/|$))[A-Za-z0-9._-]+(/(?!\.\.?(/|$))[A-Za-z0-9._-]+)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A revision, ready for the store."""

    revision: str
    archive: bytes
    data: dict[str, JSON]
    capabilities: str
    capabilities_text: str


def revision_of(files: dict[str, bytes]) -> str:
    """The revision of a bundle's files."""
    listed: list[JSON] = [
        [name, hashlib.sha256(data).hexdigest()]
        for name, data in sorted(files.items())
        if name not in (MANIFEST, SIGNATURES)
    ]
    return hashlib.sha256(canonical.encode(listed)).hexdigest()


def unpack(archive: bytes) -> dict[str, bytes]:
    """The files of an archive by path; raises ValueError for anything that is not one of ours.

    A path leads nowhere but into the bundle, and its content is bounded: an archive is read before it is believed.
    """
    files: dict[str, bytes] = {}
    try:
        unzip = zlib.decompressobj(wbits=31)  # gzip, whose checksum is compared at the end
        packed = unzip.decompress(archive, MOST_BYTES)
        if not unzip.eof or unzip.unused_data:
            raise ValueError("the archive is cut off, goes on after its end, or is larger than a bundle can be")
        with tarfile.open(fileobj=io.BytesIO(packed), mode="r:") as tar:
            for member in tar:
                content = tar.extractfile(member) if member.isfile() and _PATH.fullmatch(member.name) else None
                if content is None or member.name in files:
                    raise ValueError(f"{member.name!r} does not belong into a bundle")
                files[member.name] = content.read()
    except (tarfile.TarError, OSError, EOFError, zlib.error) as exc:
        raise ValueError(f"the archive cannot be read: {exc}") from exc
    return files


def check_archive(archive: bytes, allowlist: str, opa: OpaBinary) -> list[Finding]:
    """Check a revision from the store again, whoever built it: its allowlist, and its rules against that."""
    findings = capabilities.check_text(allowlist, opa, capabilities.NAME)
    with tempfile.TemporaryDirectory(prefix="muster-check-") as folder:
        root = Path(folder)
        (root / capabilities.NAME).write_text(allowlist, "utf-8")
        for name, data in unpack(archive).items():
            if name.endswith(".rego"):
                path = root / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
        return findings + rules.check(root.resolve(), opa)
