"""HTTP in one process: the application under uvicorn, on the public listener and on the operator's own socket."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from engine.api.app import OperatorSocket
from engine.serving.wire import Protocol

_KEEP_ALIVE_SECONDS = 120
DRAIN_SECONDS = 10


def config(app: ASGIApp) -> uvicorn.Config:
    """How uvicorn serves; the one place."""
    return uvicorn.Config(
        app,
        lifespan="off",
        ws="none",
        http=Protocol,
        proxy_headers=False,
        server_header=False,
        log_config=None,
        access_log=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )


class Server(uvicorn.Server):
    """uvicorn, but for signals: it raises a captured one again when it is done, which would end us before the ledger
    and OPA are closed."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say so."""
        await super().startup(sockets)
        self.listening.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to whoever serves."""
        yield

    def stop(self) -> None:
        """Finish what is under way, and end; asked twice, end at once."""
        self.force_exit = self.should_exit
        self.should_exit = True


class Split:
    """The operator's socket and the public one are the same application, but for who is calling."""

    def __init__(self, app: ASGIApp, control: Path) -> None:
        self.public, self.operator, self.control = app, OperatorSocket(app), str(control)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        server = scope.get("server")
        inside = server is not None and server[0] == self.control and server[1] is None
        await (self.operator if inside else self.public)(scope, receive, send)
