"""Golden cases: what the rules answer, as data; and each small mistake in the rules is seen by one of them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine.opa.binary import OpaBinary
from tests.policies.golden import Case, bases, cases
from tests.policies.world import POLICIES, Served, serving


@pytest.mark.parametrize("case", cases(), ids=lambda c: f"{c.file}: {c.name}")
def test_golden(served: Served, case: Case) -> None:
    """The whole answer is the one that is written down."""
    assert served.ask(case.entrypoint, case.question) == case.answer


def test_every_gate_has_golden_cases(served: Served) -> None:
    """No gate without an input that it allows, and cases around it."""
    assert bases().keys() == served.metadata["gates"].keys()
    for base, decision in zip(bases().values(), served.decide(list(bases().values())), strict=True):
        assert decision["verdict"] == "allow", base


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One small mistake in one file of rules."""

    file: Path
    note: str
    text: str


_WINDOW = re.compile(r"within: P(\d+)M")
_LESS = re.compile(r" (<=?) ")
_CENTRAL = ("gate/gate.rego", "certification/freshness.rego", "certification/certified.rego")
_AT_LEAST = re.compile(r" (>=) ")


def _mutants() -> Iterator[Mutant]:
    gates = sorted(p for p in (POLICIES / "muster" / "gates").rglob("*.rego") if not p.name.endswith("_test.rego"))
    for path in gates:
        yield from _each(path, _WINDOW, lambda m: f"within: P{int(m[1]) + 1}M")
        yield from _each(path, _WINDOW, lambda m: f"within: P{int(m[1]) - 1}M")
    for path in [*gates, *(POLICIES / "muster" / file for file in _CENTRAL)]:
        yield from _each(path, _LESS, lambda m: " < " if m[1] == "<=" else " <= ")
        yield from _each(path, _AT_LEAST, lambda _: " > ")


def _each(path: Path, pattern: re.Pattern[str], change: Callable[[re.Match[str]], str]) -> Iterator[Mutant]:
    """A mutant for each place where a pattern is found, comments of prose left out."""
    text = path.read_text("utf-8")
    for match in pattern.finditer(text):
        start = text.rfind("\n", 0, match.start()) + 1
        line = text[start : text.find("\n", match.start())]
        if line.startswith("#") and "requires:" not in line:
            continue
        row = text.count("\n", 0, start) + 1
        mutated = text[: match.start()] + change(match) + text[match.end() :]
        note = f"{path.name}:{row}: {match[0].strip()} -> {change(match).strip()}"
        yield Mutant(file=path.relative_to(POLICIES), note=note, text=mutated)


def _survives(opa: Path, mutant: Mutant, folder: Path) -> bool:
    shutil.copytree(POLICIES, folder)
    (folder / mutant.file).write_text(mutant.text, "utf-8")
    with serving(opa, folder) as rules:
        return all(rules.ask(case.entrypoint, case.question) == case.answer for case in cases())


def test_every_mutant_is_killed(opa_binary: OpaBinary, tmp_path: Path) -> None:
    """A window that is a month off, or a boundary on the wrong side of its instant, fails a golden case."""
    mutants = list(_mutants())
    assert sum("within" in m.note for m in mutants) == 6
    with ThreadPoolExecutor(2) as pool:
        survived = pool.map(
            lambda numbered: _survives(opa_binary.path, numbered[1], tmp_path / str(numbered[0])), enumerate(mutants)
        )
        assert [m.note for m, alive in zip(mutants, survived, strict=True) if alive] == []
