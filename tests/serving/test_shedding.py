"""Who asks for a decision while there is no room: refused by the head of the request, and not asked again at once."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine
from typing import Any

import httptools
import pytest
from starlette.types import Receive, Scope, Send

from engine.api.limits import FLOOR, Admission
from engine.api.refusal import Refusal, refusal
from engine.serving import shedding, wire
from engine.serving.shedding import Shedding
from tests.serving.unplugged import DATE, Unplugged, settled

BODY = b'{"a":1}'
QUESTION = b"POST /question HTTP/1.1\r\nHost: a\r\nX-Request-ID: q-1\r\nContent-Length: 7\r\n\r\n" + BODY
ASK = b"%s /ask HTTP/1.1\r\nHost: a\r\nX-Request-ID: a-1\r\n%s\r\n"
OTHER = b"GET /other HTTP/1.1\r\nHost: a\r\n\r\n"


class Service:
    """An application that answers when it may, what is asked of it, and what is refused."""

    def __init__(self) -> None:
        self.admission = Admission()
        self.asked: list[str] = []
        self.refused: list[str] = []
        self.goes_on = asyncio.Event()
        self.goes_on.set()
        self._refusals = {
            b"/question": self._refusal("question", after_body=True),
            b"/ask": self._refusal("ask", after_body=False),
        }
        self.shedding = Shedding(self.admission, lambda _method, target: self._refusals.get(target))

    def _refusal(self, what: str, *, after_body: bool) -> Refusal:
        headers = [(b"retry-after", b"1"), (b"content-length", b"7")]
        return refusal(headers, b"no room", lambda: self.refused.append(what), after_body=after_body)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        self.asked.append(scope["path"])
        if scope["path"] == "/question":
            while (await receive()).get("more_body"):
                pass
        await self.goes_on.wait()
        if scope["path"] == "/fails":
            raise RuntimeError
        headers = [(b"content-length", b"2"), *((n, v) for n, v in scope["headers"] if n == b"x-request-id")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok"})

    def connect(self) -> Unplugged:
        """One more connection."""
        return Unplugged(self, shedding=self.shedding)

    def fill(self) -> None:
        """There is no room from now on."""
        self.admission.in_hand = self.admission.under_way = FLOOR

    def empty(self) -> None:
        """There is."""
        self.admission.in_hand = self.admission.under_way = 0


def served(scenario: Callable[[Service], Coroutine[Any, Any, None]]) -> None:
    """Play it."""

    async def run() -> None:
        await scenario(Service())

    asyncio.run(run())


def refused_with(answer: bytes, request_id: str, *, closes: bool = False, bare: bool = False) -> None:
    """Hold an answer to what it has to be."""
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 503 Service Unavailable"
    expected = {b"date: " + DATE, b"retry-after: 1", b"content-length: 7", b"x-request-id: " + request_id.encode()}
    assert set(lines[1:]) == expected | ({b"connection: close"} if closes else set())
    assert len(lines) == 1 + len(expected) + closes
    assert body == (b"" if bare else b"no room")


def test_a_question_without_room() -> None:
    """503 behind its body, without a task; the connection stays, and is served once there is room."""

    async def scenario(service: Service) -> None:
        connection = service.connect()
        service.fill()
        (answer,) = await connection.say(QUESTION)
        refused_with(answer, "q-1")
        (answer,) = await connection.say(QUESTION[:-20], QUESTION[-20:-3], QUESTION[-3:])
        refused_with(answer, "q-1")
        assert (service.asked, service.refused) == ([], ["question"] * 2)
        (answer,) = await connection.say(OTHER)  # what asks for no decision is not refused
        assert answer.startswith(b"HTTP/1.1 200")
        service.empty()
        (answer,) = await connection.say(QUESTION)
        assert answer.endswith(b"ok")
        assert (service.asked, service.admission.in_hand) == (["/other", "/question"], 0)
        assert not connection.transport.closed

    served(scenario)


@pytest.mark.parametrize(
    "question",
    [
        QUESTION.replace(b"HTTP/1.1", b"HTTP/1.0"),
        QUESTION.replace(b"Host: a", b"Host: a\r\nConnection: close"),
        QUESTION.replace(b"Host: a", b"Host: a\r\nConnection: Upgrade\r\nUpgrade: h2c").replace(BODY, b"").replace(
            b"Content-Length: 7", b"Content-Length: 0"
        ),
    ],
)  # fmt: skip
def test_a_client_that_wants_no_more(question: bytes) -> None:
    """Its connection ends behind the refusal, and says so."""

    async def scenario(service: Service) -> None:
        connection = service.connect()
        service.fill()
        (answer,) = await connection.say(question)
        refused_with(answer, "q-1", closes=True)
        assert connection.transport.closed
        assert not service.asked

    served(scenario)


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"DELETE"])
def test_an_ask_without_room(method: bytes) -> None:
    """503 behind its head, without a body where there can be none."""

    async def scenario(service: Service) -> None:
        connection = service.connect()
        service.fill()
        (answer,) = await connection.say(ASK % (method, b""))
        refused_with(answer, "a-1", bare=method == b"HEAD")
        assert (service.asked, service.refused) == ([], ["ask"])
        service.empty()
        (answer,) = await connection.say(ASK % (method, b""))
        assert answer.startswith(b"HTTP/1.1 200")

    served(scenario)


@pytest.mark.parametrize("framing", [b"Content-Length: 7\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_an_ask_whose_body_may_never_come(framing: bytes) -> None:
    """It is refused at once; nothing that comes then is taken for a request, or decided."""

    async def scenario(service: Service) -> None:
        connection = service.connect()
        service.fill()
        body = BODY if b"Length" in framing else b"7\r\n" + BODY + b"\r\n0\r\n\r\n"
        (answer,) = await connection.say(ASK % (b"GET", framing) + body + OTHER + QUESTION)
        refused_with(answer, "a-1", closes=True)
        assert connection.transport.closed
        assert (service.asked, service.refused) == ([], ["ask"])

    served(scenario)


def test_answers_keep_their_order() -> None:
    """What came behind one that is being answered is refused behind its answer."""

    async def scenario(service: Service) -> None:
        connection = service.connect()
        service.goes_on.clear()
        assert await connection.say(QUESTION + ASK % (b"HEAD", b"") + QUESTION + OTHER) == []
        service.admission.under_way += FLOOR
        service.goes_on.set()
        await settled()
        written = b"".join(connection.transport.writes)
        assert re.findall(rb"HTTP/1.1 (\d+)", written) == [b"200", b"503", b"503", b"200"]
        assert re.findall(rb"x-request-id: (\S+)", written) == [b"q-1", b"a-1", b"q-1"]
        assert written.count(b"no room") == 1
        assert service.refused == ["ask", "question"]
        assert service.admission.in_hand == 0

    served(scenario)


def test_a_flood_of_refused_requests() -> None:
    """Of what comes in one piece so many are refused as may wait; then the connection ends."""

    async def scenario(service: Service) -> None:
        connection = service.connect()
        service.fill()
        await connection.say(QUESTION * 200)
        assert len(service.refused) == wire.MOST_WAITING + 1
        assert connection.transport.writes[-1].startswith(b"HTTP/1.1 400")
        assert connection.transport.closed

    served(scenario)


def test_who_waits_for_leave_to_send_is_not_left_waiting() -> None:
    """`Expect: 100-continue` goes the long way: its body would never come."""

    async def scenario(service: Service) -> None:
        connection = service.connect()
        service.fill()
        head, _, body = QUESTION.replace(b"Host: a", b"Host: a\r\nExpect: 100-continue").partition(b"\r\n\r\n")
        assert await connection.say(head + b"\r\n\r\n") == [b"HTTP/1.1 100 Continue\r\n\r\n"]
        (answer,) = await connection.say(body)
        assert answer.endswith(b"ok")

    served(scenario)


def test_a_body_that_is_not_there_takes_no_room() -> None:
    """A question is in hand from the end of its body on; one whose body is too long to be kept is asked at once."""

    async def scenario(service: Service) -> None:
        waiting, long = service.connect(), service.connect()
        await waiting.say(QUESTION[:-3])
        assert (service.asked, service.admission.in_hand) == ([], 0)
        head = b"POST /question HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n"
        assert await long.say(head, b"a" * 200_000) == []
        assert (service.asked, service.admission.in_hand) == (["/question"], 0)
        (answer,) = await long.say(b"a" * 100_000)
        assert answer.endswith(b"ok")
        service.goes_on.clear()
        await waiting.say(QUESTION[-3:])
        assert (service.asked, service.admission.in_hand) == (["/question"] * 2, 1)
        service.goes_on.set()
        await settled()
        assert service.admission.in_hand == 0

    served(scenario)


def test_half_a_question_is_told_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that does not come whole in time gets 408, and one whose chunks are none 400: nothing else was answered."""
    monkeypatch.setattr(wire, "WHOLE_SECONDS", 0.05)

    async def scenario(service: Service) -> None:
        late = service.connect()
        await late.say(QUESTION[:-3])
        await asyncio.sleep(0.2)
        assert b"".join(late.transport.writes).startswith(b"HTTP/1.1 408")
        wrong = service.connect()
        chunked = b"POST /question HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nxyz\r\n"
        (answer,) = await wrong.say(chunked)
        assert answer.startswith(b"HTTP/1.1 400")
        assert service.asked == []

    served(scenario)


