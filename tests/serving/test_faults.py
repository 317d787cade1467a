"""The socket between workers and the ledger's process: what breaks it, and what comes of that."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from ledger import errors
from ledger.model import Append, Changed, Draft, Receipt
from ledger.prepared import prepare
from ledger.remote import RemoteLedger, client, questions
from ledger.remote.answers import VERSION
from ledger.remote.frames import MOST_BYTES, BadFrame, Cutter, frame
from ledger.sqlite import SqliteLedger
from ledger.verify import verify
from tests.ledger.builders import ANN, BOB, TENANT, FakeClock, activation, decision, joins, name_of, one
from tests.serving.hosting import Host, Loop, listening


class Pair:
    """A ledger's process, and a worker's client of it."""

    def __init__(self, folder: Path, clock: FakeClock | None = None) -> None:
        self.database, self.path, self.clock = folder / "ledger.db", folder / "ledger.sock", clock
        self.listener = listening(self.path)
        self.loop = Loop()
        self.host: Host | None = None
        self.clients: list[RemoteLedger] = []

    def serve(self) -> Host:
        """Start what stands for the ledger's process."""
        self.host = Host(self.database, self.listener, self.clock)
        return self.host

    def client(self) -> RemoteLedger:
        """One more worker's client."""
        self.clients.append(self.loop.run(RemoteLedger.connect(self.database, self.path, clock=self.clock)))
        return self.clients[-1]

    def close(self) -> None:
        """End all of it."""
        for each in self.clients:
            each.close()
        self.loop.end()
        if self.host is not None:
            self.host.stop()
        self.listener.close()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """A socket, and nobody behind it yet."""
    made = Pair(tmp_path, FakeClock())
    yield made
    made.close()


def done(ledger: RemoteLedger, append: Append) -> tuple[Receipt, ...]:
    """Append and wait."""
    return ledger.submit(append).result(20)


def stranger(pair: Pair) -> socket.socket:
    """A connection of our own, that has been welcomed."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(10)
    connection.connect(str(pair.path))
    assert connection.recv(65536)
    return connection


BROKEN = {
    "a frame that is too large": (MOST_BYTES + 1).to_bytes(4) + b"x" * 100,
    "a frame that is too short": (3).to_bytes(4) + b"x" * 100,
    "a head that is longer than its frame": (8).to_bytes(4) + (100).to_bytes(4) + b"[][]",
    "a head that is not JSON": frame(b"\xff\xfe nonsense"),
    "a head that is no list": frame(b'{"a": 1}'),
    "an item that is none": frame(b'[["append"]]'),
    "an append with too few parts": frame(b'[[1, "append", "default", []]]'),
    "a payload that is not there": frame(b'[[1, "append", "t", [["i", "decision", 9, null, null, null]], [], null, null'
                                         b", null, null, []]]"),
    "a length below nothing": frame(b'[[1, "append", "t", [["i", "decision", -1, null, null, null]], [], null, null'
                                    b", null, null, []]]"),
    "bytes that belong to nothing": frame(b"[]", b"left over"),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_no_frame_ends_its_own_connection(what: str, pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, nothing is written, and the other workers go on."""
    pair.serve()
    ledger = pair.client()
    done(ledger, one(activation()))
    with stranger(pair) as connection, caplog.at_level(logging.ERROR):
        connection.sendall(BROKEN[what])
        assert connection.recv(65536) == b"", "the connection is closed"
    assert "was ended" in caplog.text
    assert done(ledger, joins(ANN))[0].index == 1


def _asked(draft: Draft, **changed: Any) -> tuple[list[Any], bytes]:
    """A question as a worker would write it, and then changed."""
    prepared = prepare(one(draft))
    told = orjson.loads(questions.item(1, prepared).head)
    parts = ("number", "what", "tenant", "drafts", "reads", "revision", "now", "valid_until", "erases", "erased")
    for name, value in changed.items():
        if name in parts:
            told[parts.index(name)] = value
        else:
            told[3][0][("id", "kind", "bytes", "about", "new", "idempotency").index(name)] = value
    return told, prepared.drafts[0].payload


NONSENSE: dict[str, dict[str, Any]] = {
    "an ID that is none": {"id": "no-uuid"},
    "a kind that the format does not have": {"kind": "decisions"},
    "a tenant that is no text": {"tenant": 7},
    "a revision that is none": {"revision": "abc"},
    "a now that is no instant": {"now": "2026-13-01"},
    "a valid_until that is no instant": {"valid_until": "soon"},
    "reads that are no pairs": {"reads": [["person/x"]]},
    "a version that is no number": {"reads": [["person/x", "1"]]},
    "a person who is none": {"about": ["user"]},
    "an erasure of nothing": {"erased": [3]},
    "a key that is none": {"new": ["a", "b"]},
}


@pytest.mark.parametrize("what", NONSENSE)
def test_what_no_worker_should_send_is_refused_alone(what: str, pair: Pair) -> None:
    """The item is answered with an error and nothing of it is written; the one beside it in the frame is."""
    pair.serve()
    ledger = pair.client()
    done(ledger, one(activation()))
    good = decision(ANN, now=ledger.now(TENANT)).drafts[0]
    bad, payload = _asked(good, **NONSENSE[what])
    fine, beside = _asked(decision(BOB, now=ledger.now(TENANT)).drafts[0], number=2)
    cutter = Cutter()
    answers: dict[int, list[Any]] = {}
    with stranger(pair) as connection:
        connection.sendall(frame(orjson.dumps([bad, fine]), payload, beside))
        while len(answers) < 2:
            for told, _ in cutter.feed(connection.recv(65536)):
                answers |= {answer[0]: answer[1:] for answer in told.get("answers", ())}
    assert answers[1][0] in ("Malformed", "MalformedInstant", "UnknownTenant")
    assert answers[2][0][0][0] == 1
    with_two = pair.clients[0].reader()
    assert with_two.head(TENANT).size == 2
    assert verify(with_two, TENANT).ok
    with_two.close()


