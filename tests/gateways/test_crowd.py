"""Many at once, and heads that no client library would send: each request that arrives has a decision about itself."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from engine.gateways.check import pdp
from engine.gateways.check.targets import HEADS
from engine.gateways.check.wire import Client, Message, request
from tests.gateways import asks
from tests.gateways.partners import Gate


@pytest.mark.parametrize("raw", HEADS.values(), ids=list(HEADS))
def test_an_odd_head(gate: Gate, raw: bytes) -> None:
    """Is refused, or Muster is asked about what the application gets, which has this decision's ID and no other."""
    with gate.watch() as happened:
        gate.refused_or(raw)
    assert len(happened.seen) <= len(happened.asks) <= 1
    for seen in happened.seen:
        assert (happened.asked.method, happened.asked.target) == (seen.method, seen.target)
        assert seen.decision == happened.ids[0]
        assert not [
            value for name, value in seen.message.lines if name.lower() == "muster-decision-id" and "up" in value
        ]


@pytest.mark.parametrize("raw", HEADS.values(), ids=list(HEADS))
def test_an_odd_head_denied(gate: Gate, raw: bytes) -> None:
    """Goes around nothing."""
    with gate.watch() as happened, gate.pdp.answering(pdp.DENY):
        gate.refused_or(raw)
    assert happened.seen == []


@pytest.mark.parametrize("size", [1_000, 7_000, 15_000, 40_000, 90_000])
def test_a_long_header(gate: Gate, size: int) -> None:
    """Reaches Muster whole if it reaches the application; else it is refused."""
    with gate.watch() as happened:
        answer = gate.refused_or(request("/", ("X-Long", "a" * size), ("Authorization", "Bearer " + "b" * (size // 8))))
    assert len(happened.seen) <= len(happened.asks) <= 1
    if happened.seen:
        assert happened.asked.all("x-long") == happened.reached.message.all("x-long") == ["a" * size]
        assert happened.asked.all("authorization") == happened.reached.message.all("authorization")
    else:
        assert answer is None or answer.status >= 400


def test_bytes_in_a_header(gate: Gate) -> None:
    """What is not ASCII reaches Muster as it reaches the application, or nothing does."""
    value = "caf\xe9 \xff\x80 \u00c0"
    with gate.watch() as happened:
        gate.refused_or(request("/", ("Authorization", value), ("X-User", value)))
    for seen in happened.seen:
        for name in ("authorization", "x-user"):
            assert happened.asked.all(name) == seen.message.all(name)


def test_many_at_once(gate: Gate) -> None:
    """400 requests of 8 clients, of which Muster denies every third, misses every fifth, and allows the rest."""

    def rule(ask: Message) -> pdp.Plan:
        number = int(asks.asked(gate.profile, ask).target.rpartition("/")[2])
        return pdp.DENY if number % 3 == 0 else pdp.UNDECIDED if number % 5 == 0 else pdp.ALLOW

    def client(first: int) -> dict[int, int]:
        told, connection = {}, Client(gate.address)
        for number in range(first, 400, 8):
            connection.send(request(f"/things/{number}", method="POST", body=b"x" * (number % 50)))
            answer = connection.answer()
            told[number] = answer.status
            if answer.get("connection") == "close":  # so nginx ends what it answers 503
                connection.socket.close()
                connection = Client(gate.address)
        connection.socket.close()
        return told

    gate.pdp.rule = rule
    try:
        with gate.watch() as happened, ThreadPoolExecutor(8) as clients:
            told = {number: status for part in clients.map(client, range(8)) for number, status in part.items()}
    finally:
        gate.pdp.rule = None
    wanted = {n: 403 if n % 3 == 0 else 503 if n % 5 == 0 else 200 for n in range(400)}
    assert told == wanted
    decided = {
        identity: asks.asked(gate.profile, ask).target
        for identity, ask in zip(happened.ids, happened.asks, strict=True)
    }
    assert [decided[seen.decision or ""] for seen in happened.seen] == [seen.target for seen in happened.seen]
    assert Counter(seen.target for seen in happened.seen) == {f"/things/{n}": 1 for n, s in wanted.items() if s == 200}
