"""Routes of what leaves Muster in standard form: badges, their status, the issuer, and xAPI statements.

What a badge points to is open to everybody: whoever is shown one has to be able to check it.
"""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import Field

from engine.api.calls import Authenticated, services
from engine.api.reading import Body, StrictQuery, body, documented
from engine.credentials.badges import CONTEXTS
from engine.credentials.issuer import MOST_BYTES, tenant_of
from engine.credentials.statements import Statements
from ledger.model import Person

router = APIRouter(dependencies=[StrictQuery], tags=["credentials"])
JWT = "application/vc+jwt"
_STATUS_SECONDS = 300


class BadgeBody(Body):
    """A badge to be checked."""

    badge: Annotated[str, Field(min_length=1, max_length=MOST_BYTES)]


@router.get("/v1/badges/{entry_id}", summary="A badge (Open Badges 3.0)", response_class=Response)
async def badge(call: Authenticated, entry_id: str) -> Response:
    """The badge of a certification, or of a course that was passed, as a compact JWS."""
    await call.may("badge.read", call.caller.principal.person)
    badges = call.services.badges(call.tenant)
    await call.may("badge.read", badges.entry(entry_id).about)
    text = badges.badge(entry_id, call.services.site(call.tenant))
    return Response(text, media_type=JWT, headers={"Content-Disposition": f'attachment; filename="{entry_id}.jwt"'})


@router.post("/v1/badges/verification", openapi_extra=documented(BadgeBody), summary="What a badge is worth now")
async def verify(request: Request, given: Annotated[BadgeBody, Depends(body(BadgeBody))]) -> dict[str, Any]:
    """Open to everybody: `standing` is valid, expired, revoked, or gone. 400 for what was not signed here."""
    found, tenant = services(request), tenant_of(given.badge)
    return found.badges(tenant).verify(given.badge, found.runtime.now(tenant))


@router.get("/badges/{tenant}/issuer", summary="Who issues badges")
async def issuer(request: Request, tenant: str) -> dict[str, Any]:
    """The issuer's profile, with its public key."""
    found = services(request).badges(tenant).issuer
    return {"@context": CONTEXTS, **found.profile(), "jwks": {"keys": [found.jwk()]}}


@router.get("/badges/{tenant}/status/{number}", summary="Which badges were revoked", response_class=Response)
async def status(request: Request, tenant: str, number: int) -> Response:
    """A Bitstring Status List, as a signed credential."""
    found = services(request)
    text = found.badges(tenant).status_list(number, found.runtime.now(tenant))
    return Response(text, media_type=JWT, headers={"Cache-Control": f"public, max-age={_STATUS_SECONDS}"})


@router.get("/v1/statements", summary="xAPI 2.0 statements, as an export")
async def statements(
    call: Authenticated,
    user: Annotated[str | None, Query(min_length=1, max_length=1024)] = None,
    start: Annotated[int, Query(ge=0, le=2**53)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> dict[str, Any]:
    """One statement for each result and certification, in the order of the log; `more` is where the next page is."""
    await call.may("statement.read")
    person = Person(type="user", id=user) if user is not None else None
    made = Statements(call.services.runtime.reader, call.services.runtime.settings.base_url, call.tenant)
    page, after = made.page(start, limit, person)
    named = f"&user={quote(user, safe='')}" if user is not None else ""
    more = "" if after is None else f"/v1/statements?start={after}&limit={limit}{named}"
    return {"statements": page, "more": more, "next": after}