def test_a_payload_that_is_not_canonical_is_refused(pair: Pair) -> None:
    """What changes a state is prepared again, and must come out the same, byte for byte."""
    pair.serve()
    done(pair.client(), one(activation()))
    told, payload = _asked(joins(ANN).drafts[0])
    spaced = payload.replace(b":", b": ", 1)
    told[3][0][2] = len(spaced)
    with stranger(pair) as connection:
        connection.sendall(frame(orjson.dumps([told]), spaced))
        answer = b""
        while b"answers" not in answer:
            answer += connection.recv(65536)
    assert b"Malformed" in answer


def test_frames_are_cut_wherever_they_are_split() -> None:
    """Byte by byte, or many at once, the same frames come out."""
    sent = [frame(orjson.dumps([n]), os.urandom(n)) for n in range(0, 50, 7)]
    stream = b"".join(sent)
    for step in (1, 3, 11, len(stream)):
        cutter = Cutter()
        heads = [told for at in range(0, len(stream), step) for told, _ in cutter.feed(stream[at : at + step])]
        assert heads == [[n] for n in range(0, 50, 7)]
    with pytest.raises(BadFrame):
        frame(b"x" * (MOST_BYTES + 1))


def _first_life(pair: Pair, *, writes: bool) -> None:
    """A ledger's process that takes one frame, perhaps writes it, and dies before it can answer."""
    connection, _ = pair.listener.accept()
    welcome = {"version": VERSION, "offset": pair.clock.wall - pair.clock.boot if pair.clock else 0, "newest": {}}
    connection.sendall(frame(orjson.dumps(welcome)))
    connection.settimeout(10)
    cutter = Cutter()
    while not (frames := list(cutter.feed(connection.recv(65536)))):
        pass
    if writes:
        ledger = SqliteLedger(pair.database, clock=pair.clock)
        for told, behind in frames:
            for _, asked in questions.questions(told, behind):
                ledger._queue(lambda asked=asked: asked).result(10)  # type: ignore[misc]
        ledger.close()
    connection.close()


@pytest.mark.parametrize("writes", [True, False])
def test_what_was_not_answered_is_sent_again_by_id(pair: Pair, *, writes: bool) -> None:
    """Whether the first process wrote it or not: it is in the log once, and answered by the second."""
    database = SqliteLedger(pair.database, clock=pair.clock)
    database.submit(one(activation())).result(10)
    database.close()
    life = asyncio.run_coroutine_threadsafe(asyncio.to_thread(_first_life, pair, writes=writes), pair.loop.loop)
    ledger = pair.client()
    future = ledger.submit(joins(ANN))
    life.result(20)
    pair.serve()
    (receipt,) = future.result(10)
    assert (receipt.index, receipt.duplicate) == (1, writes)
    reader = ledger.reader()
    assert reader.head(TENANT).size == 2
    reader.close()


def test_nobody_waits_for_ever(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without another process what was sent is unknown after a time; what is new is refused at once."""
    monkeypatch.setattr(client, "PATIENCE_S", 0.3)
    life = asyncio.run_coroutine_threadsafe(asyncio.to_thread(_first_life, pair, writes=False), pair.loop.loop)
    ledger = pair.client()
    future = ledger.submit(one(activation()))
    life.result(20)
    with pytest.raises(errors.Unknown):
        future.result(10)
    assert ledger.away
    with pytest.raises(errors.NotReady, match="starting again"):
        done(ledger, one(activation()))
    pair.serve()
    while ledger.away:
        pass
    assert done(ledger, one(activation()))[0].index == 0


def test_a_change_is_told_to_all_before_it_is_answered(pair: Pair) -> None:
    """Who asked hears of it before the answer; the other workers hear of it, too, and of the newest instant."""
    assert pair.clock is not None
    pair.serve()
    first, second = pair.client(), pair.client()
    heard: dict[str, list[Changed]] = {"first": [], "second": []}
    pair.loop.run(_watch(first, heard["first"]))
    pair.loop.run(_watch(second, heard["second"]))
    done(first, one(activation()))
    assert [changed.revision for changed in heard["first"]] == ["a" * 64]
    future = first.submit(joins(ANN))
    future.result(10)
    assert name_of(ANN) in heard["first"][-1].objects
    done(second, decision(BOB, now=second.now(TENANT)))  # behind the push, on its connection
    assert heard["second"] == heard["first"]
    pair.clock.run(30)
    at = done(first, decision(BOB, now=first.now(TENANT)))[0].at
    pair.clock.set_by(-1)
    while second.now(TENANT) != at:
        pass  # it hears of it within a tenth of a second


async def _watch(ledger: RemoteLedger, heard: list[Changed]) -> None:
    ledger.watch(heard.append)


def test_a_gap_is_told(pair: Pair) -> None:
    """After another process has taken the ledger, whoever remembers anything is told that something may be missed."""
    host = pair.serve()
    ledger = pair.client()
    missed: list[bool] = []
    pair.loop.run(_gap(ledger, missed))
    done(ledger, one(activation()))
    assert not missed
    host.stop()
    pair.serve()
    while ledger.away or not missed:
        pass
    assert done(ledger, joins(ANN))[0].index == 1


async def _gap(ledger: RemoteLedger, missed: list[bool]) -> None:
    ledger.gap(lambda: missed.append(True))
