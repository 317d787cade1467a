"""One connection's requests and answers: what leaves in which write, what an application is told, and what is left."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from typing import Any

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.serving.answering import hello
from tests.serving.unplugged import DATE, Unplugged, settled

GET = b"GET /abc HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /abc HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
HEAD = b"HTTP/1.1 200 OK\r\ndate: %b\r\n" % DATE
KNOWN = HEAD + b"content-length: 4\r\n\r\n"
ANSWER = KNOWN + b"/abc"


def _answer(app: ASGIApp, *segments: bytes) -> tuple[list[bytes], bool]:
    """The writes, and whether the connection was closed."""
    found: list[Any] = []

    async def run() -> None:
        there = Unplugged(app)
        found.extend((await there.say(*segments), there.transport.closed))
        there.transport.close()
        await settled()

    asyncio.run(run())
    return found[0], found[1]


def start(*headers: tuple[bytes, bytes], status: int = 200) -> Message:
    """The beginning of an answer."""
    return {"type": "http.response.start", "status": status, "headers": headers}


def part(body: bytes, *, more: bool = False) -> Message:
    """A part of its body."""
    return {"type": "http.response.body", "body": body, "more_body": more}


LENGTH = (b"content-length", b"4")


def sending(*messages: Message | None) -> ASGIApp:
    """An application that sends just that, and lets the loop turn at None."""

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        for message in messages:
            if message is None:
                await settled()
            else:
                await send(message)

    return app


def test_an_answer_is_one_write() -> None:
    """Head and body together; however the request comes, on a connection that stays."""
    assert _answer(hello, GET, POST, POST[:20], POST[20:]) == ([ANSWER] * 3, False)


def test_pipelined_requests_are_one_write_each() -> None:
    """In their order, the next not begun before the last is answered."""
    assert _answer(hello, GET + POST + GET) == ([ANSWER] * 3, False)


@pytest.mark.parametrize(
    ("request_", "messages", "written"),
    [
        (GET.replace(b"GET", b"HEAD"), [start(LENGTH), part(b"/abc")], [KNOWN]),
        (GET, [start(status=204), part(b"")], [HEAD.replace(b"200 OK", b"204 No Content") + b"\r\n"]),
        (GET, [start(status=304), part(b"")], [HEAD.replace(b"200 OK", b"304 Not Modified") + b"\r\n"]),
        (GET, [start(), part(b"/abc")], [HEAD + b"transfer-encoding: chunked\r\n\r\n4\r\n/abc\r\n0\r\n\r\n"]),
        (GET, [start(), part(b"")], [HEAD + b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n"]),
        (GET, [start(LENGTH), part(b"/a", more=True), part(b"bc")], [KNOWN + b"/a", b"bc"]),
    ],
    ids=["HEAD", "204", "304", "chunked", "empty", "parts"],
)
def test_whatever_has_a_head_has_it_with_the_first_part(
    request_: bytes, messages: list[Message], written: list[bytes]
) -> None:
    """Also where there is no body, and where it has chunks or comes in parts."""
    assert _answer(sending(*messages), request_) == (written, False)


@pytest.mark.parametrize("framing", [(LENGTH,), ()], ids=["length", "chunked"])
def test_a_head_does_not_wait_for_a_body_that_comes_later(framing: tuple[tuple[bytes, bytes], ...]) -> None:
    """An application that streams has its head sent in the turn in which it began, and each part when it is sent."""

    async def run() -> None:
        gate = asyncio.Event()

        async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
            await send(start(*framing))
            await gate.wait()
            await send(part(b"/a", more=True))
            await settled()
            await send(part(b"bc"))

        there = Unplugged(app)
        [head] = await there.say(GET)
        assert head.startswith(HEAD)
        assert head.endswith(b"\r\n\r\n")
        gate.set()
        await settled()
        await settled()
        assert there.transport.writes[1:] == ([b"/a", b"bc"] if framing else [b"2\r\n/a\r\n", b"2\r\nbc\r\n0\r\n\r\n"])

    asyncio.run(run())


def test_a_fault_before_the_start_is_500(caplog: pytest.LogCaptureFixture) -> None:
    """One write, the connection is closed, and the log has it; so it is where nothing is answered at all."""

    async def broken(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise KeyError("mine")

    for app, said in ((broken, "Exception in ASGI application"), (sending(), "without starting response")):
        [answer], closed = _answer(app, GET)
        assert answer.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
        assert answer.endswith(b"connection: close\r\n\r\nInternal Server Error")
        assert closed
        assert said in caplog.messages[-1]


@pytest.mark.parametrize("parts", [[], [part(b"/a", more=True)]], ids=["head", "part"])
@pytest.mark.parametrize("raises", [True, False])
def test_a_fault_behind_the_start_cuts_the_answer_off(parts: list[Message], *, raises: bool) -> None:
    """The client has the head and what was sent, and no second answer."""

    async def broken(_scope: Scope, _receive: Receive, send: Send) -> None:
        for message in (start(LENGTH), *parts):
            await send(message)
        if raises:
            raise KeyError("mine")

    writes, closed = _answer(broken, GET + GET)
    assert b"".join(writes) == KNOWN + (b"/a" if parts else b"")
    assert closed


def test_a_fault_behind_the_answer_takes_nothing_back(caplog: pytest.LogCaptureFixture) -> None:
    """It was whole; the connection is closed, and the log has it."""

    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        await hello(scope, receive, send)
        raise KeyError("mine")

    assert _answer(broken, GET) == ([ANSWER], True)
    assert "KeyError: 'mine'" in caplog.text


@pytest.mark.parametrize("body", [b"/a", b"/abcd"])
def test_a_body_has_the_length_that_was_named(body: bytes) -> None:
    """Else the answer is cut off: nobody takes it for a whole one, or what is too much for the next."""
    writes, closed = _answer(sending(start(LENGTH), part(body)), GET)
    assert b"".join(writes) in (KNOWN, KNOWN + b"/a")
    assert closed


@pytest.mark.parametrize("code", [*range(32), 127])
def test_nothing_breaks_out_of_a_header(code: int) -> None:
    """A control character in a name or a value is sent to nobody; but for the tab, which a value may have."""
    for header in ((b"x-a%cb" % code, b"c"), (b"x-a", b"b%cc" % code)):
        writes, closed = _answer(sending(start(LENGTH, header), part(b"/abc")), GET)
        if code == 9 and header[0] == b"x-a":
            assert writes == [KNOWN[:-2] + b"x-a: b\tc\r\n\r\n/abc"]
        else:
            assert writes == []
            assert closed


@pytest.mark.parametrize("name", [b"x a", b"x:a", b'x"', b"x(", b"x[", b"x=", b"x,", b"x;"])
def test_a_name_is_a_token(name: bytes) -> None:
    """Whatever ends one in HTTP is refused."""
    assert _answer(sending(start(LENGTH, (name, b"1")), part(b"/abc")), GET) == ([], True)


def test_continue_is_said_when_the_body_is_asked_for() -> None:
    """And not to a client whose request is answered without it."""
    expecting = POST.replace(b"Host", b"Expect: 100-continue\r\nHost")
    head, body = expecting[:-5], expecting[-5:]
    bodies: list[bytes] = []

    async def reading(scope: Scope, receive: Receive, send: Send) -> None:
        bodies.append((await receive())["body"])
        await hello(scope, receive, send)

    assert _answer(reading, head, body)[0] == [b"HTTP/1.1 100 Continue\r\n\r\n", ANSWER]
    assert bodies == [b"hello"]
    assert _answer(hello, head)[0] == [ANSWER]


def test_whoever_asks_to_close_is_answered_and_closed() -> None:
    """The answer says so; HTTP/1.0 never stays."""
    closing = HEAD + b"content-length: 4\r\nconnection: close\r\n\r\n/abc"
    assert _answer(hello, GET.replace(b"Host", b"Connection: close\r\nHost")) == ([closing], True)
    assert _answer(hello, GET.replace(b"/1.1", b"/1.0")) == ([closing], True)
    written = HEAD + b"connection: Close\r\ncontent-length: 4\r\n\r\n/abc"
    assert _answer(sending(start((b"Connection", b"Close"), LENGTH), part(b"/abc")), GET) == ([written], True)


def test_a_client_that_goes_is_told_to_all_that_wait() -> None:
    """Whoever is at work for it hears of it, and what it still sends goes nowhere; what waits behind is not begun."""
    heard: list[Message] = []
    begun: list[Scope] = []

    async def waiting(scope: Scope, receive: Receive, send: Send) -> None:
        begun.append(scope)
        while not heard or heard[-1]["type"] != "http.disconnect":
            heard.append(await receive())
        await hello(scope, receive, send)

    async def run() -> None:
        there = Unplugged(waiting)
        assert await there.say(POST + GET) == []
        there.transport.close()
        await settled()
        assert there.transport.writes == []
        assert there.protocol.tasks == set()

    asyncio.run(run())
    assert [each["type"] for each in heard] == ["http.request", "http.disconnect"]
    assert len(begun) == 1


def test_behind_its_answer_an_application_has_nobody_to_listen_to() -> None:
    """`receive` says so at once, also to whoever waited for the body meanwhile."""
    heard: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        waiting = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        await hello(scope, receive, send)
        heard.extend((await waiting, await receive()))

    assert _answer(app, POST[:-5]) == ([ANSWER], False)
    assert [each["type"] for each in heard] == ["http.disconnect"] * 2


def test_a_body_comes_in_the_parts_that_have_come() -> None:
    """Each once, the last says that it is; reading stops while too much of it waits."""
    heard: list[Message] = []

    async def run() -> None:
        gate = asyncio.Event()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await gate.wait()
            while not heard or heard[-1]["more_body"]:
                heard.append(await receive())
            await hello(scope, receive, send)

        there = Unplugged(app)
        await there.say(b"POST /abc HTTP/1.1\r\nHost: x\r\nContent-Length: 70005\r\n\r\n", b"x" * 70_000)
        assert not there.transport.reading
        gate.set()
        await settled()
        assert there.transport.reading
        assert await there.say(b"hel", b"lo") == [ANSWER]

    asyncio.run(run())
    assert [(each["body"], each["more_body"]) for each in heard] == [
        (b"x" * 70_000, True), (b"hel", True), (b"lo", False),
    ]  # fmt: skip


@pytest.mark.parametrize("takes", [True, False])
def test_an_application_waits_for_a_slow_reader(*, takes: bool) -> None:
    """What comes behind a full buffer is sent when there is room again, or to nobody if the client goes."""
    done: list[bool] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await hello(scope, receive, send)
        done.append(True)

    async def run() -> None:
        there = Unplugged(app)
        there.protocol.pause_writing()
        assert await there.say(GET) == []
        assert done == []
        if takes:
            there.protocol.resume_writing()
        else:
            there.transport.close()
        await settled()
        assert there.transport.writes == ([ANSWER] if takes else [])
        assert done == [True]

    asyncio.run(run())


class Clock(asyncio.SelectorEventLoop):
    """A loop whose time can be set forward."""

    ahead = 0.0

    def time(self) -> float:
        return super().time() + self.ahead


async def _later(seconds: float) -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, Clock)
    loop.ahead += seconds
    await settled()


def test_a_connection_is_kept_for_as_long_behind_each_answer() -> None:
    """Counted from the last one; a request that is at work is not cut off, and a line end says nothing."""

    async def run() -> None:
        gate = asyncio.Event()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["method"] == "POST":
                await gate.wait()
            await hello(scope, receive, send)

        there = Unplugged(app)
        kept = there.protocol.timeout_keep_alive
        for _ in range(3):
            assert await there.say(GET) == [ANSWER]
            await _later(kept - 1)
            assert not there.transport.closed
        assert await there.say(POST) == []
        await _later(3 * kept)
        assert not there.transport.closed
        gate.set()
        await settled()
        assert there.transport.writes == [ANSWER] * 4
        await _later(kept - 1)
        assert not there.transport.closed
        await there.say(b"\r\n")
        await _later(2)
        assert there.transport.closed

    with asyncio.Runner(loop_factory=Clock) as runner:
        runner.run(run())


def test_a_server_that_stops_closes_behind_the_answer() -> None:
    """Who waits for one gets it, and the connection is closed then; who waits for none is closed at once."""

    async def run() -> None:
        gate = asyncio.Event()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await gate.wait()
            await hello(scope, receive, send)

        idle, busy = Unplugged(hello), Unplugged(app)
        await idle.say(GET)
        await busy.say(GET)
        for each in (idle, busy):
            each.protocol.shutdown()
        assert idle.transport.closed
        assert not busy.transport.closed
        gate.set()
        await settled()
        assert busy.transport.closed
        assert busy.transport.writes == [HEAD + b"content-length: 4\r\nconnection: close\r\n\r\n/abc"]

    asyncio.run(run())


def test_what_is_no_http_gets_between_no_answer() -> None:
    """The head of one that has begun is sent, and the connection is closed; no other answer stands behind it."""

    async def run() -> None:
        there = Unplugged(sending(start(LENGTH), None, part(b"/abc")))
        there.protocol.data_received(GET)
        await asyncio.sleep(0)  # it has begun, and its head is held
        assert await there.say(b"\0\r\n\r\n") == [KNOWN]
        assert there.transport.closed

    asyncio.run(run())


@pytest.mark.within
def test_nothing_is_left_for_the_collector(caplog: pytest.LogCaptureFixture) -> None:
    """A request goes with the next one, a connection with its end: the cycles that they are in are opened by hand."""
    caplog.set_level(logging.CRITICAL)

    async def run() -> None:
        there = Unplugged(hello)
        await there.say(GET)
        request, connection = weakref.ref(there.protocol.cycle), weakref.ref(there.protocol)
        await there.say(POST)
        assert request() is None
        await there.say(GET + GET + POST[:-2])
        there.transport.close()
        await settled()
        del there
        assert connection() is None

    gc.collect()
    gc.disable()
    try:
        asyncio.run(run())
    finally:
        gc.enable()
