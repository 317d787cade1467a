"""A protocol without a network: what it is told, and each write of its own."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from engine.serving.crowd import Crowd
from engine.serving.http import config
from engine.serving.shedding import Shedding
from engine.serving.wire import Protocol

DATE = b"Fri, 27 Nov 2026 00:00:00 GMT"


class Transport(asyncio.Transport):
    """Takes everything; closes as a real one does: what is written behind that is lost, and soon the protocol hears."""

    def __init__(self, protocol: HttpToolsProtocol) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.reading = True
        self.closed = False
        self._protocol: HttpToolsProtocol | None = protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Two addresses."""
        return {"peername": ("127.0.0.1", 5), "sockname": ("127.0.0.1", 80)}.get(name, default)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """One more."""
        if not self.closed:
            self.writes.append(bytes(data))

    def is_closing(self) -> bool:
        """Whether it has been closed."""
        return self.closed

    def pause_reading(self) -> None:
        """Read no more."""
        self.reading = False

    def resume_reading(self) -> None:
        """Read again."""
        self.reading = True

    def close(self) -> None:
        """Close it, or the client does."""
        if not self.closed:
            self.closed = True
            asyncio.get_running_loop().call_soon(self._lost)

    abort = close

    def _lost(self) -> None:
        protocol, self._protocol = self._protocol, None
        assert protocol is not None
        protocol.connection_lost(None)


class Unplugged:
    """A connection of a client's, to our protocol or to uvicorn's own. Made inside an event loop."""

    def __init__(self, app: ASGIApp, *, uvicorn: bool = False, shedding: Shedding | None = None) -> None:
        made, state, crowd = config(app), ServerState(), Crowd(None)
        crowd.enter()
        state.default_headers = [(b"date", DATE)]
        self.protocol = (
            HttpToolsProtocol(made, state, {})
            if uvicorn
            else Protocol(made, state, crowd=crowd, marks={}, shedding=shedding)
        )
        self.transport = Transport(self.protocol)
        self.protocol.connection_made(self.transport)

    async def say(self, *segments: bytes) -> list[bytes]:
        """Send them one after the other; what has been written since then, once nothing happens any more."""
        before = len(self.transport.writes)
        for segment in segments:
            if not self.transport.closed:
                self.protocol.data_received(segment)
            await settled()
        return self.transport.writes[before:]


async def settled() -> None:
    """Let everything run that can."""
    for _ in range(12):
        await asyncio.sleep(0)
