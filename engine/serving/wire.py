"""HTTP/1.1 on one connection: uvicorn's protocol over llhttp, with the bounds that it lacks.

A request's head is bounded in bytes and lines, head and body in time; a connection that says nothing is closed. What is
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


class TooLargeHead(Exception):
    """The head of a request has more bytes or lines than it may."""


class Protocol(HttpToolsProtocol):
    """See the module."""

    _in_head = True
    _head = 0
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
        if self._in_head:
            self._head += len(data)
        super().data_received(data)
        if self._in_head and self._head > HEAD_BYTES:
            self._refuse(431, f"the head of the request is longer than {HEAD_BYTES} bytes")
        elif self._head and self._timer is None:
            self._await(HEAD_SECONDS if self._in_head else WHOLE_SECONDS)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One line of the head."""
        super().on_header(name, value)
        if len(self.headers) > HEAD_LINES:
            raise TooLargeHead

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._in_head = False
        self._rest()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request is whole; what comes next is another head."""
        self._in_head, self._head = True, 0
        self._rest()
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """What llhttp does not take."""
        if self.headers is not None and len(self.headers) > HEAD_LINES:
            self._refuse(431, f"the head of the request has more than {HEAD_LINES} lines")
        else:
            self._refuse(400, msg)

    def _refuse(self, status: int, detail: str) -> None:
        answer = problems.document(status, "http", "The request was refused", detail)
        body = bytes(answer.body)
        head = b"content-type: %b\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
        self._write(STATUS_LINE[status] + head % (problems.MEDIA_TYPE.encode(), len(body)) + body)

    def _write(self, answer: bytes) -> None:
        self._rest()
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
        self._refuse(408, "the request did not come whole in time")
