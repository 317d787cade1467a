"""Bodies, websockets and connections: none of them changes what is asked, and none of them reaches Muster."""

from __future__ import annotations

import hashlib
import json

import pytest

from engine.gateways.check import pdp
from engine.gateways.check.wire import Client, chunked, request
from tests.gateways.partners import Gate

MB = bytes(range(256)) * 4096
HANDSHAKE = (
    ("Upgrade", "websocket"),
    ("Connection", "keep-alive, Upgrade"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("Sec-WebSocket-Version", "13"),
)


@pytest.mark.parametrize("how", ["length", "chunks"])
def test_a_megabyte(gate: Gate, how: str) -> None:
    """Reaches the application whole, and Muster not at all: neither a byte of it nor the promise of one."""
    with gate.watch() as happened:
        if how == "length":
            answer = gate.call(request("/upload", method="POST", body=MB[:1_000_000]))
        else:
            head = request("/upload", ("Transfer-Encoding", "chunked"), method="POST")
            answer = gate.call(head + chunked(MB[:1_000_000], 9999))
    assert answer.status == 200
    assert json.loads(answer.body)["body"] == 1_000_000
    assert hashlib.sha256(happened.reached.message.body).digest() == hashlib.sha256(MB[:1_000_000]).digest()
    _no_body(gate, happened.asks[0])
    assert happened.asked.body == b""


@pytest.mark.parametrize("order", ["length first", "chunks first"])
def test_length_and_chunks(gate: Gate, order: str) -> None:
    """A body with both framings hides no second request: it is refused, or read one way by everybody."""
    both = [("Content-Length", "4"), ("Transfer-Encoding", "chunked")]
    hidden = request("/hidden")
    with gate.watch() as happened, Client(gate.address) as client:
        client.send(
            request("/", *(both if order == "length first" else both[::-1]), method="POST") + chunked(hidden, 64)
        )
        answer = client.answer()
    assert [seen.target for seen in happened.seen] == (["/"] if answer.status == 200 else [])
    assert "/hidden" not in str([ask.first for ask in happened.asks])
    assert len(happened.asks) <= 1


def test_a_denied_body(gate: Gate) -> None:
    """A denial does not wait for the body, and what is left of it is not taken for a request."""
    with gate.watch() as happened, gate.pdp.answering(pdp.DENY), Client(gate.address) as client:
        body = request("/hidden") * 20
        client.send(request("/upload", method="POST", body=body))
        assert client.answer().status == 403
    assert happened.seen == []
    assert len(happened.asks) == 1


def test_expect(gate: Gate) -> None:
    """`Expect: 100-continue` stays between client and gateway: Muster never sees it."""
    with gate.watch() as happened:
        answer = gate.call(request("/upload", ("Expect", "100-continue"), method="POST", body=b"x" * 10))
    assert answer.status == 200
    assert happened.asked.all("expect") == [] or gate.profile == "envoy-grpc"
    assert json.loads(answer.body)["body"] == 10


def test_a_websocket(gate: Gate) -> None:
    """Is judged at its handshake, as an ask without `Upgrade`; then bytes go both ways."""
    with gate.watch() as happened, Client(gate.address) as client:
        client.send(request("/socket?room=1", *HANDSHAKE))
        answer = client.answer()
        assert answer.status == 101
        for sent in (b"\x81\x05hello", b"\x82\x00" * 500):
            client.send(sent)
            assert client.reader.exactly(len(sent)) == sent
    assert (happened.asked.method, happened.asked.target) == ("GET", "/socket?room=1")
    assert happened.reached.decision == happened.ids[0]
    if gate.profile != "envoy-grpc":  # there headers are told, not sent
        assert happened.asks[0].get("upgrade") is None
        assert "upgrade" not in (happened.asks[0].get("connection") or "").lower()


def test_a_denied_websocket(gate: Gate) -> None:
    """403 in the place of the handshake, with the document."""
    with gate.watch() as happened, gate.pdp.answering(pdp.DENY):
        answer = gate.call(request("/socket", *HANDSHAKE))
    assert answer.status == 403
    assert json.loads(answer.body) == json.loads(pdp.DENY.body)
    assert happened.seen == []


def test_an_upgrade_to_something_else(gate: Gate) -> None:
    """`Upgrade: h2c` reaches nobody as one: a connection that speaks HTTP/2 inside would not be judged."""
    sent = (("Upgrade", "h2c"), ("Connection", "Upgrade, HTTP2-Settings"), ("HTTP2-Settings", "AAMAAABkAAQAAP__"))
    with gate.watch() as happened:
        gate.refused_or(request("/", *sent))
    for seen in happened.seen:
        assert seen.decision == happened.ids[0]
        connection = (seen.message.get("connection") or "").lower()
        assert seen.message.get("upgrade") is None or "upgrade" not in connection


def test_many_on_one_connection(gate: Gate) -> None:
    """Each request of a connection is asked about by itself, whatever came before it."""
    with gate.watch() as happened, Client(gate.address) as client:
        for number in range(20):
            with gate.pdp.answering(pdp.DENY if number % 2 else pdp.ALLOW):
                client.send(request(f"/{number}"))
                assert client.answer().status == (403 if number % 2 else 200)
    assert len(happened.asks) == 20
    assert [seen.target for seen in happened.seen] == [f"/{number}" for number in range(0, 20, 2)]
    assert [seen.decision for seen in happened.seen] == happened.ids[::2]


def test_pipelined(gate: Gate) -> None:
    """Requests sent at once are each asked about, in their order."""
    with gate.watch() as happened, Client(gate.address) as client:
        client.send(b"".join(request(f"/{number}") for number in range(5)))
        assert [client.answer().status for _ in range(5)] == [200] * 5
    assert [seen.target for seen in happened.seen] == [f"/{number}" for number in range(5)]
    assert sorted(seen.decision or "" for seen in happened.seen) == sorted(happened.ids)


def test_connections_to_muster_are_kept(gate: Gate) -> None:
    """50 asks one after another take at most a handful of connections."""
    before = gate.pdp.connections
    for _ in range(50):
        assert gate.call().status == 200
    made = gate.pdp.connections - before
    assert made <= 4


def test_connections_that_muster_closed(gate: Gate) -> None:
    """A kept connection that Muster has closed costs no request."""
    for _ in range(5):
        assert gate.call().status == 200
        gate.pdp.cut()
        assert gate.call().status == 200


def _no_body(gate: Gate, ask: object) -> None:
    if gate.profile != "envoy-grpc":
        message = gate.pdp.asks[-1]
        assert ask is message
        assert message.get("transfer-encoding") is None
        assert message.get("content-length") in {None, "0"}