@pytest.mark.parametrize("path", [b"/question", b"/ask"])
def test_nothing_stays_in_hand(path: bytes) -> None:
    """Neither of one who has gone, nor of one who does not take the answer, nor of what failed."""

    async def scenario(service: Service) -> None:
        question = QUESTION if path == b"/question" else ASK % (b"GET", b"")
        service.goes_on.clear()
        gone, slow = service.connect(), service.connect()
        await gone.say(question)
        await slow.say(question)
        assert service.admission.in_hand == 2
        gone.transport.close()
        await settled()
        assert service.admission.in_hand == 2  # it is still being decided
        slow.protocol.flow.pause_writing()
        service.goes_on.set()
        await settled()
        assert service.admission.in_hand == 0
        assert slow.transport.writes == []
        slow.protocol.flow.resume_writing()
        await settled()
        assert slow.transport.writes[0].endswith(b"ok")
        failing = Unplugged(service, shedding=Shedding(service.admission, lambda *_: service._refusals[path]))
        await failing.say(question.replace(path, b"/fails"))
        assert failing.transport.writes[0].startswith(b"HTTP/1.1 500")
        assert service.admission.in_hand == 0

    served(scenario)


def test_who_was_refused_is_not_read_for_a_moment() -> None:
    """In a crowd as many connections are read again as may be refused, in their order; without one all of them."""

    async def scenario(service: Service) -> None:
        service.fill()
        service.admission.crowded = True
        crowd = [service.connect() for _ in range(1500)]
        for connection in crowd:
            connection.protocol.data_received(QUESTION)
        assert not any(connection.transport.reading for connection in crowd)
        await asyncio.sleep(0.1)
        reading = [connection.transport.reading for connection in crowd]
        assert 100 <= sum(reading) <= 0.3 * shedding.REFUSED_A_SECOND
        assert reading == sorted(reading, reverse=True)
        assert service.admission.crowded
        service.admission.crowded = False
        crowd[-1].transport.close()  # one that has gone stops nobody
        await asyncio.sleep(0.1)
        assert all(connection.transport.reading for connection in crowd[:-1])

    served(scenario)


