"""Routes are held against their gates: a gate hears what it reads, of its type, or a reviewer has said otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.bundling import gates, routing
from engine.bundling.build import check
from engine.bundling.source import read_source
from engine.opa.binary import OpaBinary
from ledger.canonical import JSON
from tests.bundling import example


@pytest.fixture(scope="module")
def real(opa_binary: OpaBinary) -> JSON:
    """The METADATA of the gates that ship."""
    return gates.inspect(example.POLICIES, opa_binary, None).data["gates"]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A small source with the page's files, to be spoiled."""
    return example.small(tmp_path / "source")


CASES = {
    "a field that the gate does not read": (
        "ticket: {header: x-request-ticket}",
        "tickt: {header: x-request-ticket}",
        {
            "exports.0.context.tickt": ("does not read it", "mean ticket?"),
            "exports.0": ("its gate reads context.ticket,", "list it under `without`"),
        },
    ),
    "a property that the gate does not read": (
        'properties: {customer: "{customer}"}',
        'properties: {customer: "{customer}", owner: "x"}',
        {"exports.0.resource.properties.owner": ("does not read it", "leave it out")},
    ),
    "what the gate reads and nothing gives": (
        "    without: [context.approvals]\n",
        "",
        {"exports.0": ("its gate reads context.approvals,", "request_ref")},
    ),
    "a property that nothing gives": (
        '      properties: {customer: "{customer}"}\n',
        "",
        {"exports.0": ("resource.properties.customer", "request_ref")},
    ),
    "nothing given by a request that is no longer named": (
        "    request_ref: {path: request}\n",
        "",
        {"exports.1": ("context.approvals, context.columns, context.destination, context.ticket", "request_ref")},
    ),
    "a type that the gate does not take": (
        "{query: window}",
        "{query: window, type: integer}",
        {"operations.0.context.change_window": ("of type integer, and its gate declares string", "METADATA")},
    ),
    "a text where the gate takes a list": (
        "{value: [customer_id, plan, country]}",
        "{query: columns}",
        {"exports.0.context.columns": ("of type string, and its gate declares array", "METADATA")},
    ),
    "a constant that does not fit": (
        "{value: [customer_id, plan, country]}",
        "{value: [1]}",
        {"exports.0.context.columns": ("1 is not of type 'string'", "METADATA")},
    ),
    "a fixed property that does not fit": (
        '{customer: "{customer}"}',
        "{customer: " + "x" * 257 + "}",
        {"exports.0.resource.properties.customer": ("is too long", "METADATA")},
    ),
    "without what the route gives": (
        "[context.approvals]",
        "[context.approvals, context.ticket]",
        {"exports.0.without.1": ("the route gives context.ticket", "leave it out")},
    ),
    "without what the gate does not read": (
        "[context.approvals]",
        "[context.approvals, context.approval]",
        {"exports.0.without.1": ("does not read context.approval", "mean approvals?")},
    ),
    "without what a stored request can give": (
        "    request_ref: {path: request}\n",
        "    request_ref: {path: request}\n    without: [context.ticket]\n",
        {"exports.1.without.0": ("can give context.ticket", "leave out")},
    ),
}


def test_the_example_fits_its_gates(copy: Path, real: JSON) -> None:
    """Nothing is found."""
    assert not list(routing.check_gates(read_source(copy), real, stored=True))


@pytest.mark.parametrize("case", CASES)
def test_what_a_gate_and_a_route_do_not_agree_on_is_told(copy: Path, real: JSON, case: str) -> None:
    """Each at its line, and nothing else."""
    before, after, expected = CASES[case]
    path = copy / "routes.yaml"
    text = path.read_text("utf-8")
    assert before in text, "the case spoils nothing"
    text = text.replace(before, after, 1)
    for name in ("customer", "request"):  # what nothing takes any more is called so
        if f'"{{{name}}}"' not in text and f"path: {name}}}" not in text:
            text = text.replace(f"/{{{name}}}", f"/{{_{name}}}")
    path.write_text(text, "utf-8")
    source = read_source(copy)
    assert not source.findings, [str(f) for f in source.findings]
    found = {f.field: f for f in routing.check_gates(source, real, stored=True)}
    assert found.keys() == expected.keys(), [str(f) for f in found.values()]
    for field, (message, hint) in expected.items():
        assert message in found[field].message
        assert hint in found[field].hint
        assert (found[field].file, found[field].line > 1) == ("routes.yaml", True)


def test_a_router_without_stored_requests_serves_no_route_that_takes_one(copy: Path, real: JSON) -> None:
    """It would be 503 for ever: that is seen when it is written."""
    (found,) = routing.check_gates(read_source(copy), real, stored=False)
    assert (found.file, found.field, found.line > 1) == ("routes.yaml", "exports.1.request_ref", True)
    assert "unknown-request" in found.hint


def test_the_whole_check_tells_of_routes(tmp_path: Path, opa_binary: OpaBinary) -> None:
    """`muster policy check` asks for all of it; the page's example passes, and one that was spoiled does not."""
    copy = example.source(tmp_path / "source")
    assert not check(example.POLICIES, copy, opa_binary)
    path = copy / "routes.yaml"
    path.write_text(path.read_text("utf-8").replace("    without: [context.approvals]\n", ""), "utf-8")
    (finding,) = check(example.POLICIES, copy, opa_binary)
    assert (finding.file, finding.field) == ("routes.yaml", "exports.0")


@pytest.mark.parametrize(
    ("schema", "source", "fits"),
    [
        ({"type": "number"}, "{query: q, type: integer}", True),
        ({"type": "number"}, "{query: q}", False),
        ({"type": ["string", "null"]}, "{query: q}", True),
        ({"enum": ["a", "b"]}, "{query: q}", True),
        ({"enum": [1, 2]}, "{query: q}", False),
        ({"const": True}, "{query: q, type: boolean}", True),
        ({"enum": ["a", "b"]}, "{value: a}", True),
        ({"enum": ["a", "b"]}, "{value: c}", False),
    ],
)
def test_every_kind_of_schema_is_understood(copy: Path, schema: dict[str, Any], source: str, fits: bool) -> None:
    """By type, by enumeration, by constant."""
    path = copy / "routes.yaml"
    path.write_text(path.read_text("utf-8").replace("{query: window}", source), "utf-8")
    inputs: JSON = {
        "context.change": {"source": "asserted", "schema": {"type": "string"}},
        "context.change_window": {"source": "asserted", "schema": schema},
        "subject.active": {"source": "directory", "schema": {"type": "boolean"}},
    }
    found = list(routing.check_gates(read_source(copy), {"prod-change": {"inputs": inputs}}, stored=True))
    assert bool(found) != fits, found
