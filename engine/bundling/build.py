"""Builds a revision: source and rules, checked whole, packed the same way each time, and signed.

The archive is an OPA bundle: `data.json` (`source` and `metadata`), the rules without their tests, the canary,
`.manifest`, and `.signatures.json` made by `opa sign`. The revision is the SHA-256 of the canonical list of
(path, SHA-256) of its files, `.manifest` and `.signatures.json` left out; so equal content is one revision, whoever
signs it.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import subprocess
import tarfile
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from engine.bundling import capabilities, gates, routing, rules
from engine.bundling.errors import Finding, Invalid
from engine.bundling.source import Source, read_source
from engine.opa.binary import OpaBinary
from engine.opa.canary import CANARY_PATH, CANARY_REGO
from ledger import canonical
from ledger.canonical import JSON

ROOTS = ["muster", "source", "metadata"]
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


def check(policies: Path, source: Path | Source, opa: OpaBinary) -> list[Finding]:
    """Every mistake in rules and source, sorted by place."""
    return _check(policies, _read(source), opa)[1]


def build(policies: Path, source: Path | Source, opa: OpaBinary, key: Path) -> Built:
    """Check, pack and sign; raises Invalid with every mistake. `key` is an Ed25519 private key (PEM)."""
    source = _read(source)
    data, findings = _check(policies, source, opa)
    if findings:
        raise Invalid(findings)
    text = (policies / capabilities.NAME).read_text("utf-8")
    allowed = capabilities.digest(text)
    files = {"data.json": canonical.encode(data), CANARY_PATH: CANARY_REGO.encode()}
    files |= {str(p.relative_to(policies)): p.read_bytes() for p in rules.files(policies)}
    revision = revision_of(files)
    manifest: JSON = {"revision": revision, "roots": [*ROOTS], "rego_version": 1, "metadata": {"capabilities": allowed}}
    files[MANIFEST] = canonical.encode(manifest)
    files[SIGNATURES] = _sign(files, opa, key)
    return Built(revision=revision, archive=_pack(files), data=data, capabilities=allowed, capabilities_text=text)


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


def _read(source: Path | Source) -> Source:
    return read_source(source) if isinstance(source, Path) else source


def _check(policies: Path, read: Source, opa: OpaBinary) -> tuple[dict[str, JSON], list[Finding]]:
    policies = policies.resolve()  # OPA is run inside it
    if not (policies / "muster").is_dir():
        message, hint = "has no folder muster/", "set MUSTER_POLICIES to a policy root"
        return {}, [Finding(file=str(policies), line=0, field="", message=message, hint=hint)]
    findings = read.findings + capabilities.check(policies / capabilities.NAME, opa)
    in_rules = rules.check(policies, opa)
    findings += in_rules
    data: dict[str, JSON] = {}
    if not in_rules:  # METADATA of rules that cannot be read would only seem to be missing
        metadata = gates.inspect(policies, opa, None if read.findings else read.data)
        findings += metadata.findings
        if not read.findings:
            findings += routing.check_gates(read, metadata.data["gates"])
        data = {} if read.findings else {"source": read.data, "metadata": metadata.data}
    return data, sorted(set(findings))


def _sign(files: dict[str, bytes], opa: OpaBinary, key: Path) -> bytes:
    """`opa sign` hashes JSON by its structure, so it makes the signatures itself."""
    with tempfile.TemporaryDirectory(prefix="muster-sign-") as folder:
        for name, data in files.items():
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        command = [
            str(opa.path),
            "sign",
            "--signing-alg",
            "EdDSA",
            "--signing-key",
            str(key.resolve()),
            "--bundle",
            ".",
        ]
        done = subprocess.run(command, capture_output=True, check=False, cwd=folder)
        if done.returncode != 0:
            text = (done.stderr or done.stdout).decode().strip()
            raise Invalid([Finding(file=str(key), line=0, field="", message=f"opa sign: {text}")])
        return (Path(folder) / SIGNATURES).read_bytes()


def _pack(files: dict[str, bytes]) -> bytes:
    """A tar.gz that depends on nothing but its content."""
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", mtime=0, filename="") as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for name, data in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o644
            tar.addfile(member, io.BytesIO(data))
    return packed.getvalue()
