"""What no tool of OPA's checks: the rules keep to the shapes that make them replayable and closed."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.opa.binary import OpaBinary
from tests.policies.world import POLICIES, Object

_FILES = sorted((POLICIES / "muster").rglob("*.rego"))
_RULES = [path for path in _FILES if not path.name.endswith("_test.rego")]
_ROOT = POLICIES.parent
_COUNTS_MONTHS = re.compile(r"relativedelta|dateutil|monthrange|add_months|months_later|pendulum|DateOffset")


def _parsed(opa: Path, file: Path) -> Object:
    done = subprocess.run([str(opa), "parse", "-f", "json", str(file)], check=True, capture_output=True)
    parsed: Object = json.loads(done.stdout)
    return parsed


def _calls(node: Any) -> Iterator[tuple[str, list[Any]]]:
    """Every call in a syntax tree, as (name, operands): whole expressions and calls within them."""
    if isinstance(node, dict):
        terms = node["value"] if node.get("type") == "call" else node.get("terms")
        if isinstance(terms, list) and terms and isinstance(terms[0], dict) and terms[0].get("type") == "ref":
            yield ".".join(str(part["value"]) for part in terms[0]["value"]), terms[1:]
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _calls(child)


@pytest.mark.parametrize("file", _FILES, ids=lambda f: f.name)
def test_calls(opa_binary: OpaBinary, file: Path) -> None:
    """Time is the calendar's alone; a pattern or a format is written in the rule, never read from anywhere."""
    for name, operands in _calls(_parsed(opa_binary.path, file)):
        if name.startswith("time."):
            assert file.parent.name == "calendar", f"{file.name} calls {name}"
        if name in {"regex.match", "sprintf"}:
            assert operands[0]["type"] == "string", f"{file.name} calls {name} with what it did not write itself"


def test_the_lint_sees_calls(opa_binary: OpaBinary, tmp_path: Path) -> None:
    """The walk finds a call wherever it stands."""
    file = tmp_path / "x.rego"
    rules = "package x\n\na := [time.now_ns() | true]\n\nb if regex.match(input.p, sprintf(input.f, []))\n"
    file.write_text(rules, "utf-8")
    assert {name for name, _ in _calls(_parsed(opa_binary.path, file))} >= {"time.now_ns", "regex.match", "sprintf"}


@pytest.mark.parametrize("file", _RULES, ids=lambda f: f.name)
def test_gates_say_only_what_is_met(opa_binary: OpaBinary, file: Path) -> None:
    """A gate has met, evidence and instants, and otherwise only what is its own; nobody defaults to allow."""
    parsed = _parsed(opa_binary.path, file)
    names = {str(rule["head"]["ref"][0]["value"]) for rule in parsed["rules"]}
    if "gates" in file.relative_to(POLICIES).parts:
        assert {n for n in names if not n.startswith("_")} <= {"met", "evidence", "instants"}
        assert parsed["annotations"][0]["custom"]["action"] == file.stem == file.parent.name
    for rule in parsed["rules"]:
        if rule.get("default"):
            assert rule["head"].get("value", {}).get("value") not in (True, "allow")


def test_no_python_counts_months() -> None:
    """Months are counted in lib/calendar, and nowhere else."""
    for folder in ("engine", "ledger"):
        for path in sorted((_ROOT / folder).rglob("*.py")):
            found = _COUNTS_MONTHS.search(path.read_text("utf-8"))
            assert found is None, f"{path.relative_to(_ROOT)} has {found and found[0]}"
