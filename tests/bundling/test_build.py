"""Building: the same content is the same revision, what is wrong is told, and what was changed is not loaded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from engine.bundling import capabilities
from engine.bundling.build import Built, build, check, unpack
from engine.bundling.catalogue import Catalogue
from engine.bundling.errors import Invalid, Tampered
from engine.bundling.store import BundleStore
from engine.opa.binary import OpaBinary
from engine.opa.errors import OpaError
from engine.opa.evaluator import Evaluator

ROOT = Path(__file__).parents[2]
POLICIES, COMPANYOS = ROOT / "policies", ROOT / "bundles" / "companyos"


def key_pair(folder: Path, name: str) -> tuple[Path, Path]:
    """A new Ed25519 key: (private, public), as PEM files."""
    key = Ed25519PrivateKey.generate()
    private, public = folder / f"{name}.pem", folder / f"{name}.pub.pem"
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    public.write_bytes(
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return private, public


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A signing key."""
    return key_pair(tmp_path_factory.mktemp("keys"), "bundle")


@pytest.fixture(scope="module")
def built(opa_binary: OpaBinary, keys: tuple[Path, Path]) -> Built:
    """The real policies with the real source."""
    return build(POLICIES, COMPANYOS, opa_binary, keys[0])


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    """The real policies, to be spoiled."""
    shutil.copytree(POLICIES, tmp_path / "policies")
    return tmp_path / "policies"


def test_the_same_content_is_the_same_archive(opa_binary: OpaBinary, built: Built, keys: tuple[Path, Path]) -> None:
    """Built again from elsewhere: equal byte for byte."""
    again = build(POLICIES, COMPANYOS, opa_binary, keys[0])
    assert again.archive == built.archive
    assert again.revision == built.revision


def test_tests_are_not_packed_and_item_text_is_not_there(built: Built) -> None:
    """Rules, data, canary, manifest, signatures; nothing else."""
    files = unpack(built.archive)
    assert not [name for name in files if name.endswith("_test.rego")]
    assert {".manifest", ".signatures.json", "data.json", "muster/canary/canary.rego"} <= files.keys()
    assert json.loads(files[".manifest"])["revision"] == built.revision


def test_the_catalogue_reads_what_was_built(built: Built) -> None:
    """Gates, their declared inputs, and what their inputs carry."""
    gate = Catalogue(built.data).gate("data-export")
    assert gate is not None
    assert "context.destination" in gate.asserted
    assert gate.directory == ("active", "customer")
    assert gate.scopes == ("data-export",)
    assert gate.modules == ("export-scenario", "secure-data-export")
    assert gate.waivers == ("scope:data-export",)
    assert gate.wrong_fields({"context": {"columns": ["a", 1]}}) == (("/context/columns/1", "must be of type string"),)
    assert gate.wrong_fields({}) == ()
    assert Catalogue(built.data).gate("fly") is None


GATE = "muster/gates/data-export/data-export.rego"


@pytest.mark.parametrize(
    ("file", "spoil", "message"),
    [
        (GATE, lambda t: t + "\nallow := true\n", "allow: a gate has no such rule"),
        (GATE, lambda t: t.replace("# METADATA", "# WORDS", 1), "no gate with METADATA"),
        (GATE, lambda t: t.replace("action: data-export", "action: data_export"), "custom.action"),
        (
            GATE,
            lambda t: t.replace('package muster.gates["data-export"]', "package muster.gate"),
            "package is not its folder",
        ),
        (
            GATE,
            lambda t: t.replace('met contains "ticket-present"', 'met contains "ticket"'),
            "no requirement that this gate",
        ),
        (GATE, lambda t: t.replace("regex.match(`", "regex.match(input.context.ticket, `", 1), "not a constant"),
        (GATE, lambda t: t.replace("# METADATA", "# \udcff", 1), "is not UTF-8"),
        (GATE, lambda t: t.replace("code: ticket-present", "code: customer-named"), "there twice"),
        (GATE, lambda t: t.replace("scope: data-export,", "scope: date-export,"), "no date-export among"),
        (GATE, lambda t: t.replace("within: P12M", "within: a year"), "within"),
        (GATE, lambda t: t.replace("policy_id: POL-DA-003", "policy_id: POL-DA-999"), "no POL-DA-999"),
        (GATE, lambda t: t.replace("module: secure-data-export", "module: secure-export"), "no secure-export"),
        (
            GATE,
            lambda t: t.replace("subject.customer: {source: directory", "subject.customer: {source: asserted"),
            "source",
        ),
        (GATE, lambda t: t.replace("{type: boolean}", "{type: truth}"), "not a JSON Schema"),
        (GATE, lambda t: t.replace("{type: boolean}", "{pattern: x}"), "uses pattern"),
        (GATE, lambda t: t.replace("input.context.destination", "http.send({})"), "undefined function http.send"),
        (GATE, lambda t: t.replace("input.context.destination", "input.context.destination ="), "rego_parse_error"),
        ("capabilities.json", lambda t: t.replace('"allow_net": []', '"allow_net": ["x"]'), "must be there and empty"),
        ("capabilities.json", lambda _: "{", "not a list of capabilities"),
    ],
)
def test_a_mistake_in_the_rules_is_told(
    opa_binary: OpaBinary, policies: Path, file: str, spoil: Callable[[str], str], message: str
) -> None:
    """Rules, METADATA and allowlist: nothing is built, and the finding says why."""
    path = policies / file
    text = path.read_text("utf-8")
    assert spoil(text) != text, "the case spoils nothing"
    path.write_text(spoil(text), "utf-8", "surrogateescape")
    findings = check(policies, COMPANYOS, opa_binary)
    assert any(message in str(f) for f in findings), [str(f) for f in findings]


