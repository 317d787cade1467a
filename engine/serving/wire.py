"""HTTP/1.1 on one connection: uvicorn's protocol over llhttp, with the bounds that it lacks.

A request's head is bounded in bytes and lines, its framing in bytes, head and body in time, and so is what waits behind
it; a connection that says nothing is closed. There are no trailers, and nobody is switched to another protocol. What is
no HTTP is answered by a problem document like every other mistake.
"""

from __future__ import annotations

import asyncio
from asyncio import TimerHandle
from typing import Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from engine.api import problems

HEAD_BYTES: Final = 32 * 1024
HEAD_LINES: Final = 128
HEAD_SECONDS: Final = 10.0
WHOLE_SECONDS: Final = 60.0
MOST_WAITING: Final = 16
_FRAMING: Final = 8
"""So many bytes of chunk sizes and line ends a body may have for each of its own: chunks of one byte have six."""


class Refused(Exception):
    """Raised in a callback of the parser, which then stops; the answer is in `_why`."""


class Protocol(HttpToolsProtocol):
    """See the module."""

    _begun = _in_head = _ended = False
    _received = _head = _body = 0
    _why = (400, "")
    _timer: TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a request, and not for ever."""
        super().connection_made(transport)
        self._await(HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone."""
        self._rest()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came. Most requests come whole: only for the rest of one a timer runs."""
        if self._ended:
            return  # behind the last request of this connection
        self._received += len(data)
        super().data_received(data)
        if self._ended or self.transport.is_closing() or not self._begun:
            return
        if self._received > HEAD_BYTES * (1 if self._in_head else 2) + _FRAMING * self._body:
            what = "head" if self._in_head else "framing"
            self._refuse(431 if self._in_head else 400, f"the {what} of the request is longer than {HEAD_BYTES} bytes")
        elif self._timer is None:
            self._await(HEAD_SECONDS if self._in_head else WHOLE_SECONDS)

    def on_message_begin(self) -> None:
        """The first bytes of a request."""
        self._begun = self._in_head = True
        self._received = self._head = self._body = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """A part of the target."""
        super().on_url(url)
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """One line of the head; behind the head it would be a trailer, which nobody here reads."""
        if not self._in_head:
            self._stop(400, "trailers are not taken")
        super().on_header(name, value)
        self._count(len(name) + len(value))
        if len(self.headers) > HEAD_LINES:
            self._stop(431, f"the head of the request has more than {HEAD_LINES} lines")

    def on_headers_complete(self) -> None:
        """The head is whole. After `Upgrade` or CONNECT the parser takes what follows for another protocol's bytes: a
        body would be read as the next request."""
        self._in_head = False
        self._rest()
        if len(self.pipeline) >= MOST_WAITING:
            self._stop(400, f"more than {MOST_WAITING} requests wait on this connection")
        last = self.parser.should_upgrade()
        if last and any(n == b"transfer-encoding" or (n == b"content-length" and v != b"0") for n, v in self.headers):
            self._stop(400, "a request that asks for another protocol has no body")
        super().on_headers_complete()
        if last:
            self.cycle.keep_alive = False
            self._ended = True

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self._body += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole; what comes next is another head."""
        self._begun = False
        self._rest()
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """What llhttp, or one of the bounds here, does not take."""
        status, why = self._why
        self._refuse(status, why or msg)

    def _count(self, more: int) -> None:
        self._head += more
        if self._head > HEAD_BYTES:
            self._stop(431, f"the head of the request is longer than {HEAD_BYTES} bytes")

    def _stop(self, status: int, why: str) -> None:
        self._why = status, why
        raise Refused(why)

    def _refuse(self, status: int, detail: str) -> None:
        answer = problems.document(status, "http", "The request was refused", detail)
        body = bytes(answer.body)
        head = b"content-type: %b\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
        self._end(STATUS_LINE[status] + head % (problems.MEDIA_TYPE.encode(), len(body)) + body)

    def _end(self, answer: bytes) -> None:
        self._rest()
        self._ended = True
        if not self.transport.is_closing():
            if self.cycle is None or self.cycle.response_complete:  # else an answer is on its way: nothing gets between
                self.transport.write(answer)
            self.transport.close()

    def _await(self, seconds: float) -> None:
        self._timer = self.loop.call_later(seconds, self._late)

    def _rest(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        self._timer = None
        if self._begun:
            self._refuse(408, "the request did not come whole in time")
        else:
            self._end(b"")
