"""The way to each requirement about training: asked of the router's own rule, and written beside the requirement."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine.bundling.archive import Built
from engine.bundling.build import build, check
from engine.opa.binary import OpaBinary
from tests.bundling.conftest import COMPANYOS


def test_a_way_is_in_order_and_asked_of_the_rules_themselves(built: Built) -> None:
    """The modules to take, a lower tier first, each with the tier and the time that count."""
    gates: Any = built.data["metadata"]
    assert gates["gates"]["data-export"]["training"]["export-training"]["way"] == [
        {"module": "secure-data-export", "tier": "completed", "within": "P30D"},
        {"module": "export-scenario", "tier": "proficient", "within": "P30D"},
    ]


def test_a_router_that_knows_no_ways_gets_none(opa_binary: OpaBinary, policies: Path, keys: tuple[Path, Path]) -> None:
    """Rules that do not tell a way are built without: an older router works out its own."""
    router = policies / "muster" / "gate" / "gate.rego"
    text = router.read_text("utf-8")
    assert "ways[action][code] :=" in text
    router.write_text(text.replace("ways[action][code] :=", "_ways_of[action][code] :="), "utf-8")
    data: Any = build(policies, COMPANYOS, opa_binary, keys[0]).data
    for gate in data["metadata"]["gates"].values():
        assert gate["training"]
        assert not [code for code, said in gate["training"].items() if "way" in said]


def test_ways_that_cannot_be_told_are_a_finding(opa_binary: OpaBinary, policies: Path) -> None:
    """A router whose ways conflict is no revision: nobody would be told what to take."""
    router = policies / "muster" / "gate" / "gate.rego"
    conflict = 'ways["data-export"]["export-training"] := [count(data.metadata.gates)]'
    router.write_text(f"{router.read_text('utf-8')}\n{conflict}\n", "utf-8")
    (finding,) = check(policies, COMPANYOS, opa_binary)
    assert (finding.file, finding.field) == ("muster/gate", "ways")
    assert "conflict" in finding.message
