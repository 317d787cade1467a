"""The parts of `docs/performance.md` that are made from what was measured: between markers, the rest is left alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import Refused
from benchmarks.table import Goal, Measured


def rewrite(path: Path, block: str, text: str) -> None:
    """Put a text between `<!-- BLOCK: begin -->` and `<!-- BLOCK: end -->`; raises Refused where they are not there."""
    path.write_text(replaced(path.read_text(), block, text))


def replaced(whole: str, block: str, text: str) -> str:
    """The page with that text in the block."""
    begin, end = f"<!-- {block}: begin -->", f"<!-- {block}: end -->"
    before, found, rest = whole.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise Refused(f"the page has no block `{block}`")
    return f"{before}{begin}\n\n{text.strip()}\n\n{end}{after}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown; leading spaces of a cell indent it."""
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for row in rows:
        cells = [cell.replace("|", "\\|") for cell in row]
        cells = ["&nbsp;&nbsp;" + cell.strip() if cell.startswith("  ") else cell for cell in cells]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def facts(path: Path) -> str:
    """The machine of what a bench wrote as JSON, in one line."""
    told: dict[str, Any] = json.loads(path.read_text())
    return "; ".join(f"{name}: {value}" for name, value in told["machine"].items()) + "."


def measured(path: Path) -> str:
    """What a bench wrote as JSON: its machine, its table, its notes."""
    told: dict[str, Any] = json.loads(path.read_text())
    rows = [_row(row).cells() for row in told["measured"]]
    return "\n\n".join([facts(path), table(("", "median", "of rounds", "", "goal"), rows), *told["notes"]])


def _row(told: dict[str, Any]) -> Measured:
    goal = told["goal"] and Goal(told["goal"]["bound"], told["goal"]["at_least"])
    return Measured(told["name"], told["unit"], tuple(told["rounds"]), goal)