@pytest.mark.parametrize(
    "name",
    [
        *("http.send", "time.now_ns", "time.add_date", "rand.intn", "print", "trace", "numbers.range", "opa.runtime"),
        *("crypto.x509.parse_and_verify_certificates", "io.jwt.decode_verify", "rego.metadata.chain", "time.clock"),
    ],
)
def test_the_allowlist_may_not_list_everything(opa_binary: OpaBinary, policies: Path, name: str) -> None:
    """What reads a clock, the network, chance or the host is refused, even if the allowlist names it."""
    path = policies / "capabilities.json"
    allowlist = json.loads(path.read_text("utf-8"))
    allowlist["builtins"].append({"name": name, "decl": {"type": "function", "args": [], "result": {"type": "any"}}})
    path.write_text(json.dumps(allowlist), "utf-8")
    findings = capabilities.check(path, opa_binary)
    assert [f.field for f in findings] == [name]
    with pytest.raises(Invalid):
        build(policies, COMPANYOS, opa_binary, path)


def test_the_real_allowlist_is_in_order(opa_binary: OpaBinary) -> None:
    """And small."""
    assert capabilities.check(POLICIES / "capabilities.json", opa_binary) == []


def test_a_stored_revision_comes_back(built: Built, opa_binary: OpaBinary, tmp_path: Path) -> None:
    """Data, capabilities and OPA by hash; a second put changes nothing."""
    store = BundleStore(tmp_path / "bundles")
    store.put(built)
    store.put(built)
    store.put_opa(opa_binary)
    assert store.get(built.revision).data == built.data
    assert store.opa(opa_binary.sha256, opa_binary.version).sha256 == opa_binary.sha256
    with pytest.raises(FileNotFoundError):
        store.get("0" * 64)


def test_a_changed_archive_is_not_loaded(built: Built, tmp_path: Path) -> None:
    """One changed bit, wherever it is; but for the ten bytes of gzip's header, which carry no content."""
    store = BundleStore(tmp_path)
    store.put(built)
    path = tmp_path / f"{built.revision}.tar.gz"
    for at in range(10, len(built.archive), 97):
        data = bytearray(built.archive)
        data[at] ^= 1 << at % 8
        path.write_bytes(data)
        with pytest.raises(Tampered, match=built.revision):
            store.get(built.revision)


def test_another_allowlist_is_not_loaded(built: Built, tmp_path: Path) -> None:
    """The allowlist belongs to the revision."""
    store = BundleStore(tmp_path)
    store.put(built)
    (tmp_path / f"{built.revision}.capabilities.json").write_text('{"builtins": [], "allow_net": []}')
    with pytest.raises(Tampered, match="allowlist"):
        store.get(built.revision)


async def _serves(opa: OpaBinary, path: Path, revision: str, public: Path) -> bool:
    async with Evaluator(opa, path, revision, verification_key=public) as evaluator:
        return evaluator.ready


def test_opa_serves_what_we_signed_and_nothing_else(
    built: Built, opa_binary: OpaBinary, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    """The real OPA verifies the archive; with another key it does not start."""
    import asyncio

    path = tmp_path / "bundle.tar.gz"
    path.write_bytes(built.archive)
    assert asyncio.run(_serves(opa_binary, path, built.revision, keys[1]))
    _, other = key_pair(tmp_path, "other")
    with pytest.raises(OpaError):
        asyncio.run(_serves(opa_binary, path, built.revision, other))
