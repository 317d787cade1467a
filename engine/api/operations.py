"""Routes for those who run Muster: tokens, activation, health and metrics."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from pydantic import Field

from engine.access import tokens
from engine.api import health
from engine.api.calls import Authenticated, services
from engine.api.reading import Body, StrictQuery, Text, body, documented
from engine.observing.metrics import MEDIA_TYPE
from ledger.model import Entry, Receipt

router = APIRouter(dependencies=[StrictQuery], tags=["operations"])


class TokenBody(Body):
    """A token to be issued."""

    role: str
    principal: str
    expires: str = "P1D"


class ActivationBody(Body):
    """Which stored revision is to decide from now on."""

    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    reason: Text = "activated by an operator"


class ClockBody(Body):
    """Two admins' tokens, and why the clock is right."""

    first: str
    second: str
    reason: Text


@router.post("/v1/tokens", openapi_extra=documented(TokenBody), summary="Issue a token")
async def create_token(call: Authenticated, wanted: Annotated[TokenBody, Depends(body(TokenBody))]) -> dict[str, Any]:
    """Issue a token; its text is in this answer and nowhere else."""
    await call.may("token.create")
    principal = tokens.parse_principal(wanted.role, wanted.principal)
    once = call.once("token", wanted.model_dump())
    secret, expires_at = await call.services.tokens.create(wanted.role, principal, wanted.expires, once)
    return {
        "token": secret.text,
        "id": secret.token_id,
        "role": wanted.role,
        "principal": str(principal),
        "expires_at": expires_at,
    }


@router.get("/v1/tokens", summary="The tokens of this tenant")
async def list_tokens(call: Authenticated) -> dict[str, Any]:
    """Every token, without its secret or hash."""
    await call.may("token.list")
    return {"tokens": list(call.services.tokens.all(call.tenant))}


@router.delete("/v1/tokens/{token_id}", summary="Revoke a token")
async def revoke_token(call: Authenticated, token_id: str) -> dict[str, Any]:
    """Revoke a token; the very next call with it is refused."""
    await call.may("token.revoke")
    entry = await call.services.tokens.revoke(token_id, call.once("token-revocation", token_id))
    return {"id": token_id, "revoked_at": entry.at, "index": entry.index}


@router.post("/v1/activations", openapi_extra=documented(ActivationBody), summary="Activate a stored revision")
async def activate(
    call: Authenticated, wanted: Annotated[ActivationBody, Depends(body(ActivationBody))]
) -> dict[str, Any]:
    """Check a revision again, start its OPA, record the activation, and let it decide."""
    await call.may("policy.activate")
    once = call.once("activation", wanted.model_dump())
    entry: Entry | Receipt | None = call.services.writer.before(once)
    if entry is None:
        entry = await call.services.runtime.activate(
            call.tenant, wanted.revision, call.caller, wanted.reason, once.marked({})
        )
    return {"revision": wanted.revision, "entry": entry.id, "index": entry.index, "at": entry.at}


@router.post(
    "/v1/ledger/clock-adjustment",
    openapi_extra=documented(ClockBody),
    summary="Believe a clock that moved, by two people",
)
async def adjust_clock(request: Request, wanted: Annotated[ClockBody, Depends(body(ClockBody))]) -> dict[str, Any]:
    """Works while nothing else can be written; both tokens have to be allowed to, and be of different principals."""
    found = services(request)
    first, second = (found.clock.authenticate(token) for token in (wanted.first, wanted.second))
    for caller in (first, second):
        await found.access.require(caller, "clock.adjust")
    receipt = await found.clock.adjust(first, second, wanted.reason)
    return {"entry": receipt.id, "index": receipt.index, "at": receipt.at}


@router.get("/healthz", summary="Is this process alive?", response_model=None)
async def alive(request: Request) -> JSONResponse:
    """Alive: says nothing about deciding."""
    return health.alive(services(request))


@router.get("/readyz", summary="Can this service decide now?", response_model=None)
async def ready(request: Request) -> JSONResponse:
    """Ready, or a 503 that says what is missing; `alarms` of a fork stand in both, and do not stop decisions."""
    return health.ready(services(request))


@router.get("/metrics", summary="Prometheus metrics", response_class=Response)
async def metrics(request: Request) -> Response:
    """The exposition format."""
    return Response(services(request).metrics.text(), media_type=MEDIA_TYPE)
