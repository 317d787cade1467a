"""Golden cases: a base input, a change to it, and the whole output that OPA has to give."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import yaml

from tests.policies.world import HERE, Object


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One question and its whole answer."""

    file: str
    name: str
    entrypoint: str
    question: Object
    answer: Any


def cases() -> list[Case]:
    """Every golden case, read from `golden/*.yaml`."""
    found = []
    for path in sorted((HERE / "golden").glob("*.yaml")):
        content = yaml.safe_load(path.read_text("utf-8"))
        for case in content["cases"]:
            question = changed(content["base"], case.get("change", {}), case.get("remove", []))
            found.append(
                Case(
                    file=path.stem,
                    name=case["name"],
                    entrypoint=content["entrypoint"],
                    question=question,
                    answer=case["answer"],
                )
            )
    return found


def bases() -> dict[str, Object]:
    """An allowed input of every gate, by action."""
    contents = [yaml.safe_load(path.read_text("utf-8")) for path in sorted((HERE / "golden").glob("*.yaml"))]
    return {c["base"]["action"]["name"]: c["base"] for c in contents if c["entrypoint"] == "muster/gate/decision"}


def changed(base: Object, change: dict[str, Any], remove: list[str]) -> Object:
    """A copy of an input with values set, and fields taken out, at paths like `facts|scopes|data-export`."""
    question = copy.deepcopy(base)
    for path, value in change.items():
        *way, last = path.split("|")
        at = question
        for part in way:
            at = at.setdefault(part, {})
        at[last] = copy.deepcopy(value)
    for path in remove:
        *way, last = path.split("|")
        at = question
        for part in way:
            at = at[part]
        del at[last]
    return question
