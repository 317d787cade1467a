"""Building: the same content is the same revision, what is wrong is told, and what was changed is not loaded."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.bundling import capabilities
from engine.bundling.archive import Built, check_archive, unpack
from engine.bundling.build import build, check
from engine.bundling.catalogue import Catalogue
from engine.bundling.errors import Invalid, Tampered
from engine.bundling.store import BundleStore
from engine.opa.binary import OpaBinary
from engine.opa.errors import OpaError
from engine.opa.evaluator import Evaluator
from tests.bundling.conftest import COMPANYOS, POLICIES, key_pair


def packed(files: dict[str, bytes]) -> bytes:
    """Files as a tar.gz, whatever they are called."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz", compresslevel=1) as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return archive.getvalue()


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


def test_the_build_writes_down_what_is_the_same_for_every_question(built: Built) -> None:
    """Requirements stand by code, by who judges them, with their ways, for the rules alone; what changed, by module."""
    data: Any = built.data
    for action, gate in data["metadata"]["gates"].items():
        asked = {requirement["code"]: requirement for requirement in gate["requirements"]}
        training = {code: {k: v for k, v in said.items() if k != "way"} for code, said in gate["training"].items()}
        assert gate["conditions"] | training == asked, action
        for said in gate["training"].values():
            assert {part["module"] for part in said["way"]} <= {*gate["facts"]["modules"]}, action
            assert said["way"], action
        assert {code for code, said in asked.items() if "requires" in said} == gate["training"].keys()
    changed = {name: said["recertify"] for name, said in data["source"]["modules"].items() if "recertify" in said}
    assert data["source"]["recertified"] == changed
    for described in Catalogue(data).described():
        assert isinstance(described, dict)
        assert not described.keys() & {"conditions", "training", "facts", "schema"}


def test_the_catalogue_reads_what_was_built(built: Built) -> None:
    """Gates, their declared inputs, and what their inputs carry."""
    gate = Catalogue(built.data).gate("data-export")
    assert gate is not None
    assert "destination" in gate.asserted["context"]
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
        (GATE, lambda t: t + "\n  allow := true\n", "allow: a gate has no such rule"),
        (GATE, lambda t: t + "\nhelper := true\n", "helper: a gate has no such rule"),
        (GATE, lambda t: t + '\n_z := time.date([1, "Asia/Tokyo"])\n', "the calendar's alone"),
        (GATE, lambda t: t + "\n_z := sprintf(input.context.ticket, [])\n", "not a constant"),
        (GATE, lambda t: t.replace("items: {type: string, maxLength: 128}", "items: true"), "not a mapping"),
        (GATE, lambda t: t.replace("{type: boolean}", "{type: object, properties: {a: true}}"), "not a mapping"),
        (GATE, lambda t: t.replace("{type: boolean}", "{type: object, additionalProperties: {$ref: x}}"), "uses $ref"),
        (
            GATE,
            lambda t: t.replace("context.destination: {source", "x.context.destination.y: {source"),
            "match pattern",
        ),
        (GATE, lambda t: t.replace("lesson, module: secure-data-export", "lesson"), "a lesson names its module"),
        (GATE, lambda t: t.replace("type: runbook, id: RB-EXPORT-RECALL", "type: runbook, id: RB-X"), "no RB-X among"),
        (
            GATE,
            lambda t: t.replace("scope: data-export,", "module: secure-data-export,"),
            "nobody can reach proficient",
        ),
        ("muster/gate/gate.rego", lambda t: t.replace("code: unknown-action", "code: unknown"), "each once"),
        (
            "muster/lib/calendar/calendar.rego",
            lambda t: t + '\n_z := time.date([1, "Asia/Tokyo"])\n',
            "a zone of the host",
        ),
        (GATE, lambda t: t.replace("code: ticket-present", "code: customer-named"), "there twice"),
        (GATE, lambda t: t.replace("mode: enforce", "mode: enforce\n#   lease: gateway"), "risk of the action is high"),
        (GATE, lambda t: t.replace("mode: enforce", "mode: enforce\n#   lease: gateway"), "the gate reads approvals"),
        (GATE, lambda t: t.replace("mode: enforce", "mode: shadow\n#   lease: gateway"), "the gate is in shadow"),
        (GATE, lambda t: t.replace("mode: enforce", "mode: enforce\n#   lease: gateways"), "custom.lease"),
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
        ("capabilities.json", lambda _: "[" * 9000, "not a list of capabilities"),
        ("capabilities.json", lambda t: t.replace('"allow_net"', '"Builtins": [], "allow_net"'), "no part of"),
        ("capabilities.json", lambda t: t.replace('"allow_net"', '"builtins": [], "allow_net"'), "twice"),
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


def test_a_gate_that_is_not_registered_is_told(opa_binary: OpaBinary, policies: Path) -> None:
    """A folder among the gates is a gate, with METADATA or without."""
    gate = policies / "muster" / "gates" / "fly"
    gate.mkdir()
    (gate / "fly.rego").write_text('package muster.gates.fly\n\nmet contains "x"\n', "utf-8")
    assert [(f.field, f.message) for f in check(policies, COMPANYOS, opa_binary)] == [
        ("fly", "has a gate and is not registered")
    ]


