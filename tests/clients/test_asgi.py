"""The middleware's edges: sockets, servers that keep no raw path, applications without `install`, keys that change."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from muster_client import AsyncClient, Entity, Undecided, keys
from muster_client.asgi import Gate, OnlyThroughTheGate
from muster_client.keys import Keys
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from tests.adapters.gateway.edge import EXPORT, Edge
from tests.clients.cases import Signer
from tests.clients.raw import RawServer
from tests.service.running import until

Messages = list[dict[str, Any]]


async def sent(app: Any, scope: dict[str, Any]) -> Messages:
    """What an ASGI application sends for a scope."""
    told: Messages = []

    async def receive() -> dict[str, Any]:
        kind = "websocket.connect" if scope["type"] == "websocket" else "http.request"
        return {"type": kind, "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        told.append(message)

    await app(scope, receive, send)
    return told


async def inside(scope: Any, receive: Any, send: Any) -> None:
    """An application that tells who it is for."""
    await receive()
    kind = "websocket.accept" if scope["type"] == "websocket" else "http.response.start"
    await send({"type": kind, "status": 200, "for": scope["muster"].subject_id, "headers": []})


@pytest.fixture
def guarded(edge: Edge) -> Iterator[OnlyThroughTheGate]:
    """The middleware, when it has its keys."""
    made = OnlyThroughTheGate(inside, issuer=edge.service.url, audience="backend")

    def there() -> bool:
        try:
            made.keys.key_of("x")
        except Undecided:
            return False
        return True

    until(there, "the keys are there")
    yield made
    made.keys.close()


def scope_of(edge: Edge, **changed: Any) -> dict[str, Any]:
    """A request that passed the gate, as a server tells it."""
    got = edge.ask("caddy", "ada")
    headers = [
        (name.lower().encode(), str(got.header(name)).encode()) for name in ("Muster-Assertion", "Muster-Decision-Id")
    ]
    path = EXPORT.partition("?")[0].encode()
    return {"type": "http", "method": "POST", "raw_path": path, "path": path.decode(), "headers": headers, **changed}


def test_what_is_no_plain_request_is_refused_too(edge: Edge, guarded: OnlyThroughTheGate) -> None:
    """A WebSocket is a GET; without the raw path nothing can be shown; what is unknown does not get in."""
    assert asyncio.run(sent(guarded, scope_of(edge)))[0]["for"] == "ada"
    closed = [{"type": "websocket.close", "code": 1008}]
    assert asyncio.run(sent(guarded, scope_of(edge, type="websocket"))) == closed
    got = edge.ask("caddy", "ada", method="GET", target="/customers/acme/export-page")
    told = [("muster-assertion", got.header("Muster-Assertion")), ("muster-decision-id", got.decision)]
    headers = [(name.encode(), str(value).encode()) for name, value in told]
    socket = {"type": "websocket", "raw_path": b"/customers/acme/export-page", "headers": headers}
    assert asyncio.run(sent(guarded, socket))[0] == {**_accepted(), "for": "ada"}
    odd: list[dict[str, Any]] = [{"raw_path": None}, {"raw_path": EXPORT}, {"raw_path": b""}, {"headers": []}]
    for changed in odd:
        assert asyncio.run(sent(guarded, scope_of(edge, **changed)))[0]["status"] == 403
    assert asyncio.run(sent(guarded, scope_of(edge, type="datagram"))) == []


def _accepted() -> dict[str, Any]:
    return {"type": "websocket.accept", "status": 200, "headers": []}


def test_a_prefix_that_the_gateway_takes_away(edge: Edge, guarded: OnlyThroughTheGate) -> None:
    """The backend is told of it, and puts it in front again."""
    made = OnlyThroughTheGate(
        inside, issuer=edge.service.url, audience="backend", keys=guarded.keys, prefix="/customers/acme"
    )
    path = EXPORT.partition("?")[0].removeprefix("/customers/acme").encode()
    assert asyncio.run(sent(made, scope_of(edge, raw_path=path)))[0]["for"] == "ada"
    assert asyncio.run(sent(made, scope_of(edge)))[0]["status"] == 403


def test_without_install_the_endpoint_does_not_run_either(raw: RawServer) -> None:
    """The same statuses, in the framework's words; what the resource is may be found with `await`."""
    ran: list[str] = []

    async def resource(request: Request) -> Entity:
        return Entity("dataset", request.path_params["id"])

    for name, status in {"yes": 200, "no": 403, "shadow": 200, "503": 503, "one": 503}.items():
        gate = Gate(AsyncClient(raw.url(name), token="t"), subject=lambda _: Entity("user", "ada"))
        allowed = gate.require("data-export", resource=resource, context={"a": 1})

        async def endpoint(request: Request, allowed: Any = allowed, name: str = name) -> JSONResponse:
            decision = await allowed(request)
            ran.append(name)
            return JSONResponse({"by": decision.decision_id})

        got = asyncio.run(_got(Starlette(routes=[Route("/{id}", endpoint)])))
        assert got.status_code == status
        assert got.headers["content-type"] != "application/problem+json"
    assert ran == ["yes", "shadow"]