def test_who_is_refused_often_rests_as_long() -> None:
    """One that pipelines is read again once, and at its price; one that has gone waits in nobody's way."""

    async def scenario(service: Service) -> None:
        service.fill()
        service.admission.crowded = True
        greedy = [service.connect() for _ in range(100)]
        for connection in greedy:
            connection.protocol.data_received(QUESTION * 10)
        assert len(service.refused) == 1000
        gone = [service.connect() for _ in range(100)]
        for connection in gone:
            connection.protocol.data_received(QUESTION * 10)
            connection.transport.close()
        await settled()
        last = service.connect()
        last.protocol.data_received(QUESTION)
        await asyncio.sleep(0.08)
        reading = [connection.transport.reading for connection in greedy]
        assert 10 <= sum(reading) < 100
        await asyncio.sleep(0.5)  # 1,001 refusals, of which 5,000 a second are paid for
        assert last.transport.reading
        assert all(connection.transport.reading for connection in greedy)

    served(scenario)


def test_who_takes_no_refusals_gets_no_more_of_them() -> None:
    """What it does not take is not kept for it."""

    async def scenario(service: Service) -> None:
        service.fill()
        connection = service.connect()
        connection.protocol.flow.pause_writing()
        assert await connection.say(QUESTION) == []
        assert connection.transport.closed

    served(scenario)


def test_a_target_that_is_none_of_them_is_no_decision() -> None:
    """Only what the application names is refused here: the parser's own view of a target is what is compared."""

    async def scenario(service: Service) -> None:
        service.fill()
        connection = service.connect()
        for target in (b"/question?a", b"/question/", b"http://a/question", b"//question"):
            assert httptools.parse_url(target)
            (answer,) = await connection.say(QUESTION.replace(b"/question", target))
            assert answer.startswith(b"HTTP/1.1 200")
        assert service.refused == []

    served(scenario)
