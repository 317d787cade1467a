"""What is right in the source's modules: the demo and the tests read it where its authors wrote it.

No learner can: these files never leave the server (`tests/learning/test_secrets.py` looks at every byte).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]


def source() -> Path:
    """The source that is configured, as the README says."""
    return Path(os.environ.get("MUSTER_BUNDLE") or ROOT / "bundles" / "companyos")


def listed(name: str) -> Any:
    """A file of the source's top level."""
    return yaml.safe_load((source() / name).read_text("utf-8"))


def document(module: str, name: str, where: Path | None = None) -> Any:
    """A YAML file of a module, from the private overlay if there is one."""
    overlay = os.environ.get("MUSTER_OVERLAY")
    roots = [Path(overlay)] if overlay and where is None else []
    for root in (*roots, where or source()):
        path = root / "modules" / module / name
        if path.exists():
            return yaml.safe_load(path.read_text("utf-8"))
    raise FileNotFoundError(f"{module}/{name} is neither in {source()} nor in an overlay")


def right(attempt: Any, where: Path | None = None) -> dict[str, list[str]]:
    """The right answers of an attempt's items."""
    keys = document(attempt["module"], "keys.yaml", where)["quiz"]
    return {item["id"]: list(keys[item["id"]]["right"]) for item in attempt["items"]}


def with_mistakes(attempt: Any, mistakes: int, where: Path | None = None) -> dict[str, list[str]]:
    """Right answers, but for so many: an item that is critical comes last, so that points alone decide."""
    keys = document(attempt["module"], "keys.yaml", where)["quiz"]
    answers = right(attempt, where)
    for item in sorted(attempt["items"], key=lambda i: bool(keys[i["id"]].get("critical")))[:mistakes]:
        correct = keys[item["id"]]["right"]
        answers[item["id"]] = [next(o["id"] for o in item["options"] if o["id"] not in correct)]
    return answers


def way(module: str, *, passed: bool = True, where: Path | None = None) -> list[tuple[str, str]]:
    """The shortest way through a scenario to an end that is passed, or failed: (state, choice)."""
    graph = document(module, "scenario.yaml", where)
    pending: list[tuple[str, list[tuple[str, str]]]] = [(graph["start"], [])]
    while pending:
        place, made = pending.pop(0)
        if place in graph["ends"]:
            if graph["ends"][place]["passed"] is passed:
                return made
            continue
        for name, choice in graph["states"][place]["choices"].items():
            pending.append((choice["to"], [*made, (place, name)]))
    raise LookupError(f"{module} has no such end")
