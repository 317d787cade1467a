"""Routes for requests that are stored beforehand, for gateways to cite."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import Field

from engine.api.calls import Authenticated
from engine.api.decisions import ActionBody, EntityBody
from engine.api.people import ResourceBody
from engine.api.reading import Body, StrictQuery, Text, body, documented
from engine.decide.request import Entity, Request
from engine.entries.requests import DEFAULT
from ledger.model import JSON, Entry, Person

router = APIRouter(dependencies=[StrictQuery], tags=["requests"])


class StoredBody(Body):
    """Who is to do what: all that the gate reads and that no gateway can see; and for how long it is good."""

    subject: ResourceBody
    action: ActionBody
    resource: EntityBody
    context: dict[str, Any] = Field(default_factory=dict)
    expires_in: str = DEFAULT

    def request(self) -> Request:
        """The request as the deciding room takes it."""
        return Request(
            subject=Entity(type=self.subject.type, id=self.subject.id),
            action=self.action.name,
            action_properties=self.action.properties,
            resource=Entity(type=self.resource.type, id=self.resource.id, properties=self.resource.properties),
            context=self.context,
        )


class WithdrawalBody(Body):
    """Why a request is withdrawn."""

    reason: Text = "withdrawn by the application"


@router.post("/v1/requests", status_code=201, openapi_extra=documented(StoredBody), summary="Store a request")
async def store(call: Authenticated, wanted: Annotated[StoredBody, Depends(body(StoredBody))]) -> dict[str, Any]:
    """Store what somebody is to do, before they ask for it at a gateway; a route's `request_ref` takes the ID."""
    await call.may("request.store", Person(type=wanted.subject.type, id=wanted.subject.id))
    requests = call.services.requests
    entry, _ = await requests.store(
        wanted.request(), wanted.expires_in, call.once("request", wanted.model_dump(mode="json"))
    )
    return _told(entry, entry.value)


@router.get("/v1/requests/{request_id}", summary="A stored request")
async def read(call: Authenticated, request_id: str) -> dict[str, Any]:
    """What was stored for whom, by which application, until when; and whether it was withdrawn."""
    await call.may("request.read")
    entry, state = call.services.requests.get(call.tenant, request_id)
    return _told(entry, state)


@router.post(
    "/v1/requests/{request_id}/withdrawal", openapi_extra=documented(WithdrawalBody), summary="Withdraw a request"
)
async def withdraw(
    call: Authenticated, request_id: str, why: Annotated[WithdrawalBody, Depends(body(WithdrawalBody))]
) -> dict[str, Any]:
    """From now on it opens nothing, whatever was answered before. Only who stored it withdraws it, or an admin."""
    requests = call.services.requests
    await call.may("request.withdraw")
    await call.may("request.withdraw", requests.stored_by(call.tenant, request_id))
    once = call.once("withdrawal", request_id, why.reason)
    entry, _ = await requests.withdraw(request_id, why.reason, once)
    return {"request": request_id, "withdrawn_at": entry.at, "entry": entry.id, "index": entry.index}


def _told(entry: Entry, said: dict[str, JSON]) -> dict[str, Any]:
    """A stored request, from its entry, and from its state or payload."""
    assert entry.about is not None, "a stored request is somebody's"
    by = entry.value["by"]
    assert isinstance(by, dict)
    return {
        "request": entry.id,
        "subject": {"type": entry.about.type, "id": entry.about.id},
        **{name: said[name] for name in ("action", "resource", "context", "request_digest", "expires_at")},
        "stored_by": by["principal"],
        "withdrawn_at": said.get("withdrawn_at"),
        "index": entry.index,
        "at": entry.at,
    }
