"""What a request that was stored beforehand gives to one that cites it: pure functions, so that replay can call them.

It gives what the one that cites it does not say, and only to the person it was stored for: of anybody else's nothing
but the `ref` of its person gets into an input. Whether it counts (is there, in force, and the same) is not said here:
`facts.request` holds what the rules judge that by.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from engine.bundling.catalogue import GateInfo
from engine.decide import inputs
from engine.decide.request import Entity, Request
from engine.opa.errors import CouldNotDecide
from ledger.ids import is_uuid7
from ledger.model import JSON

NONE: Final[dict[str, JSON]] = {"cited": False}
"""`facts.request` where no stored request is cited: written out, so that nothing that is missing can mean it."""


def cited(gate: GateInfo | None, identifier: str | None) -> tuple[str, ...]:
    """The ledger object that a request cites; none where the revision's rules know no stored requests."""
    if gate is None or not gate.stored or identifier is None or not is_uuid7(identifier):
        return ()
    return (f"request/{identifier}",)


def unknown(gate: GateInfo | None) -> CouldNotDecide | None:
    """Rules that know no stored requests would not see that one has ended, or is of something else."""
    if gate is None or gate.stored:
        return None
    return CouldNotDecide("request-ref", "the rules of this revision know no stored requests: activate newer ones")


def filled(gate: GateInfo | None, request: Request, states: inputs.States, ref: JSON) -> Request:
    """The request with what the stored one gives besides; as it is, where that is another's or of another action."""
    state = _own(cited(gate, request.stored), states, ref)
    if state is None or _table(state["action"]).get("name") != request.action:
        return request
    action, resource = _table(state["action"]), _table(state["resource"])
    properties = {**_table(resource.get("properties")), **request.resource.properties}
    return replace(
        request,
        action_properties={**_table(action.get("properties")), **request.action_properties},
        resource=replace(request.resource, properties=properties),
        context={**_table(state["context"]), **request.context},
    )


def facts(gate: GateInfo | None, identifier: str | None, states: inputs.States, ref: JSON) -> dict[str, JSON]:
    """`facts.request`, for rules that know of it: the stored request that is cited, or that none is.

    `given` has everything that it says, each as the path in the input where it has to stand, and its value: cut to
    what the gate declares, since nothing else is in an input.
    """
    if gate is None or not gate.stored:
        return {}
    if identifier is None:
        return {"request": NONE}
    found: dict[str, JSON] = {"cited": True, "id": identifier}
    [state] = [states.get(name) for name in cited(gate, identifier)] or [None]
    if not isinstance(state, dict):
        return {"request": found}
    found["ref"] = state["ref"]
    if _own(cited(gate, identifier), states, ref) is None:
        return {"request": found}
    return {
        "request": {
            **found,
            "stored_by": state["stored_by"],
            "expires_at": state["expires_at"],
            "withdrawn": "withdrawn_at" in state,
            "evidence": state["evidence"],
            "given": _given(gate, state),
        }
    }


def _own(names: tuple[str, ...], states: inputs.States, ref: JSON) -> dict[str, JSON] | None:
    """The state of a cited request that was stored for the person with this ref."""
    for name in names:
        state = states.get(name)
        if isinstance(state, dict) and isinstance(ref, str) and state["ref"] == ref:
            return state
    return None


def _given(gate: GateInfo, state: Mapping[str, JSON]) -> list[JSON]:
    action, resource = _table(state["action"]), _table(state["resource"])
    asserted = inputs.assert_declared(
        gate,
        Request(
            subject=Entity(type="", id=""),
            action=str(action["name"]),
            action_properties=_table(action.get("properties")),
            resource=Entity(type="", id="", properties=_table(resource.get("properties"))),
            context=_table(state["context"]),
        ),
    )
    whom = "ref" if "ref" in resource else "id"  # a person stands by ref
    said: list[tuple[list[JSON], JSON]] = [
        (["action", "name"], action["name"]),
        (["resource", "type"], resource["type"]),
        (["resource", whom], resource[whom]),
    ]
    properties = _table(asserted.action.get("properties"))
    said += [(["action", "properties", name], value) for name, value in sorted(properties.items())]
    said += [(["resource", "properties", name], v) for name, v in sorted(asserted.resource_properties.items())]
    said += [(["context", name], value) for name, value in sorted(asserted.context.items())]
    return [{"path": path, "value": value} for path, value in said]


def _table(value: JSON | None) -> dict[str, JSON]:
    return value if isinstance(value, dict) else {}
