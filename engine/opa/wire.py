"""HTTP/1.1 to one OPA over its Unix socket: what stands in for the session of opa-python-client's `AsyncOpaClient`.

Its own session is aiohttp's, for any server on any network; of a lone decision that took a tenth. This one sends a body
by POST and reads an answer with a length or in chunks (llhttp, RFC 9112), over connections that are kept. It repeats
nothing. Whoever is cancelled while they wait takes their connection down with them: that is what makes OPA stop.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import httptools

_HEAD: Final = "POST {} HTTP/1.1\r\nHost: opa\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer, or as much of it as is read at the most and one piece more."""

    status: int
    body: bytes

    async def release(self) -> None:
        """Nothing is held."""


class Wire:
    """As many connections as there are questions at once; the most recent one that is free goes first."""

    def __init__(self, socket: Path, most_bytes: int) -> None:
        """`most_bytes`: an answer that is longer is not read to its end."""
        self.closed = False
        self._socket = socket
        self._most = most_bytes
        self._free: list[_Connection] = []
        self._open: set[_Connection] = set()

    async def request(self, method: str, target: str, *, data: bytes) -> Answer:
        """Ask; raises OSError where there is no whole answer."""
        if self.closed or method != "POST":
            raise ConnectionError("the connection is closed" if self.closed else f"{method} is not sent here")
        connection = self._freed() or await self._connected()
        try:
            answer = await connection.ask(_HEAD.format(target, len(data)).encode("ascii") + data)
        except BaseException:
            connection.abort()
            raise
        if connection.usable:
            self._free.append(connection)
        return answer

    async def close(self) -> None:
        """Close every connection; who waits for an answer gets none."""
        self.closed = True
        for connection in tuple(self._open):
            connection.abort()
        self._free.clear()

    def _freed(self) -> _Connection | None:
        while self._free:
            connection = self._free.pop()
            if connection.usable:
                return connection
        return None

    async def _connected(self) -> _Connection:
        loop = asyncio.get_running_loop()
        _, made = await loop.create_unix_connection(
            lambda: _Connection(loop, self._most, self._open), str(self._socket)
        )
        return made


class _Connection(asyncio.Protocol):
    """One question at a time. The methods called `on_` are llhttp's."""

    def __init__(self, loop: asyncio.AbstractEventLoop, most_bytes: int, among: set[_Connection]) -> None:
        self.usable = False
        self._loop, self._most, self._among = loop, most_bytes, among
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[Answer] | None = None
        self._parts: list[bytes] = []
        self._size = 0

    def ask(self, question: bytes) -> asyncio.Future[Answer]:
        """Send a whole request; answered with OSError where the connection ends before the answer does."""
        assert self._transport is not None
        self._waiting = waiting = self._loop.create_future()
        self._parts, self._size = [], 0
        self._transport.write(question)
        return waiting

    def abort(self) -> None:
        """Close now."""
        self.usable = False
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is there."""
        self._transport = cast(asyncio.Transport, transport)
        self._among.add(self)
        self.usable = True

    def connection_lost(self, exc: Exception | None) -> None:
        """It has gone."""
        self.usable = False
        self._among.discard(self)
        self._fail("it closed the connection" if exc is None else type(exc).__name__)

    def data_received(self, data: bytes) -> None:
        """A part of an answer, or what nobody asked for."""
        if self._waiting is None:
            self.abort()
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as exc:
            self._fail(f"what it answers is no HTTP: {exc}")
            self.abort()

    def on_headers_complete(self) -> None:
        """A head has come: one that announces another (1xx) was not asked for, and what follows it would be taken for
        the answer to the next question."""
        if self._parser.get_status_code() < 200:
            self._fail("it answers that it will answer")
            self.abort()

    def on_message_begin(self) -> None:
        """An answer begins: one behind the answer to a question must not be taken for that to the next."""
        if self._waiting is None:
            self.abort()

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self._parts.append(body)
        self._size += len(body)
        if self._size > self._most:
            self._end()
            self.abort()

    def on_message_complete(self) -> None:
        """The answer is whole."""
        if not self._parser.should_keep_alive():
            self.abort()
        self._end()

    def _end(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_result(Answer(self._parser.get_status_code(), b"".join(self._parts)))

    def _fail(self, why: str) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_exception(ConnectionError(why))
