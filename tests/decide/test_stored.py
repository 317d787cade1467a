"""What a stored request gives to the one that cites it, as pure functions over what the ledger holds."""

from __future__ import annotations

from typing import Any

import pytest

from engine.bundling.catalogue import Catalogue, GateInfo
from engine.bundling.metadata import STORED_REQUESTS
from engine.decide import stored
from engine.decide.request import Entity, Request
from ledger.ids import uuid7

ID = uuid7()
STATE: dict[str, Any] = {
    "ref": "a1",
    "action": {"name": "act", "properties": {"how": "fast", "gone": 1}},
    "resource": {"type": "thing", "id": "1", "properties": {"customer": "acme"}},
    "context": {"columns": ["x"], "ticket": "T-1", "gone": True},
    "request_digest": "d",
    "expires_at": "2026-06-01T10:00:00.000Z",
    "stored_by": {"type": "system", "id": "host"},
    "evidence": ID,
}
STATES = {f"request/{ID}": STATE}
_INPUTS = ("action.properties.how", "resource.properties.customer", "context.columns", "context.ticket")


def gate(*codes: str) -> GateInfo:
    """A gate of a revision whose router lists these common requirements."""
    said = {
        "action": "act", "inputs": {name: {"source": "asserted"} for name in _INPUTS}, "ledger": [], "schema": {},
        "facts": {"scopes": [], "modules": [], "waivers": []},
    }  # fmt: skip
    metadata = {"gates": {"act": said}, "common": [{"code": code} for code in codes]}
    found = Catalogue({"source": {"actions": {"act": {}}}, "metadata": metadata}).gate("act")
    assert found is not None
    return found


KNOWS = gate("subject-active", *STORED_REQUESTS)


def asked(action: str = "act", identifier: str | None = ID, **context: Any) -> Request:
    """What a route makes of an ask."""
    resource = Entity(type="thing", id="1", properties={"customer": "acme"})
    return Request(
        subject=Entity(type="user", id="ada"), action=action, resource=resource, context=context, stored=identifier
    )


def test_it_gives_what_is_not_said() -> None:
    """What the route says stays, whatever was stored."""
    found = stored.filled(KNOWS, asked(ticket="T-2"), STATES, "a1")
    assert found.context == {"columns": ["x"], "ticket": "T-2", "gone": True}
    assert found.action_properties == {"how": "fast", "gone": 1}
    assert stored.filled(KNOWS, found, STATES, "a1") == found


@pytest.mark.parametrize(
    ("request_", "states", "ref"),
    [
        (asked(), STATES, "b2"),
        (asked(), STATES, None),
        (asked(), {f"request/{ID}": {**STATE, "ref": None}}, None),
        (asked(), {f"request/{ID}": None}, "a1"),
        (asked(identifier=None), STATES, "a1"),
        (asked(action="other"), STATES, "a1"),
    ],
    ids=["another's", "of nobody who is known", "of nobody", "not there", "not cited", "of another action"],
)
def test_it_gives_nothing_else(request_: Request, states: dict[str, Any], ref: str | None) -> None:
    """To anybody but its person, and for anything but its action."""
    assert stored.filled(KNOWS, request_, states, ref) == request_


def test_what_the_rules_are_told() -> None:
    """All that it says and the gate declares, for its person; of another's whose it is; or that none is cited."""
    told = stored.facts(KNOWS, ID, STATES, "a1")["request"]
    assert isinstance(told, dict)
    assert told.pop("given") == [
        {"path": ["action", "name"], "value": "act"},
        {"path": ["resource", "type"], "value": "thing"},
        {"path": ["resource", "id"], "value": "1"},
        {"path": ["action", "properties", "how"], "value": "fast"},
        {"path": ["resource", "properties", "customer"], "value": "acme"},
        {"path": ["context", "columns"], "value": ["x"]},
        {"path": ["context", "ticket"], "value": "T-1"},
    ]
    assert told == {
        "cited": True, "id": ID, "ref": "a1", "stored_by": STATE["stored_by"], "expires_at": STATE["expires_at"],
        "withdrawn": False, "evidence": ID,
    }  # fmt: skip
    gone = {f"request/{ID}": {**STATE, "withdrawn_at": "2026-06-01T09:00:00.000Z"}}
    assert stored.facts(KNOWS, ID, gone, "a1")["request"]["withdrawn"] is True  # type: ignore[index, call-overload]
    assert stored.facts(KNOWS, ID, STATES, "b2") == {"request": {"cited": True, "id": ID, "ref": "a1"}}
    assert stored.facts(KNOWS, ID, {}, "a1") == {"request": {"cited": True, "id": ID}}
    assert stored.facts(KNOWS, None, STATES, "a1") == {"request": {"cited": False}}


@pytest.mark.parametrize("missing", [None, *sorted(STORED_REQUESTS)])
def test_rules_that_do_not_know_it_are_not_asked(missing: str | None) -> None:
    """A router that does not list all four codes would not see that a request has ended: nothing is decided by it."""
    old = gate("subject-active", *(STORED_REQUESTS - {missing} if missing else ()))
    assert stored.facts(old, ID, STATES, "a1") == {}
    assert stored.cited(old, ID) == ()
    assert stored.filled(old, asked(), STATES, "a1") == asked()
    failure = stored.unknown(old)
    assert failure is not None
    assert failure.cause == "request-ref"
    assert stored.unknown(KNOWS) is None
