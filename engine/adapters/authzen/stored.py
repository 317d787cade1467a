"""Completes a request with what the source knows of the entities that it names (`entities.yaml`).

Properties that came with the request replace the stored ones whole, also where they are `{}`; only an entity that came
without any gets those of the source, cut to what the action's gate declares. The adapter stands in for a caller who
would have said them: so they are in the input, in the record and in the lease's key like what a caller says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from engine.adapters.authzen.reading import NOT_GIVEN
from engine.bundling.catalogue import Catalogue, GateInfo
from engine.decide.request import Entity, Request
from engine.errors import Undecided
from ledger.model import JSON


def entities(catalogue: Catalogue, kind: str) -> Mapping[str, Mapping[str, JSON]]:
    """The entities of a type that the source lists, with their properties, by ID."""
    listed = catalogue.data["source"].get("entities") or {}
    found: Mapping[str, Mapping[str, JSON]] = listed.get(kind) or {}
    return found


def actions(catalogue: Catalogue) -> list[str]:
    """Every registered action, sorted."""
    return sorted(catalogue.data["source"]["actions"])


def completed(request: Request, catalogue: Catalogue) -> Request:
    """The request with stored properties where it says none; the very same one where there are none to add.

    Raises Undecided where the source says of an entity what does not fit the gate: that is no mistake of the caller's.
    """
    gate = catalogue.gate(request.action)
    if gate is None:
        return request
    subject = _completed("subject", request.subject, gate, catalogue)
    resource = _completed("resource", request.resource, gate, catalogue)
    if subject is request.subject and resource is request.resource:
        return request
    return replace(request, subject=subject, resource=resource)


def _completed(part: str, entity: Entity, gate: GateInfo, catalogue: Catalogue) -> Entity:
    if entity.properties is not NOT_GIVEN:
        return entity
    stored = entities(catalogue, entity.type).get(entity.id) or {}
    names = gate.asserted.get(f"{part}.properties", ())
    declared = {k: v for k, v in stored.items() if k in names}
    if not declared:
        return entity
    for pointer, detail in gate.wrong_fields({part: {"properties": declared}}):
        what = f"what the source says of {entity.type}/{entity.id} does not fit the gate {gate.action}"
        raise Undecided("bad-shape", f"{what}: {pointer} {detail}")
    return replace(entity, properties=declared)
