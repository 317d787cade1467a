"""HTTP/2 on the same port: most gateways speak it unasked, and hand on HTTP/1.1."""

from __future__ import annotations

import pytest

from engine.gateways.check import http2, pdp
from engine.gateways.check.http2 import PATHS
from tests.gateways.partners import Gate


def _request(path: bytes, *more: tuple[bytes, bytes], method: bytes = b"GET") -> list[tuple[bytes, bytes]]:
    return http2.fields(path, b"app.example", *more, method=method)


@pytest.mark.parametrize("path", PATHS, ids=repr)
def test_a_path(gate: Gate, path: bytes) -> None:
    """What Muster is asked about is what the application gets, or nothing gets there."""
    with gate.watch() as happened:
        http2.call(gate.address, _request(path, (b"muster-decision-id", b"made-up")))
    assert len(happened.seen) <= len(happened.asks) <= 1
    for seen in happened.seen:
        assert (happened.asked.method, happened.asked.target) == (seen.method, seen.target)
        assert happened.asked.host == seen.message.get("host") == "app.example"
        assert seen.decision == happened.ids[0]


def test_it_is_spoken(gate: Gate) -> None:
    """By all but nginx, whose listener would have to say so."""
    with gate.watch() as happened:
        ended = http2.call(gate.address, _request(b"/x"))
    assert (ended, len(happened.seen)) == (("closed", 0) if gate.profile == "nginx" else ("answered", 1))


@pytest.mark.parametrize(
    "more",
    [
        (b"connection", b"muster-decision-id"),
        (b"te", b"trailers"),
        (b"transfer-encoding", b"chunked"),
        (b"upgrade", b"websocket"),
        (b"host", b"other.example"),
        (b":path", b"/public"),
        (b":protocol", b"websocket"),
        (b"Muster-Decision-Id", b"made-up"),
        (b"x-a", b"b\r\nmuster-decision-id: made-up"),
        (b"x-a: b\r\nmuster-decision-id", b"made-up"),
    ],
    ids=repr,
)
def test_a_header_that_is_none(gate: Gate, more: tuple[bytes, bytes]) -> None:
    """Is refused, dropped or harmless: one decision, about what arrives."""
    for method in (b"GET", b"CONNECT"):
        with gate.watch() as happened:
            http2.call(gate.address, _request(b"/admin", more, method=method))
        assert len(happened.seen) <= len(happened.asks) <= 1
        for seen in happened.seen:
            assert (happened.asked.method, happened.asked.target) == (seen.method, seen.target)
            assert happened.asked.host == seen.message.get("host")
            assert seen.decision == happened.ids[0]


def test_denied(gate: Gate) -> None:
    """What Muster denies does not arrive, whatever its path."""
    with gate.watch() as happened, gate.pdp.answering(pdp.DENY):
        for path in PATHS:
            http2.call(gate.address, _request(path))
    assert happened.seen == []
