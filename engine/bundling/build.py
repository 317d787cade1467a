"""Builds a revision: source and rules, checked whole, packed the same way each time, and signed.

The archive is an OPA bundle: `data.json` (`source` and `metadata`), the rules without their tests, the canary,
`.manifest`, and `.signatures.json` made by `opa sign`. The revision is the SHA-256 of the canonical list of
(path, SHA-256) of its files, `.manifest` and `.signatures.json` left out; so equal content is one revision, whoever
signs it.
"""

from __future__ import annotations

import gzip
import io
import subprocess
import tarfile
import tempfile
from pathlib import Path

from engine.bundling import capabilities, gates, routing, rules, ways
from engine.bundling.archive import MANIFEST, SIGNATURES, Built, revision_of
from engine.bundling.errors import Finding, Invalid
from engine.bundling.source import Source, read_source
from engine.opa.binary import OpaBinary
from engine.opa.canary import CANARY_PATH, CANARY_REGO
from ledger import canonical
from ledger.canonical import JSON

ROOTS = ["muster", "source", "metadata"]


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
            findings += routing.check_gates(read, metadata.data["gates"], stored=metadata.stored)
        data = {} if read.findings else {"source": read.data, "metadata": metadata.data}
        if not findings:
            findings += ways.write(policies, data, opa)
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
