"""The application: routes over services, problem documents, and the envelope around every request."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.types import ASGIApp, Receive, Scope, Send

from engine.api import (
    assertions,
    authzen,
    credentials,
    decisions,
    learning,
    ledger,
    operations,
    people,
    problems,
    requests,
    upkeep,
)
from engine.api.envelope import Envelope
from engine.api.gateway import Gateways
from engine.api.services import OPERATOR_SCOPE, Services
from engine.runtime import Runtime
from engine.web import entering, lessons, taking, training
from engine.web import ledger as ledger_pages


def create_app(runtime: Runtime) -> FastAPI:
    """The HTTP application over a runtime that has been started."""
    found = Services.of(runtime)
    return application(found, Gateways.of(found))


def application(found: Services, gateways: Gateways) -> FastAPI:
    """The same over parts that are there already."""
    app = FastAPIOffline(
        docs_url="/docs",
        redoc_url=None,
        title="Muster",
        summary="May this person do this now?",
        description="Answers from what a tamper-evident ledger proves a person has learned, and records every answer.",
        version="1",
        redirect_slashes=False,
    )
    app.state.services, app.state.gateways = found, gateways
    authzen.install(app, found)
    problems.install(app)
    for room in (decisions, requests, authzen, assertions, people, learning, credentials, ledger, upkeep, operations):
        app.include_router(room.router)
    for pages in (entering, training, lessons, taking, ledger_pages):
        app.include_router(pages.router)
    app.add_middleware(Envelope)
    return app


class OperatorSocket:
    """ASGI: the same application for whoever could open the operator's own socket (a 0600 file in a 0700 folder)."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Mark the request as the operator's."""
        await self.app({**scope, OPERATOR_SCOPE: True}, receive, send)
