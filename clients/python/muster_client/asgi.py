"""For Starlette and FastAPI: ask before an endpoint runs (`Gate.require`), or let in only what a gateway asked about.

    gate = Gate(client, subject=user_of)
    gate.install(app)

    @app.post("/customers/{customer}/exports", dependencies=[Depends(gate.require("data-export", resource=...))])

A no is 403 with its remedy, nobody is 401, and what could not be decided is 503. All three are exceptions, so an
endpoint runs after a yes only. `OnlyThroughTheGate` is for what stands behind a gateway that asks.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, TypeAlias, TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from muster_client import problems
from muster_client.answers import Decision
from muster_client.assertions import Assertion, Verifier
from muster_client.calls import Entity
from muster_client.client import AsyncClient
from muster_client.errors import Undecided, Unproven
from muster_client.keys import Keys
from muster_client.problems import Problem

T = TypeVar("T")
Of: TypeAlias = T | Callable[[Request], T | Awaitable[T]]
Subject: TypeAlias = str | Entity | None


class Stopped(HTTPException):
    """The endpoint does not run. Rendered as a problem document where `Gate.install` was called; else by its status."""

    def __init__(self, problem: Problem) -> None:
        headers = {name: value for name, value in problem.headers if name != "Content-Type"}
        super().__init__(problem.status, headers=headers)
        self.problem = problem


class Gate:
    """Asks one service for one application.

    `subject` finds who is asking, from what the application itself has verified; None is nobody. With `remedy_hosts` a
    browser's GET is sent to the first remedy at one of these hosts.
    """

    def __init__(
        self,
        client: AsyncClient,
        *,
        subject: Callable[[Request], Subject | Awaitable[Subject]],
        remedy_hosts: Collection[str] = (),
    ) -> None:
        self.client, self.remedy_hosts = client, frozenset(remedy_hosts)
        self._subject = subject

    def install(self, app: Starlette) -> None:
        """Let the application answer with problem documents."""
        app.add_exception_handler(Stopped, _rendered)

    def require(
        self,
        action: str,
        *,
        resource: Of[Entity],
        subject: Of[Subject] | None = None,
        context: Of[Mapping[str, Any]] | None = None,
    ) -> Callable[[Request], Awaitable[Decision]]:
        """A dependency of FastAPI, which gives the decision; each may be a value, or be found from the request."""

        async def required(request: Request) -> Decision:
            by: Of[Subject] = self._subject if subject is None else subject
            whom = await _of(by, request)
            what = await _of(resource, request)
            told = await _of(context, request) if context is not None else None
            return await self.check(request, whom, action, what, told)

        return required

    async def check(
        self,
        request: Request,
        subject: Subject,
        action: str,
        resource: Entity,
        context: Mapping[str, Any] | None = None,
    ) -> Decision:
        """The decision, if it is a yes; raises Stopped. For endpoints that know only later what they will do."""
        if subject is None:
            raise Stopped(problems.nobody())
        request_id = request.headers.get("x-request-id")
        try:
            decision = await self.client.decide(subject, action, resource, context, request_id=request_id)
        except Undecided as exc:
            raise Stopped(problems.undecided(exc)) from exc
        if decision.allow is not True:
            raise Stopped(self._denied(request, decision))
        return decision

    def _denied(self, request: Request, decision: Decision) -> Problem:
        browser = request.method in ("GET", "HEAD") and problems.prefers_html(request.headers.getlist("accept"))
        link = problems.elsewhere(decision, self.remedy_hosts) if browser else None
        return link or problems.denied(decision)


class OnlyThroughTheGate:
    """ASGI middleware: no request reaches the application without an assertion for exactly this request.

    `issuer` is the service's public address, `audience` this backend's name in the gateway's profile. `prefix` is what
    the gateway takes away from the front of paths. What was decided stands in `scope["muster"]` (an `Assertion`).
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        issuer: str,
        audience: str,
        tenant: str = "default",
        keys: Keys | None = None,
        prefix: str = "",
    ) -> None:
        self.app = app
        self.keys = keys if keys is not None else Keys(f"{issuer}/tenants/{tenant}/jwks.json")
        self._verifier = Verifier(issuer=issuer, audience=audience, tenant=tenant, key_of=self.keys.key_of)
        self._prefix = prefix.encode("ascii")
        self.keys.start()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is proven; 403 what is not, and 503 while there are no keys."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        try:
            proven = self._proven(scope)
        except Unproven as exc:
            await _stopped(problems.unproven(exc), scope, receive, send)
        except Undecided as exc:
            await _stopped(problems.undecided(exc), scope, receive, send)
        else:
            await self.app({**scope, "muster": proven}, receive, send)

    def _proven(self, scope: Scope) -> Assertion:
        if scope["type"] not in ("http", "websocket"):
            raise Unproven("malformed", "this is no request")
        path = scope.get("raw_path")
        if not isinstance(path, bytes):
            raise Unproven("malformed", "the server does not tell the path as it came")
        return self._verifier.verify(
            _one(scope, b"muster-assertion"),
            method="GET" if scope["type"] == "websocket" else scope["method"],
            path=self._prefix + path.partition(b"?")[0],
            decision_id=_one(scope, b"muster-decision-id"),
        )


def _one(scope: Scope, wanted: bytes) -> str:
    """A header that is there exactly once. One whose name has `_` for `-` is the same to some servers: refused."""
    alike = [(name.lower(), value) for name, value in scope["headers"] if name.lower().replace(b"_", b"-") == wanted]
    if len(alike) > 1:
        raise Unproven("repeated", f"{wanted.decode()} is there more than once")
    if not alike or alike[0][0] != wanted:
        raise Unproven("missing", f"there is no {wanted.decode()}")
    value: bytes = alike[0][1]
    return value.decode("latin-1")


async def _of(given: Of[T], request: Request) -> T:
    found: Any = given(request) if callable(given) else given
    value: T = await found if inspect.isawaitable(found) else found
    return value


async def _rendered(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, Stopped)
    return _response(error.problem)


def _response(problem: Problem) -> Response:
    return Response(problem.body, problem.status, dict(problem.headers))


async def _stopped(problem: Problem, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await _response(problem)(scope, receive, send)
    elif scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008})
