"""One request and its answer, between the parser and the application: ASGI 3.0, HTTP message format 2.3.

The head of an answer leaves with the first part of its body, in one write. If the application does not send that part
in the same step, the head leaves alone in the loop's next turn. Nothing is made that a common answer does not need.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from starlette.types import Message, Scope
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HEADER_RE, HEADER_VALUE_RE, STATUS_LINE, HttpToolsProtocol

from engine.api.refusal import Refusal

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_FAULT: Final = b"Internal Server Error"
_FAULT_HEADERS: Final = [
    (b"content-type", b"text/plain; charset=utf-8"),
    (b"content-length", b"%d" % len(_FAULT)),
    (b"connection", b"close"),
]


@lru_cache(maxsize=256)
def _name(given: bytes) -> bytes:
    """A header's name as it is sent; those of an application are few."""
    if HEADER_RE.search(given):
        raise RuntimeError("Invalid HTTP header name.")
    return given.lower()


class Cycle:
    """See the module. `keep_alive`: whether the connection stays behind the answer."""

    response_complete = False
    disconnected = False
    """Whether the client has gone without its whole answer."""
    more_body = True
    ended: Callable[[], None] | None = None
    """Called once, when the answer begins, or there is none."""
    _started = False
    _held = b""
    """The head of the answer, until it is sent."""
    _chunked: bool | None = None
    """None: neither this nor a length was named."""
    _left = 0
    """What is left to send of the length that was named."""
    _news = False
    """Whether something has happened that `receive` has not told."""
    _event: asyncio.Event | None = None
    """There is one while `receive` waits."""

    def __init__(
        self, connection: HttpToolsProtocol, scope: Scope, *, keep_alive: bool, expects: bool, refusal: Refusal | None
    ) -> None:
        """`expects`: the client sends its body when it is told to (100-continue). `refusal`: for one that asks for a
        decision."""
        self.keep_alive = keep_alive
        self._connection = connection
        self._transport = connection.transport
        self.scope = scope
        self._expects = expects
        self.refusal = refusal
        self.held = refusal is not None and refusal.after_body
        self._body = bytearray()

    def take(self, body: bytes) -> None:
        """Keep a part of the body until it is asked for."""
        self._body += body
        if self.overflows:
            self._connection.flow.pause_reading()
        self._wake()

    @property
    def overflows(self) -> bool:
        """Whether no more of the body is read until somebody asks for it."""
        return len(self._body) > HIGH_WATER_LIMIT

    def whole(self) -> None:
        """There is no more of the body."""
        self.more_body = False
        self._wake()

    def gone(self) -> None:
        """The client is not there any more."""
        self.disconnected = True
        self._wake()

    def release(self) -> None:
        """Send the head, if it still waits for a body."""
        head, self._held = self._held, b""
        if head and not self._transport.is_closing():
            self._transport.write(head)

    def begin(self) -> None:
        """Have the request answered, by a task of its own."""
        self._connection.tasks.add(self._connection.loop.create_task(self.run()))

    async def run(self) -> None:
        """Have the request answered. What the application fails at is told to the log; the client gets 500, or what has
        begun is cut off."""
        connection, failed = self._connection, False
        try:
            try:
                await connection.app(self.scope, self.receive, self.send)
            except BaseException:
                connection.logger.exception("Exception in ASGI application\n")
                failed = True
            if not failed and not self.response_complete and not self.disconnected:
                what = "completing" if self._started else "starting"
                connection.logger.error("ASGI callable returned without %s response.", what)
                failed = True
            if failed:
                await self._fail()
        finally:
            self._over()
            task = asyncio.current_task()
            assert task is not None
            connection.tasks.discard(task)

    async def receive(self) -> Message:
        """ASGI: the next part of the body, once there is one; or that there is nobody to answer any more."""
        if self._expects and not self._transport.is_closing():
            self._transport.write(_CONTINUE)
            self._expects = False
        if not self.disconnected and not self.response_complete:
            self._connection.flow.resume_reading()
            if not self._news:
                if self._event is None:
                    self._event = asyncio.Event()
                await self._event.wait()
            self._news = False
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        body = bytes(self._body)
        self._body.clear()
        return {"type": "http.request", "body": body, "more_body": self.more_body}

    async def send(self, message: Message) -> None:
        """ASGI: begin the answer, or send a part of its body. Waits for a client that does not take what it has."""
        self._over()
        flow = self._connection.flow
        if flow.write_paused and not self.disconnected:
            await flow.drain()
        if self.disconnected:
            return
        kind = message["type"]
        if self.response_complete:
            raise RuntimeError(f"Unexpected ASGI message '{kind}' sent, after response already completed.")
        wanted = "http.response.body" if self._started else "http.response.start"
        if kind != wanted:
            raise RuntimeError(f"Expected ASGI message '{wanted}', but got '{kind}'.")
        if self._started:
            self._part(message.get("body", b""), last=not message.get("more_body", False))
        else:
            self._started = True
            self._expects = False
            self._held = self._head(message)
            self._connection.loop.call_soon(self.release)

    def _head(self, message: Message) -> bytes:
        """The head of the answer, with how its body will be framed (RFC 9112 section 6)."""
        status: int = message["status"]
        headers = [*self._connection.server_state.default_headers, *message.get("headers", ())]
        if HEADER_VALUE_RE.search(b"".join([value for _, value in headers])):
            raise RuntimeError("Invalid HTTP header value.")
        lines = [STATUS_LINE[status]]
        closes = False
        for given, value in headers:
            name = _name(given)
            if name == b"content-length" and self._chunked is None:
                self._left = int(value)
                self._chunked = False
            elif name == b"transfer-encoding" and value.lower() == b"chunked":
                self._left = 0
                self._chunked = True
            elif name == b"connection" and b"close" in [token.strip() for token in value.lower().split(b",")]:
                self.keep_alive = False
                closes = True
            lines += (name, b": ", value, b"\r\n")
        if not self.keep_alive and not closes:
            lines.append(b"connection: close\r\n")
        if self._chunked is None and self.scope["method"] != "HEAD" and status not in (204, 304):
            self._chunked = True
            lines.append(b"transfer-encoding: chunked\r\n")
        lines.append(b"\r\n")
        return b"".join(lines)

    def _part(self, body: bytes, *, last: bool) -> None:
        """Send a part of the body, behind the head if that still waits."""
        if self.scope["method"] == "HEAD":
            self._left = 0
            body = b""
        elif self._chunked:
            chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            body = chunk + b"0\r\n\r\n" if last else chunk
        elif len(body) > self._left:
            raise RuntimeError("Response content longer than Content-Length")
        else:
            self._left -= len(body)
        if self._held:
            body, self._held = b"".join((self._held, body)), b""
        if body:
            self._transport.write(body)
        if last:
            if self._left:
                raise RuntimeError("Response content shorter than Content-Length")
            self.response_complete = True
            self._wake()
            if not self.keep_alive:
                self._transport.close()
            self._connection.on_response_complete()

    async def _fail(self) -> None:
        if self._started:
            self.release()
            self._transport.close()
        else:
            await self.send({"type": "http.response.start", "status": 500, "headers": _FAULT_HEADERS})
            await self.send({"type": "http.response.body", "body": _FAULT})

    def _over(self) -> None:
        if self.ended is not None:
            ended, self.ended = self.ended, None
            ended()

    def _wake(self) -> None:
        self._news = True
        if self._event is not None:
            self._event.set()
            self._event = None
