"""The wire to OPA against servers that answer wrongly: no answer is ever taken for that to another question."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from engine.opa.wire import Wire

Peer = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]
MOST = 1000


def whole(body: bytes) -> bytes:
    """A whole answer."""
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


async def _asked(peer: Peer, questions: list[bytes], *, at_once: bool = False) -> tuple[list[bytes | str], Wire]:
    """What each question is answered by a server that does `peer` with each; a failure stands as its kind."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                await peer(await reader.readexactly(int(head.rpartition(b"Content-Length: ")[2])), writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def ask(wire: Wire, question: bytes) -> bytes | str:
        try:
            async with asyncio.timeout(0.3):
                return (await wire.request("POST", "/v1/data/x", data=question)).body
        except OSError as exc:  # TimeoutError is one
            return "late" if isinstance(exc, TimeoutError) else "gone"

    with TemporaryDirectory(prefix="wire-", dir="/tmp") as folder:
        server = await asyncio.start_unix_server(serve, folder + "/s")
        wire = Wire(Path(folder, "s"), MOST)
        if at_once:
            answers = list(await asyncio.gather(*(ask(wire, question) for question in questions)))
        else:
            answers = [await ask(wire, question) for question in questions]
        await wire.close()
        server.close()
        return answers, wire


def _sends(pattern: bytes, *, ends: bool = False) -> Peer:
    async def peer(question: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(pattern.replace(b"ANSWER", whole(question)))
        if ends:
            writer.close()

    return peer


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        (_sends(b"HTTP/1.1 100 Continue\r\n\r\n"), "gone"),
        (_sends(b"HTTP/1.1 103 Early Hints\r\n\r\nANSWER"), "gone"),
        (_sends(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nANSWER"), "gone"),
        (_sends(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut", ends=True), "gone"),
        (_sends(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ncut\r\n", ends=True), "gone"),
        (
            _sends(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\n\r\n"),
            "gone",
        ),
        (_sends(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"), "gone"),
        (_sends(b"HTTP/1.1 200 OK\r\n\r\nuntil the end", ends=True), "gone"),
        (_sends(b"no HTTP\r\n\r\n"), "gone"),
        (_sends(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"), "late"),
        (_sends(b""), "late"),
    ],
)
def test_what_is_no_whole_answer_is_none(peer: Peer, expected: str) -> None:
    """Announced, cut off, told twice how long, no HTTP, or too late: an error, and so is the next of its kind."""
    answers, wire = asyncio.run(_asked(peer, [b"0", b"1", b"2"]))
    assert answers == [expected] * 3
    assert not wire._open


@pytest.mark.parametrize(
    "peer",
    [
        _sends(b"ANSWER"),
        _sends(b"ANSWERANSWER"),
        _sends(b"ANSWERHTTP/1.1 2"),
        _sends(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"),
    ],
)
def test_each_question_has_its_own_answer(peer: Peer) -> None:
    """Whatever comes behind an answer is nobody's; one after the other or all at once, no descriptor is left."""
    questions = [b"%d" % number for number in range(50)]
    for at_once in (False, True):
        answers, wire = asyncio.run(_asked(peer, questions, at_once=at_once))
        assert answers in (questions, [b"x"] * 50)
        assert not wire._open


def test_what_comes_too_late_is_nobodys() -> None:
    """The connection of a question that was given up is not asked again."""
    unanswered: list[asyncio.StreamWriter] = []

    async def tarries(question: bytes, writer: asyncio.StreamWriter) -> None:
        if question == b"0":
            unanswered.append(writer)
            return
        unanswered[0].write(whole(b"0"))
        writer.write(whole(question))

    answers, _ = asyncio.run(_asked(tarries, [b"0", b"1", b"2"]))
    assert answers == ["late", b"1", b"2"]


def test_what_is_too_long_is_not_read_to_its_end() -> None:
    """There is one piece more than may be, which says that it is too long; the next question has its answer."""
    asked = [b"long" * 4 * MOST, b"1"]
    answers, _ = asyncio.run(_asked(_sends(b"ANSWER"), asked))
    assert len(answers[0]) > MOST
    assert answers[1] == b"1"
