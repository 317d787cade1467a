"""The alert rules that ship: they speak only of numbers that the service shows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.observing import families
from engine.observing.families import Family

RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((Path(__file__).parents[2] / "docs" / "alerts.yaml").read_text())["groups"]
    for rule in group["rules"]
]
OF_THE_LOG = ("muster_ledger_fork_alarm",)
"""Numbers that are read from the log when somebody asks (engine/api/metrics.py)."""


def shown() -> dict[str, Family]:
    """Every name that a query may use."""
    names = {families.key(family): family for family in families.ALL}
    return names | {f"{name}_bucket": f for name, f in names.items() if f.kind == "histogram"}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_a_rule_names_what_there_is(rule: dict[str, Any]) -> None:
    """A misspelt name or label would never fire."""
    names = set(re.findall(r"muster_\w+", rule["expr"])) - set(OF_THE_LOG)
    used = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
    used |= {label for by in re.findall(r"by \(([^)]*)\)", rule["expr"]) for label in re.split(r",\s*", by)} - {"le"}
    used |= set(re.findall(r"[{,](\w+)!?=", rule["expr"]))
    for name in names:
        assert used <= set(shown()[name].labels), (name, used)
    assert names or any(name in rule["expr"] for name in OF_THE_LOG)


def test_what_has_to_be_heard_has_a_rule() -> None:
    """Could not decide, and a gateway that asks no more."""
    assert {"MusterCannotDecide", "MusterGatewayUndecided", "MusterGatewaySilent"} <= {r["alert"] for r in RULES}
