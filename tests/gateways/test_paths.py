"""What is judged is what is done: method and target, byte for byte, or nothing at all reaches the application."""

from __future__ import annotations

import pytest

from engine.gateways.check import pdp
from engine.gateways.check.targets import METHODS, TARGETS
from engine.gateways.check.wire import request
from tests.gateways.partners import Gate


@pytest.mark.parametrize("target", TARGETS, ids=[f"{number:02d}" for number in range(len(TARGETS))])
def test_target(gate: Gate, target: bytes) -> None:
    """Whatever its form, what Muster is asked about equals what the application gets, or nothing gets there."""
    with gate.watch() as happened:
        answer = gate.refused_or(request(target))
    assert len(happened.seen) <= len(happened.asks) <= 1
    if happened.seen:
        assert happened.asked.target == happened.reached.target
        assert happened.asked.method == happened.reached.method == "GET"
        assert happened.asked.host.lower() == (happened.reached.message.get("host") or "").lower()
        assert happened.reached.decision == happened.ids[0]
    else:
        assert answer is None or answer.status >= 300


@pytest.mark.parametrize("target", [b"*", b"http://app.example/admin", b"//admin", b"/public/../admin", b"/admin%00"])
def test_target_denied(gate: Gate, target: bytes) -> None:
    """No form of a target goes around Muster: what it denies does not arrive."""
    with gate.watch() as happened, gate.pdp.answering(pdp.DENY):
        for method in ("GET", "OPTIONS"):
            gate.refused_or(request(target, method=method))
    assert happened.seen == []


@pytest.mark.parametrize("method", METHODS)
def test_method(gate: Gate, method: str) -> None:
    """Muster is told the method that the application gets, or nothing gets there."""
    target = "app.example:443" if method == "CONNECT" else "/admin"
    with gate.watch() as happened:
        gate.refused_or(request(target, method=method), head_only=method == "HEAD")
    assert len(happened.seen) <= len(happened.asks) <= 1
    if happened.seen:
        assert happened.asked.method == happened.reached.method == method


@pytest.mark.parametrize("method", METHODS)
def test_method_denied(gate: Gate, method: str) -> None:
    """No method goes around Muster, OPTIONS neither."""
    with gate.watch() as happened, gate.pdp.answering(pdp.DENY):
        gate.refused_or(request("/admin", method=method), head_only=method == "HEAD")
    assert happened.seen == []
