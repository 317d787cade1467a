"""The house's own rules: arrows point one way, files can be read in one sitting, errors have their answer."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine import errors
from engine.api import problems

ROOT = Path(__file__).parents[2]

BELOW = {
    "ledger": {"ledger"},
    "engine.opa": {"ledger"},
    "engine.bundling": {"ledger", "engine.opa"},
    "engine.content": {"ledger", "engine.bundling"},
    "engine.access.caller": {"ledger"},
    "engine.publishing.outside": {"ledger"},
    "engine.runtime": {
        "ledger", "engine.opa", "engine.bundling", "engine.access.caller", "engine.publishing.outside",
    },
    "engine.access": {"ledger", "engine.opa", "engine.runtime"},
    "engine.decide": {
        "ledger", "engine.opa", "engine.bundling", "engine.runtime", "engine.access", "engine.observing",
    },
    "engine.entries": {"ledger", "engine.bundling", "engine.runtime", "engine.access", "engine.decide"},
    "engine.training": {
        "ledger", "engine.opa", "engine.bundling", "engine.content", "engine.runtime", "engine.access", "engine.decide",
        "engine.entries",
    },
    "engine.adapters": {"ledger", "engine.bundling", "engine.access", "engine.decide"},
    "engine.gateways": set(),
    "engine.adapters.gateway.messages": set(),
    "engine.gateways.check": {"engine.gateways", "engine.adapters.gateway.messages"},
    "engine.publishing": {"ledger", "engine.runtime", "engine.access", "engine.entries", "engine.publishing.outside"},
    "engine.observing": set(),
    "engine.credentials": {"ledger", "engine.content"},
    "engine.replay": {"ledger", "engine.opa", "engine.bundling", "engine.decide"},
    "engine.reports": {"ledger", "engine.publishing.outside", "engine.decide"},
    "engine.upkeep": {"ledger", "engine.publishing.outside"},
    "engine.api": {
        "ledger", "engine.content", "engine.credentials", "engine.runtime", "engine.access", "engine.decide",
        "engine.adapters", "engine.entries", "engine.training", "engine.publishing", "engine.publishing.outside",
        "engine.upkeep", "engine.observing",
    },
    "engine.web": {
        "ledger", "engine.api", "engine.content", "engine.credentials", "engine.runtime", "engine.access",
        "engine.decide", "engine.entries", "engine.training", "engine.publishing", "engine.publishing.outside",
    },
    "engine.api.app": {"engine.api", "engine.web", "engine.runtime", "engine.access"},
    "engine.serving": {
        "ledger", "engine.opa", "engine.runtime", "engine.training", "engine.api", "engine.api.app", "engine.observing",
        "engine.access", "engine.adapters",
    },
}  # fmt: skip
"""What each room may import besides itself; `engine.errors`, `engine.settings` and `engine.home` are everybody's."""

SHARED = {"engine.errors", "engine.settings", "engine.home"}


def imports(path: Path) -> Iterator[str]:
    """The modules of ours that a file imports."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def room_of(module: str) -> str | None:
    """The most particular room that a module belongs to."""
    rooms = [r for r in (*BELOW, *SHARED) if module == r or module.startswith(r + ".")]
    return max(rooms, key=len) if rooms else None


@pytest.mark.parametrize("path", sorted(ROOT.glob("ledger/**/*.py")) + sorted(ROOT.glob("engine/**/*.py")), ids=str)
def test_arrows_point_one_way(path: Path) -> None:
    """A room imports only what is below it; the command line may import everything."""
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    room = room_of(module)
    if room is None or room in SHARED:
        assert module.startswith("engine.cli") or module == "engine" or room in SHARED
        return
    for imported in imports(path):
        if not imported.startswith(("engine", "ledger")):
            continue
        target = room_of(imported)
        allowed = {room, *BELOW[room]} | (SHARED if room != "ledger" else set())
        if "engine.access" in allowed:
            allowed.add("engine.access.caller")
        if "engine.adapters" in allowed:
            allowed.add("engine.adapters.gateway.messages")
        if room == "engine.opa":
            allowed -= SHARED
        assert (target is None and imported == "engine") or target in allowed, f"{module} imports {imported}"


def test_every_error_has_an_answer() -> None:
    """Each subclass of MusterError is in the table of problem documents."""
    pending, found = [errors.MusterError], set()
    while pending:
        for subclass in pending.pop().__subclasses__():
            pending.append(subclass)
            found.add(subclass)
    assert found
    assert all(any(base in problems.TABLE for base in error.__mro__) for error in found)


def test_nothing_reads_the_environment_but_settings() -> None:
    """Configuration comes from one frozen object."""
    allowed = {"engine/settings.py", "engine/home.py", "engine/cli/client.py"}
    readers = {
        str(path.relative_to(ROOT))
        for path in [*ROOT.glob("engine/**/*.py"), *ROOT.glob("ledger/**/*.py")]
        if "os.environ" in path.read_text("utf-8")
    }
    assert {r for r in readers if not r.startswith("engine/opa/")} <= allowed