async def _got(app: Starlette) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app") as http:
        return await http.get("/x")


class JWKS(ThreadingHTTPServer):
    """Says what it is told to say as the keys of a tenant, and 500 while that is nothing."""

    said: bytes | None = None
    asked = 0

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)

    def __enter__(self) -> Self:
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.thread.join()
        self.server_close()

    def again(self) -> None:
        """Wait until it was asked twice more, so that what it says now has been heard."""
        asked = self.asked
        until(lambda: self.asked > asked + 1, "it is asked again")

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_address[1]}/jwks.json"


class _Handler(BaseHTTPRequestHandler):
    server: JWKS

    def do_GET(self) -> None:
        self.server.asked += 1
        self.send_response(200 if self.server.said is not None else 500)
        self.end_headers()
        self.wfile.write(self.server.said or b"")

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def _found(held: Keys, kid: str) -> bool:
    try:
        return held.key_of(kid) is not None
    except Undecided:
        return False


def test_keys_change_without_a_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new key is found; a set that cannot be read, or none, leaves the old one; after a day there is none."""
    for name in ("_SOONEST", "_FIRST", "_REFRESH"):
        monkeypatch.setattr(keys, name, 0.02)
    first, second = (Signer(Ed25519PrivateKey.generate(), name) for name in ("first", "second"))
    with JWKS() as server:
        held = Keys(server.url)
        with pytest.raises(Undecided, match="no-keys"):
            held.key_of("first")
        server.again()
        server.said = json.dumps(first.jwks()).encode()
        until(lambda: _found(held, "first"), "the first key is there")
        for garbage in (None, b"", b"<html>", b'{"keys": []}', b'{"a": "' + b"a" * 100_000 + b'"}'):
            server.said = garbage
            server.again()
            assert held.key_of("first") is not None
        server.said = json.dumps(second.jwks()).encode()
        until(lambda: _found(held, "second"), "the second key is there")
        assert held.key_of("first") is None
        monkeypatch.setattr(keys, "_KEPT", -1.0)
        with pytest.raises(Undecided, match="no-keys"):
            held.key_of("second")
        held.close()


@pytest.mark.alone
def test_a_flood_of_unknown_keys_is_fetched_seldom() -> None:
    """Whoever names keys that are not there makes nobody fetch more than every ten seconds, and waits for nothing."""
    with JWKS() as server:
        server.said = json.dumps(Signer(Ed25519PrivateKey.generate(), "a").jwks()).encode()
        held = Keys(server.url)
        until(lambda: _found(held, "a"), "the key is there")
        began = time.monotonic()
        assert not any(_found(held, str(n)) for n in range(10_000))
        assert time.monotonic() - began < 2
        assert server.asked == 1
        held.close()
