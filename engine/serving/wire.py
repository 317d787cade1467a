"""HTTP/1.1 on one connection: uvicorn's protocol over llhttp, with the bounds that it lacks.

A request's head is bounded in bytes and lines, its framing in bytes, head and body in time, and so is what waits behind
it; a connection that says nothing is closed, and so is one that does not take its answers. There are no trailers, and
nobody is switched to another protocol. What is no HTTP is answered by a problem document like every other mistake. All
of that holds over TLS as well; what the connection says of itself is worked out once, when it is made.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import urllib.parse
from asyncio import TimerHandle
from collections import deque
from collections.abc import Mapping
from typing import Any, Final

import httptools
from starlette.types import Scope
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from engine.api import problems
from engine.api.envelope import Headers, has_body, request_id_of
from engine.api.refusal import Refusal
from engine.serving.certificates import Offer
from engine.serving.crowd import Crowd
from engine.serving.cycle import Cycle
from engine.serving.presented import extension
from engine.serving.shedding import Shedding
from engine.serving.taking import acknowledged

HEAD_BYTES: Final = 32 * 1024
HEAD_LINES: Final = 128
HEAD_SECONDS: Final = 10.0
WHOLE_SECONDS: Final = 60.0
TAKE_SECONDS: Final = 60.0
TAKE_BYTES: Final = 48 * 1024
"""Of an answer that waits to be taken a client takes as much in TAKE_SECONDS, or all of it."""
BUFFER_BYTES: Final = 64 * 1024
MOST_WAITING: Final = 16
_FRAMING: Final = 8
"""So many bytes of chunk sizes and line ends a body may have for each of its own: chunks of one byte have six."""

_log = logging.getLogger(__name__)


class Refused(Exception):
    """Raised in a callback of the parser, which then stops; the answer is in `_why`."""


class Protocol(HttpToolsProtocol):
    """See the module."""

    made = False
    """Whether there is a connection, or was one."""
    cycle: Cycle | None  # type: ignore[assignment]  # of the newest request
    pipeline: deque[Cycle]  # type: ignore[assignment]  # of all that are not answered; the first is being answered
    _refused: tuple[Refusal, bool] | None = None
    """What this request is answered when it is whole, and whether the connection stays then."""
    _begun = _in_head = _ended = _expects = False
    _received = _head = _body = 0
    _at_once = 0
    """How many were refused of what came in one piece."""
    _coding: bytes | None = None
    """The last line of the head that names transfer codings."""
    _why = (400, "")
    _timer: TimerHandle | None = None
    _until: TimerHandle | None = None
    _keeping: TimerHandle | None = None
    _used = 0.0
    """When the last answer was complete."""
    _waits: tuple[float, int] | None = None

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        *,
        crowd: Crowd,
        marks: Mapping[str, object],
        offer: Offer | None = None,
        connection: socket.socket | None = None,
        shedding: Shedding | None = None,
    ) -> None:
        """`marks` stand in the scope of each request. `crowd` was entered by whoever took the connection, and is left
        here. `offer`, `connection`: what a TLS handshake was made with, and over. `shedding` refuses those who ask for
        a decision when there is no room."""
        super().__init__(config, server_state, {})
        self._crowd, self._offer, self._connection = crowd, offer, connection
        self._scope: dict[str, Any] = dict(marks)
        self._shedding = shedding

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a request, and not for ever."""
        self.made = True
        super().connection_made(transport)
        self._scope |= {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "root_path": "",
        }
        if not self._known(transport):
            transport.abort()
            return
        self._await(HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - as asyncio has it
        """The client has gone."""
        self._rest()
        for timer in (self._until, self._keeping):
            if timer is not None:
                timer.cancel()
        self._crowd.leave()
        if self._shedding is not None:
            self._shedding.gone(self.flow)
        self.connections.discard(self)
        for cycle in self.pipeline:
            cycle.gone()
        self.pipeline.clear()
        self.cycle = None
        self.flow.resume_writing()
        self.dismiss()

    def dismiss(self) -> None:
        """There will be no connection, or there is none any more."""
        self.parser = None  # type: ignore[assignment]  # it refers to us, as we do to it

    def _known(self, transport: asyncio.Transport) -> bool:
        """Note who the other side is, where there is TLS; whether it can be known."""
        connection = transport.get_extra_info("ssl_object")
        if self._offer is None or not isinstance(connection, ssl.SSLObject):
            return self._offer is None
        transport.set_write_buffer_limits(high=BUFFER_BYTES)
        try:
            found, seconds = extension(connection, self._offer)
        except ValueError as exc:
            _log.warning("a client's certificate cannot be read: %s", exc)
            return False
        self._scope["extensions"] = {"tls": found}
        if seconds is not None:
            if seconds <= 0:
                return False
            self._until = self.loop.call_later(seconds, self.shutdown)
        return True

    def resume_writing(self) -> None:
        """The client takes its answer."""
        self._waits = None
        super().resume_writing()

    def look(self, now: float) -> None:
        """Cut off who does not take its answers; called every few seconds."""
        if self._connection is None:
            waiting = self.transport.get_write_buffer_size()
            taken = -waiting
        else:
            waiting, taken = acknowledged(self._connection)
        if not waiting:
            self._waits = None
        elif self._waits is None or taken - self._waits[1] >= TAKE_BYTES:
            self._waits = now, taken
        elif now - self._waits[0] >= TAKE_SECONDS:
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Take what came. Most requests come whole: only for the rest of one a timer runs."""
        if self._ended:
            return  # behind the last request of this connection
        self._at_once = 0
        self._received += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._unsupported_upgrade_warning()
        except httptools.HttpParserError:
            self.logger.warning("Invalid HTTP request received.")
            self.send_400_response("Invalid HTTP request received.")
        if not self._begun or self._ended or self.transport.is_closing():
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
        self._expects, self._coding = False, None
        self.url = b""
        self.headers = []

    def on_url(self, url: bytes) -> None:
        """A part of the target."""
        self.url += url
        self._head += len(url)
        if self._head > HEAD_BYTES:
            self._too_long()

    def on_header(self, name: bytes, value: bytes) -> None:
        """One line of the head; behind the head it would be a trailer, which nobody here reads."""
        if not self._in_head:
            self._stop(400, "trailers are not taken")
        name = name.lower()
        self.headers.append((name, value))
        self._head += len(name) + len(value)
        if self._head > HEAD_BYTES:
            self._too_long()
        if len(self.headers) > HEAD_LINES:
            self._stop(431, f"the head of the request has more than {HEAD_LINES} lines")
        if name == b"transfer-encoding":
            self._coding = value
        elif name == b"expect" and value.lower() == b"100-continue":
            self._expects = True

    def on_headers_complete(self) -> None:
        """The head is whole. After `Upgrade` or CONNECT the parser takes what follows for another protocol's bytes: a
        body would be read as the next request."""
        self._in_head = False
        self._rest()
        if self._ended:
            self._stop(400, "nothing is answered behind the last answer of a connection")
        if max(len(self.pipeline), self._at_once) > MOST_WAITING:
            self._stop(400, f"more than {MOST_WAITING} requests wait on this connection")
        last = self.parser.should_upgrade()
        if last and has_body(self.headers):
            self._stop(400, "a request that asks for another protocol has no body")
        if self._coding is not None and self._coding.rpartition(b",")[2].strip(b" \t").lower() != b"chunked":
            # It would end nobody knows where (RFC 9112 section 6.3). The parser says so only behind the head, when
            # there is an answer to wait for.
            self._stop(400, "the last transfer coding of a request is chunked")
        version = self.parser.get_http_version()
        keep_alive = not last and version != "1.0" and self.parser.should_keep_alive()
        refusal = None
        if self._shedding is not None and not self._expects:
            refusal = self._shedding.refusal(self.parser.get_method(), self.url)
            if refusal is not None and not self.pipeline and self._shedding.full():
                self.cycle = None
                if refusal.after_body:
                    self._refused = refusal, keep_alive
                else:
                    self._turn_away(refusal, self.headers, keep_alive, bare=self.parser.get_method() == b"HEAD")
                return
        scope = self._request(version)
        self.cycle = Cycle(self, scope, keep_alive=keep_alive, expects=self._expects, refusal=refusal)
        self.pipeline.append(self.cycle)
        if len(self.pipeline) == 1:
            self._answer(self.cycle)
        else:
            self.flow.pause_reading()
        if last:
            self._ended = True

    def _request(self, version: str) -> Scope:
        """The request as ASGI has it; raises for a target that is no path."""
        target = httptools.parse_url(self.url)
        raw_path, query = target.path, target.query or b""
        path = raw_path.decode("ascii")
        if b"#" in self.url:  # it is cut off with what is behind; no request has it (RFC 9112 section 3.2)
            raw_path += b"#"
        elif not query and self.url.endswith(b"?"):  # nor is a ? told that nothing follows; it is recorded
            raw_path += b"?"
        return {
            **self._scope,
            "http_version": version,
            "method": self.parser.get_method().decode("ascii"),
            "path": urllib.parse.unquote(path) if "%" in path else path,
            "raw_path": raw_path,
            "query_string": query,
            "headers": self.headers,
            "state": {},
        }

    def _answer(self, cycle: Cycle) -> None:
        """Have the first of the pipeline answered, as soon as it can be its turn."""
        refusal, shedding = cycle.refusal, self._shedding
        if refusal is None or shedding is None:
            cycle.begin()
        elif cycle.held and cycle.more_body:
            if cycle.overflows:  # the rest is read when it is asked for: by who says that it is too long
                cycle.held = False
                cycle.begin()
        elif shedding.full():
            self.pipeline.popleft()
            cycle.response_complete = True
            scope = cycle.scope
            self._turn_away(refusal, scope["headers"], cycle.keep_alive, bare=scope["method"] == "HEAD")
        else:
            cycle.held = False
            shedding.begun()
            cycle.ended = shedding.ended
            cycle.begin()

    def _turn_away(self, refusal: Refusal, headers: Headers, keep_alive: bool, *, bare: bool) -> None:
        """Refuse what there is no room for, `bare` without a body; behind a request whose own body nobody waits for the
        connection ends."""
        refusal.told()
        self._at_once += 1
        if self.flow.write_paused:  # who takes no answers gets no more of them
            self._ended = True
            self.transport.abort()
            return
        closes = not keep_alive or (not refusal.after_body and has_body(headers))
        common, request_id = self.server_state.default_headers, request_id_of(headers)
        self.transport.write(refusal.written(common, request_id, closes=closes, bare=bare))
        if closes:
            self._ended = True
            self.transport.close()
        self._answered()
        if not closes and self._shedding is not None:
            self._shedding.rest(self.flow)

    def on_body(self, body: bytes) -> None:
        """A part of the body; it is dropped if the answer did not wait for it."""
        self._body += len(body)
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            cycle.take(body)
            if cycle.held and cycle is self.pipeline[0]:
                self._answer(cycle)

    def on_message_complete(self) -> None:
        """The request is whole; what comes next is another head."""
        self._begun = False
        self._rest()
        cycle = self.cycle
        if self._refused is not None:
            refused, self._refused = self._refused, None
            self._turn_away(refused[0], self.headers, refused[1], bare=False)
        elif cycle is not None and not cycle.response_complete:
            cycle.whole()
            if cycle.held and cycle is self.pipeline[0]:
                self._answer(cycle)

    def on_response_complete(self) -> None:
        """An answer is on its way: the next one's turn, or the time until another request has to come."""
        self.pipeline.popleft()
        self._answered()

    def _answered(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._answer(self.pipeline[0])
            return
        self._used = self.loop.time()
        if self._keeping is None:
            self._keeping = self.loop.call_later(self.timeout_keep_alive, self._look_after)

    def _look_after(self) -> None:
        """Close a connection that was not used for long. One timer serves all answers: it is never set to later than
        the next instant at which that may be so."""
        busy = self._begun or bool(self.pipeline)
        left = self.timeout_keep_alive - (0 if busy else self.loop.time() - self._used)
        if left > 0:
            self._keeping = self.loop.call_later(left, self._look_after)
        else:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """What llhttp, or one of the bounds here, does not take."""
        status, why = self._why
        self._refuse(status, why or msg)

    def _too_long(self) -> None:
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
            if self.pipeline and not self.pipeline[0].held:  # an answer is on its way: nothing gets between
                self.pipeline[0].release()
            else:
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
