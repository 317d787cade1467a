"""HTTP in one process: the application under uvicorn, on each of its listeners."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import cast

import uvicorn
from starlette.types import ASGIApp

from engine.serving.arriving import Arrivals
from engine.serving.certificates import Offer
from engine.serving.crowd import Crowd
from engine.serving.shedding import Shedding
from engine.serving.wire import Protocol

_KEEP_ALIVE_SECONDS = 120
_TICKS_A_LOOK = 50
"""uvicorn ticks ten times a second."""
DRAIN_SECONDS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """A bound socket. `marks` stand in the scope of each request that comes by it; with `offered`, it
    speaks TLS; `shedding` refuses those who ask for a decision when there is no room."""

    socket: socket.socket
    crowd: Crowd
    marks: Mapping[str, object]
    offered: Callable[[], Offer] | None = None
    shedding: Shedding | None = None


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
    """uvicorn, but for its listeners and for signals: it raises a captured one again when it is done, which would end
    us before the ledger and OPA are closed."""

    def __init__(self, config: uvicorn.Config, listeners: Sequence[Listener]) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()
        self._listeners = listeners

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002 - as uvicorn has it
        """Listen, and say so."""
        await self.lifespan.startup()
        self.servers = []
        for each in self._listeners:
            self.servers.append(self._serve_on(each))
        self.started = True
        self.listening.set()

    async def on_tick(self, counter: int) -> bool:
        """Besides what uvicorn does: look whether clients take their answers."""
        if counter % _TICKS_A_LOOK == 0:
            now = asyncio.get_running_loop().time()
            for connection in tuple(self.server_state.connections):
                cast(Protocol, connection).look(now)
        return await super().on_tick(counter)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to whoever serves."""
        yield

    def stop(self) -> None:
        """Finish what is under way, and end; asked twice, end at once."""
        self.force_exit = self.should_exit
        self.should_exit = True

    def _serve_on(self, listener: Listener) -> asyncio.Server:
        make = partial(
            Protocol,
            self.config,
            self.server_state,
            crowd=listener.crowd,
            marks=listener.marks,
            shedding=listener.shedding,
        )
        arrivals = Arrivals(
            listener.socket, listener.crowd, listener.offered, lambda *made: make(offer=made[0], connection=made[1])
        )
        return cast(asyncio.Server, arrivals)  # as far as uvicorn uses one
