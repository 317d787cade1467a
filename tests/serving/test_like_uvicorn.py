"""What we do of HTTP is what uvicorn does: both are told the same, byte by byte, and write the same."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from starlette.types import Message, Receive, Scope, Send

from tests.serving.unplugged import Unplugged, settled

Step: TypeAlias = Message | str
"""A message to send; or `receive`, `turn` (let the loop turn) or `raise`."""


@dataclass(slots=True)
class Scripted:
    """An application that does for each request what is next in its script; `heard` is what it is told."""

    scripts: list[list[Step]]
    heard: list[Any] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the class."""
        self.heard.append(scope)
        for step in self.scripts.pop(0) if self.scripts else []:
            if step == "receive":
                self.heard.append(await receive())
            elif step == "turn":
                await asyncio.sleep(0)
            elif isinstance(step, str):
                raise KeyError(step)
            else:
                await self._send(send, step)

    async def _send(self, send: Send, message: Message) -> None:
        try:
            await send(message)
        except Exception:  # of several mistakes each finds another one first
            self.heard.append("refused")
            raise


def start(status: int = 200, *headers: tuple[bytes, bytes]) -> Message:
    """The beginning of an answer."""
    return {"type": "http.response.start", "status": status, "headers": headers}


def part(body: bytes, *, more: bool = False) -> Message:
    """A part of its body."""
    return {"type": "http.response.body", "body": body, "more_body": more}


def _of(segments: list[bytes], scripts: list[list[Step]], *, uvicorn: bool) -> tuple[bytes, bool, bool, list[Any]]:
    """What was written, whether the connection was closed and whether it is read, and what the application heard."""

    async def run() -> tuple[bytes, bool, bool, list[Any]]:
        app = Scripted([list(script) for script in scripts])
        there = Unplugged(app, uvicorn=uvicorn)
        await there.say(*segments)
        found = b"".join(there.transport.writes), there.transport.closed, there.transport.reading, list(app.heard)
        there.transport.close()  # of which uvicorn tells only the newest request, not the one that is being answered
        await settled()
        return found

    return asyncio.run(run())


@pytest.fixture(scope="module", autouse=True)
def _silence() -> Iterator[None]:
    """Thousands of mistakes of applications are no news here."""
    log = logging.getLogger("uvicorn.error")
    log.disabled = True
    yield
    log.disabled = False


_LENGTH = st.integers(0, 6).map(lambda n: (b"Content-Length", b"%d" % n))
_HEADERS = st.one_of(
    _LENGTH,
    _LENGTH,
    st.sampled_from(
        [
            (b"content-type", b"text/plain"),
            (b"transfer-encoding", b"chunked"),
            (b"Transfer-Encoding", b"Chunked"),
            (b"connection", b"close"),
            (b"Connection", b"x, Close"),
            (b"connection", b"keep-alive"),
            (b"x-tab", b"a\tb"),
            (b"x-latin", b"\xe9"),
            (b"x-broken", b"a\r\nx-more: b"),
            (b"x-null", b"\0"),
            (b"x-del", b"\x7f"),
            (b"x broken", b"a"),
            (b"x:broken", b"a"),
            (b"content-length", b"six"),
        ]
    ),
)
_START = st.builds(
    lambda status, headers: start(status, *headers), st.sampled_from([200, 204, 304, 404]), st.lists(_HEADERS)
)
_PART = st.builds(lambda body, more: part(body, more=more), st.sampled_from([b"", b"abc", b"abcdef"]), st.booleans())
_STEP = st.one_of(st.sampled_from(["receive", "turn", "turn", "raise"]), _START, _PART, _PART)
_SCRIPT = st.one_of(
    st.lists(_STEP, max_size=5),
    st.builds(
        lambda first, before, rest: [*before, first, *rest], _START, st.lists(_STEP, max_size=1), st.lists(_STEP)
    ),
)


@st.composite
def _requests(draw: st.DrawFn) -> bytes:
    """One good request."""
    method = draw(st.sampled_from([b"GET", b"HEAD", b"POST", b"PUT"]))
    target = draw(st.sampled_from([b"/", b"/a%20b?c=d&e", b"/a/../b%2f", b"/?x?y"]))
    version = draw(st.sampled_from([b"1.1", b"1.1", b"1.1", b"1.0"]))
    lines = [b"%b %b HTTP/%b" % (method, target, version), b"Host: x"]
    lines += draw(
        st.lists(
            st.sampled_from([b"Connection: close", b"Connection: keep-alive", b"Expect: 100-continue", b"X-Y:  z "])
        )
    )
    body = draw(st.sampled_from([b"", b"a", b"hello", b"x" * 70_000]))
    if body and version == b"1.1" and draw(st.booleans()):
        lines.append(b"Transfer-Encoding: chunked")
        body = b"%x\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body, len(body), body)
    elif body:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join((*lines, b"", body))


@st.composite
def _segments(draw: st.DrawFn) -> list[bytes]:
    """Some requests one behind the other, and how they fall apart on the way."""
    whole = b"".join(draw(st.lists(_requests(), min_size=1, max_size=3)))
    cuts = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=3)))
    return [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True) if a < b]


_POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
_HELLO = start(200, (b"content-length", b"3"))


@settings(max_examples=400, deadline=None)
@given(segments=_segments(), scripts=st.lists(_SCRIPT, min_size=1, max_size=3))
@example([_POST * 3], [["receive", _HELLO, part(b"abc")]] * 3)
@example([_POST * 2], [["receive", _HELLO, part(b"abc"), "raise"], ["receive", _HELLO, part(b"abc")]])
@example([_POST], [[_HELLO, "turn", "turn", part(b"a", more=True), "turn", part(b"bc")]])
@example([_POST], [[_HELLO, "raise"]])
@example([_POST], [[_HELLO, part(b"abcd")]])
@example([_POST], [[_HELLO, part(b"ab")]])
@example([_POST], [[_HELLO, part(b"abc", more=True), "receive"]])
@example([_POST], [[_HELLO]])
@example([_POST], [[start(204), part(b"")]])
@example([_POST.replace(b"POST", b"HEAD")], [[_HELLO, part(b"abc")]])
@example([_POST.replace(b"Host", b"Expect: 100-continue\r\nHost")], [["receive", _HELLO, part(b"abc")]])
def test_what_is_written_and_told_is_the_same(segments: list[bytes], scripts: list[list[Step]]) -> None:
    """For good requests in any segments and applications that do anything, in any order."""
    assert _of(segments, scripts, uvicorn=False) == _of(segments, scripts, uvicorn=True)
