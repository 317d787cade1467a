"""Routes of AuthZEN's Authorization API 1.0: evaluations, searches, and the metadata of this decision point.

Evaluations that are as they should be are answered by the hot lane (`engine.api.hot`); the routes here are for what it
hands on. A search shows what would be permitted: it is never recorded, so it is never a decision.
"""

from __future__ import annotations

import time
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Request, Response

from engine.adapters.authzen import bodies, reading
from engine.adapters.authzen.metadata import EVALUATION, EVALUATIONS, JWKS, SEARCHES, SECONDS, WELL_KNOWN, Metadata
from engine.api import evaluating
from engine.api.calls import Authenticated
from engine.api.reading import StrictQuery, documented, json_value
from engine.api.searching import Searches
from engine.api.services import Services
from engine.errors import NotFound

router = APIRouter(dependencies=[StrictQuery], tags=["AuthZEN"])


def install(app: FastAPI, found: Services) -> None:
    """What the searches of a process share, and what it says of itself; raises SetupError for a key that is broken."""
    public = found.runtime.settings.public_url
    app.state.searches = Searches(found)
    app.state.metadata = None if public is None else Metadata.of(public, found.runtime.home)


@router.post(
    EVALUATION, openapi_extra=documented(bodies.EvaluationBody), summary="Access Evaluation", response_class=Response
)
async def evaluation(call: Authenticated, request: Request) -> Response:
    """Decide and record; `context` of the answer has the decision's ID, its denials and their remedies."""
    asked = reading.evaluation(await json_value(request))
    return _sent(await evaluating.one(call.services, call.asking(), None, asked))


@router.post(
    EVALUATIONS, openapi_extra=documented(bodies.EvaluationsBody), summary="Access Evaluations", response_class=Response
)
async def evaluations(call: Authenticated, request: Request) -> Response:
    """Decide each item by itself, and record each; 503 if any of them could not be decided."""
    value = await json_value(request, limit=evaluating.BATCH_LIMIT)
    return _sent(await evaluating.many(call.services, call.asking(), None, value))


def searches(request: Request) -> Searches:
    """What searches of this process share."""
    found = request.app.state.searches
    assert isinstance(found, Searches)
    return found


Shared = Annotated[Searches, Depends(searches)]


@router.post(
    SEARCHES["subject"],
    openapi_extra=documented(bodies.SubjectSearchBody),
    summary="Subject Search",
    response_class=Response,
)
async def search_subject(call: Authenticated, request: Request, shared: Shared) -> Response:
    """Who may do this now, among the people of the directory and the entities of the source. Nothing is recorded."""
    return _sent(await shared.answer(call, reading.search("subject", await json_value(request))))


@router.post(
    SEARCHES["resource"],
    openapi_extra=documented(bodies.ResourceSearchBody),
    summary="Resource Search",
    response_class=Response,
)
async def search_resource(call: Authenticated, request: Request, shared: Shared) -> Response:
    """On what this may be done now, among the entities of the source. Nothing is recorded."""
    return _sent(await shared.answer(call, reading.search("resource", await json_value(request))))


@router.post(
    SEARCHES["action"],
    openapi_extra=documented(bodies.ActionSearchBody),
    summary="Action Search",
    response_class=Response,
)
async def search_action(call: Authenticated, request: Request, shared: Shared) -> Response:
    """What may be done now, among the registered actions. Nothing is recorded."""
    return _sent(await shared.answer(call, reading.search("action", await json_value(request))))


def metadata(request: Request) -> Metadata:
    """What this service says of itself; raises NotFound where it has no address to say it of."""
    found = request.app.state.metadata
    if not isinstance(found, Metadata):
        raise NotFound("this service has no public address to tell: set MUSTER_PUBLIC_URL to its https address")
    return found


Itself = Annotated[Metadata, Depends(metadata)]


@router.get(WELL_KNOWN, summary="AuthZEN metadata of this decision point")
async def configuration(itself: Itself, response: Response) -> dict[str, Any]:
    """Open to everybody; 404 without a public address. Tenants share it: the token of a call says whose it is."""
    response.headers["Cache-Control"] = f"public, max-age={SECONDS}"
    return itself.document(int(time.time()))


@router.get(JWKS, summary="The public keys of this service")
async def keys(itself: Itself, response: Response) -> dict[str, Any]:
    """The key set by which `signed_metadata` is checked; 404 without a public address."""
    response.headers["Cache-Control"] = f"public, max-age={SECONDS}"
    return {"keys": [itself.signer.jwk]}


def _sent(answer: bytes) -> Response:
    return Response(answer, media_type="application/json")