def test_source_and_rules_are_told_at_once(opa_binary: OpaBinary, policies: Path, tmp_path: Path) -> None:
    """A mistake in the source hides none in METADATA, and what would only follow from it is not told."""
    source, path = tmp_path / "source", policies / GATE
    shutil.copytree(COMPANYOS, source)
    (source / "source.yaml").write_text("name: companyos\ntitle: CompanyOS\nversion: one\n", "utf-8")
    path.write_text(path.read_text("utf-8").replace("code: dual-approval", "code: customer-named"), "utf-8")
    findings = check(policies, source, opa_binary)
    assert [f.field for f in findings if f.file == "source.yaml"] == ["version"]
    assert any("there twice" in f.message for f in findings if f.file == GATE)
    assert not [f for f in findings if f.file == "actions.yaml"]


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
    same = 0
    for at in range(10, len(built.archive), 97):
        data = bytearray(built.archive)
        data[at] ^= 1 << at % 8
        path.write_bytes(data)
        with contextlib.suppress(Tampered):
            # Now and then a bit of the packing changes and the content does not: then nothing was changed.
            assert store.get(built.revision).data == built.data
            same += 1
    assert same <= 3


@pytest.mark.parametrize("name", ["data.json", "muster/gate/gate.rego", "muster/lib/calendar/calendar.rego"])
def test_the_changed_file_is_named(built: Built, tmp_path: Path, name: str) -> None:
    """An archive that was unpacked, changed and packed again: which of its files it was."""
    store = BundleStore(tmp_path)
    store.put(built)
    files = unpack(built.archive)
    files[name] = files[name].replace(b"deny", b"allo").replace(b"high", b"none").replace(b"29", b"28")
    (tmp_path / f"{built.revision}.tar.gz").write_bytes(packed(files))
    with pytest.raises(Tampered, match=f": {name} was changed"):
        store.get(built.revision)


@pytest.mark.parametrize(
    "files",
    [
        {"/etc/x.rego": b""},
        {"../x.rego": b""},
        {"muster/../../x.rego": b""},
        {"./data.json": b""},
        {"muster//x.rego": b""},
        {"data.json": b"x" * (64 * 1024 * 1024)},
    ],
    ids=["absolute", "above", "above from within", "another spelling", "an empty part", "a bomb"],
)
def test_an_archive_stays_in_its_folder_and_its_bounds(files: dict[str, bytes]) -> None:
    """A path that leads elsewhere would be written there before anything is verified."""
    with pytest.raises(ValueError, match=r"does not belong|larger"):
        unpack(packed(files))


def test_a_store_is_asked_by_hashes_only(opa_binary: OpaBinary, tmp_path: Path) -> None:
    """What is no hash names nothing, wherever it would lead."""
    store = BundleStore(tmp_path)
    for name in ("../bundle", "0" * 63, "A" * 64, "0" * 64 + "\n", "\0"):
        with pytest.raises(FileNotFoundError):
            store.get(name)
        with pytest.raises(FileNotFoundError):
            store.opa(name, opa_binary.version)


def test_what_a_crash_left_is_written_anew(built: Built, tmp_path: Path) -> None:
    """An allowlist without its archive is no revision: the next put is whole."""
    store = BundleStore(tmp_path)
    (tmp_path / f"{built.revision}.capabilities.json").write_text("{}")
    assert store.revisions() == ()
    store.put(built)
    assert store.revisions() == (built.revision,)
    assert store.get(built.revision).capabilities == built.capabilities


def test_a_changed_archive_is_not_kept_again(built: Built, tmp_path: Path) -> None:
    """A put over a revision that was changed says so, and writes nothing over it."""
    store = BundleStore(tmp_path)
    store.put(built)
    path = tmp_path / f"{built.revision}.tar.gz"
    path.write_bytes(built.archive[:-9])
    with pytest.raises(Tampered):
        store.put(built)
    assert path.read_bytes() == built.archive[:-9]


def test_an_opa_that_was_replaced_is_not_kept(opa_binary: OpaBinary, tmp_path: Path) -> None:
    """A binary lies under its own hash or not at all, and nothing is left of the attempt."""
    replaced = tmp_path / "opa"
    replaced.write_bytes(b"another")
    store = BundleStore(tmp_path / "bundles")
    with pytest.raises(Tampered, match="since it was found"):
        store.put_opa(OpaBinary(path=replaced, version=opa_binary.version, sha256=opa_binary.sha256))
    assert list((tmp_path / "bundles" / "opa").iterdir()) == []


def test_a_revision_is_checked_again_whoever_built_it(built: Built, opa_binary: OpaBinary) -> None:
    """At activation: the rules in the archive, against the allowlist that they came with."""
    assert check_archive(built.archive, built.capabilities_text, opa_binary) == []
    files = unpack(built.archive)
    files["muster/lib/x/x.rego"] = b"package muster.lib.y\n\nz := time.date(1)\n"
    told = [f.message for f in check_archive(packed(files), built.capabilities_text, opa_binary)]
    assert told == ["its package is not its folder, muster/lib/x", "time is the calendar's alone"]


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
