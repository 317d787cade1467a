"""Our own server in a thread, with an application of a test's: what reaches it, and what the wire bears."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import uvloop
from starlette.types import ASGIApp, Receive, Scope, Send

from engine.serving.crowd import Crowd
from engine.serving.http import Listener, Server, config
from engine.serving.renewing import Certificates
from engine.settings import Tls
from tests.service.running import until


@dataclass(slots=True)
class Answering:
    """A listener on this machine; `scopes` are of the requests that came."""

    app: ASGIApp
    tls: Tls | None = None
    limit: int | None = None
    marks: Mapping[str, object] = field(default_factory=dict)
    scopes: list[Scope] = field(default_factory=list)
    crowd: Crowd = field(init=False)
    port: int = 0
    server: Server | None = None
    certificates: Certificates | None = None
    loop: asyncio.AbstractEventLoop | None = None

    def __post_init__(self) -> None:
        self.crowd = Crowd(self.limit)

    @contextmanager
    def running(self) -> Iterator[Answering]:
        """Serve for as long as this lasts."""
        thread = threading.Thread(target=self._run)
        thread.start()
        try:
            until(lambda: self.server is not None and self.server.started, "the server listens")
            yield self
        finally:
            assert self.loop is not None
            assert self.server is not None
            self.loop.call_soon_threadsafe(self.server.stop)
            thread.join(30)

    def connect(self, context: ssl.SSLContext | None = None, session: ssl.SSLSession | None = None) -> socket.socket:
        """A connection of a test's own."""
        return connect(self.port, context, session)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            self.loop = runner.get_loop()
            runner.run(self._serve())

    async def _serve(self) -> None:
        watching = None
        if self.tls is not None:
            self.certificates = Certificates.load(self.tls)
            watching = asyncio.create_task(self.certificates.watch())
        found = self.certificates
        bound = socket.create_server(("127.0.0.1", 0))
        self.port = bound.getsockname()[1]
        listener = Listener(
            socket=bound,
            crowd=self.crowd,
            marks=self.marks,
            offered=None if found is None else lambda: found.offer,
        )

        async def noting(scope: Scope, receive: Receive, send: Send) -> None:
            self.scopes.append(scope)
            await self.app(scope, receive, send)

        self.server = Server(config(noting), [listener])
        await self.server.serve([bound])
        if watching is not None:
            watching.cancel()


def connect(port: int, context: ssl.SSLContext | None, session: ssl.SSLSession | None = None) -> socket.socket:
    """A connection to a port of this machine, over TLS if a context says how."""
    made = socket.create_connection(("127.0.0.1", port), timeout=30)
    if context is None:
        return made
    try:
        return context.wrap_socket(made, server_hostname="localhost", session=session)
    except OSError:
        made.close()
        raise


async def hello(scope: Scope, _receive: Receive, send: Send) -> None:
    """Answers with the path."""
    body = scope["path"].encode()
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def whole(connection: socket.socket) -> bytes:
    """All that comes until the other side closes, however it does."""
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except (ConnectionError, ssl.SSLError):
        pass
    return b"".join(parts)


def ask(connection: socket.socket, path: str = "/", more: str = "") -> bytes:
    """One request on a connection that stays; its status line."""
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n".encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        part = connection.recv(65536)
        if not part:
            return answer
        answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    length = next((int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"content-length")), 0)
    while len(body) < length:
        body += connection.recv(65536)
    return head.split(b"\r\n")[0]
