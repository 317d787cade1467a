"""Routes that decide, and those that show what was decided."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from pydantic import Field

from engine.api import deciding
from engine.api.calls import Authenticated
from engine.api.reading import Body, Identifier, StrictQuery, body, documented
from engine.decide import joined
from engine.decide.request import Entity, Request
from engine.errors import Gone, NotFound, Unavailable
from ledger import instants
from ledger.model import JSON, Entry, Person

router = APIRouter(dependencies=[StrictQuery], tags=["decisions"])

_DISPLAY_ROLES = ("learner-session", "person")
_DAY_MS = 86_400_000


class EntityBody(Body):
    """A subject or a resource."""

    type: Identifier
    id: Identifier
    properties: dict[str, Any] = Field(default_factory=dict)


class ActionBody(Body):
    """An action."""

    name: Identifier
    properties: dict[str, Any] = Field(default_factory=dict)


class DecisionBody(Body):
    """May `subject` do `action` on `resource` now? The time is never the caller's."""

    subject: EntityBody
    action: ActionBody
    resource: EntityBody
    context: dict[str, Any] = Field(default_factory=dict)

    def request(self) -> Request:
        """The request as the deciding room takes it."""
        return Request(
            subject=Entity(type=self.subject.type, id=self.subject.id, properties=self.subject.properties),
            action=self.action.name,
            action_properties=self.action.properties,
            resource=Entity(type=self.resource.type, id=self.resource.id, properties=self.resource.properties),
            context=self.context,
        )


@router.post("/v1/decisions", openapi_extra=documented(DecisionBody), summary="May this person do this now?")
async def decide(call: Authenticated, asked: Annotated[DecisionBody, Depends(body(DecisionBody))]) -> Response:
    """Decide and record; the answer leaves after its record is durable."""
    request, asking = asked.request(), call.asking()
    person = Person(type=request.subject.type, id=request.subject.id)
    with deciding.Counted(call.services, asking) as told:
        decided = await deciding.decided(
            call.services, asking, "decide", person, lambda: call.services.decider.decide(request, asking)
        )
        told(decided, deciding.of_gate(request.action, decided))
    return Response(deciding.document(decided), media_type="application/json")


@router.get("/v1/decisions/{decision_id}", summary="The record of a decision")
async def read_decision(call: Authenticated, decision_id: str) -> dict[str, Any]:
    """The whole record: request, facts, revision, answer, and its place in the log."""
    await call.may("decision.read")
    entry = call.services.runtime.reader.entry(call.tenant, decision_id)
    if entry is None or entry.kind != "decision":
        raise NotFound(f"there is no decision {decision_id}")
    if entry.payload is None:
        raise Gone(f"entry {entry.index} is in the log, and what it said was erased with the person it was about")
    record = _whole(call, entry)
    asked = record["input"]
    assert isinstance(asked, dict)
    parts = (
        "subject",
        "action",
        "resource",
        "context",
        "scope",
        "tier",
        "within",
        "reason",
        "detail",
        "route",
        "asked",
    )
    return {
        "decision_id": entry.id,
        "index": entry.index,
        "at": entry.at,
        "request": {k: asked[k] for k in parts if k in asked},
        "facts": asked.get("facts"),
        "now": asked.get("now"),
        "answer": record["result"],
        **{k: v for k, v in record.items() if k not in ("input", "result", "lease")},
        "leans_on": record.get("leans_on"),
    }


def _whole(call: Authenticated, entry: Entry) -> dict[str, JSON]:
    """The record of a decision; of a leased one with what stands in the decision that it leans on."""
    value = entry.value
    if not joined.is_leased(value):
        return value
    first = call.services.runtime.reader.entry(call.tenant, str(value["leans_on"]))
    if first is not None and first.payload is None:
        raise Gone(f"entry {first.index}, which it leans on, was erased with the person it was about")
    if first is None or first.kind != "decision" or joined.is_leased(first.value):
        raise Unavailable(f"what it leans on, {value['leans_on']}, is no whole decision: run `muster ledger verify`")
    return joined.whole(value, first.value)


@router.get("/v1/is-certified", summary="isCertified(scope, user)")
async def is_certified(
    call: Authenticated,
    user: Annotated[str, Query(min_length=1, max_length=1024)],
    scope: Annotated[str, Query(min_length=1, max_length=256)],
    tier: Annotated[str | None, Query(pattern="^(completed|proficient|certified)$")] = None,
    within: Annotated[str | None, Query(pattern=r"^P[1-9]\d{0,3}[MD]$")] = None,
) -> dict[str, Any]:
    """A recorded decision for gateways and apps; a display, never a gate, for learners."""
    person = Person(type="user", id=user)
    decider = call.services.decider
    if call.caller.role in _DISPLAY_ROLES:
        await call.may("certified.ask", person)
        now, result = await decider.display_certified(person, scope, tier, within, call.caller)
        return _certified(now, result)
    asking = call.asking()
    with deciding.Counted(call.services, asking) as told:
        decided = await deciding.decided(
            call.services,
            asking,
            "certified.ask",
            person,
            lambda: decider.certified(person, scope, tier, within, asking),
        )
        told(decided, deciding.of_scope(decided))
    return {**_certified(decided.now, decided.result), "decision_id": decided.decision_id}


def _certified(now: str, result: dict[str, JSON]) -> dict[str, Any]:
    expires_at = result["expires_at"]
    remaining: JSON = None
    if isinstance(expires_at, str):
        remaining = max(0, instants.parse(expires_at) - instants.parse(now)) // _DAY_MS
    return {**result, "remaining_days": remaining}


@router.get("/v1/next-required-training", summary="nextRequiredTraining(action)")
async def next_required_training(
    call: Authenticated,
    user: Annotated[str, Query(min_length=1, max_length=1024)],
    action: Annotated[str, Query(min_length=1, max_length=256)],
) -> dict[str, Any]:
    """Which modules stand between a person and an action, in order, and how long they take; also what ends soon."""
    person = Person(type="user", id=user)
    await call.may("training.next", person)
    return await call.services.next_training.required(call.tenant, person, action)


@router.get("/v1/gates", summary="Gates, requirements, remedies and modes")
async def gates(call: Authenticated) -> dict[str, Any]:
    """What each gate asks, from the METADATA of its rule."""
    await call.may("gates.read")
    active = call.services.runtime.active(call.tenant)
    return {"revision": active.revision, "gates": active.catalogue.described()}
