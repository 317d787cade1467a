"""The rules are in order by OPA's own tools: checked, formatted, tested, every line of them covered."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from engine.opa.binary import OpaBinary
from tests.policies.world import CAPABILITIES, POLICIES, metadata


def _check(opa: Path, policies: Path) -> subprocess.CompletedProcess[str]:
    command = [str(opa), "check", "--strict", "--capabilities", str(CAPABILITIES)]
    command += ["--schema", str(policies / "schemas"), str(policies / "muster")]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def test_check_finds_nothing(opa_binary: OpaBinary) -> None:
    """Rules and tests compile strictly, with the allowed builtins and the schemas of their inputs."""
    done = _check(opa_binary.path, POLICIES)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("file", "right", "wrong"),
    [
        ("gates/data-export/data-export.rego", "input.context.ticket", "input.contex.ticket"),
        ("gates/data-export/data-export.rego", "input.context.ticket", "input.context.tickets"),
        ("gates/data-export/data-export.rego", "input.subject.customer", "input.subject.costumer"),
        ("gates/data-export/data-export.rego", "input.facts.request_digest", "input.fact.request_digest"),
        ("gates/prod-change/prod-change.rego", "input.context.change_window", "input.context.changewindow"),
        ("gates/prod-change/prod-change.rego", "input.now", "input.nou"),
        ("gate/gate.rego", "input.subject.known", "input.subject.knows"),
        ("gate/gate.rego", "input.facts.request.cited", "input.facts.request.sited"),
        ("certification/certified.rego", "input.scope", "input.scopes"),
        ("certification/award.rego", "input.result.module", "input.results.module"),
        ("training/next.rego", "input.action.name", "input.action.title"),
        ("access/access.rego", "input.caller.role", "input.caller.rule"),
    ],
)
def test_a_misspelt_field_fails_the_check(
    opa_binary: OpaBinary, tmp_path: Path, file: str, right: str, wrong: str
) -> None:
    """A field that no input has is an error when the rules are checked, not a rule that never holds."""
    shutil.copytree(POLICIES, tmp_path / "policies")
    changed = tmp_path / "policies" / "muster" / file
    text = changed.read_text("utf-8")
    assert right in text
    changed.write_text(text.replace(right, wrong), "utf-8")
    assert _check(opa_binary.path, tmp_path / "policies").returncode != 0


def test_schemas_name_the_fields_that_gates_declare(opa_binary: OpaBinary) -> None:
    """What a gate declares in METADATA is what its schema lets its rules read."""
    for name, gate in metadata(opa_binary.path)["gates"].items():
        schemas = {f"context.{field}" for field in _fields(name, "context")}
        schemas |= {f"resource.properties.{field}" for field in _fields(name, "properties")}
        assert {field for field, told in gate["inputs"].items() if told["source"] == "asserted"} == schemas


def _fields(gate: str, part: str) -> list[str]:
    file = POLICIES / "schemas" / gate / f"{part}.json"
    return [*json.loads(file.read_text("utf-8"))["properties"]] if file.exists() else []


def test_formatted(opa_binary: OpaBinary) -> None:
    """Every file of rules has OPA's one format."""
    done = subprocess.run(
        [str(opa_binary.path), "fmt", "--list", str(POLICIES)], check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_tests_pass_and_cover_every_line(opa_binary: OpaBinary) -> None:
    """The tests beside the rules pass, and reach every line of every rule."""
    command = [
        str(opa_binary.path),
        "test",
        "--timeout",
        "60s",
        "--capabilities",
        str(CAPABILITIES),
        str(POLICIES / "muster"),
    ]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    report = json.loads(subprocess.run([*command, "--coverage"], check=True, capture_output=True).stdout)
    assert {file: found["not_covered"] for file, found in report["files"].items() if found.get("not_covered")} == {}
    rules = {str(p) for p in (POLICIES / "muster").rglob("*.rego") if not p.name.endswith("_test.rego")}
    assert {str(POLICIES / Path(f)) for f in report["files"]} >= rules
