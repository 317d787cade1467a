"""Each of Muster's answers through each real gateway, and everything that is no answer of Muster's."""

from __future__ import annotations

import json
import time

import pytest

from engine.gateways.check import pdp
from engine.gateways.check.pdp import Plan
from engine.gateways.check.wire import request
from tests.gateways.partners import Gate
from tests.gateways.programs import KEY

SLOWEST = 2.5
"""Seconds within which a client hears of a silence: the gateway's own limit is one."""


def test_allowed(gate: Gate) -> None:
    """The request reaches the application with its decision's ID and assertion, and without the gateway's key."""
    with gate.watch() as happened:
        answer = gate.call(request("/customers/acme?x=1", ("Authorization", "Bearer a.b.c"), ("Accept", "text/html")))
    assert answer.status == 200
    assert happened.reached.target == "/customers/acme?x=1"
    assert happened.reached.decision == happened.ids[0]
    assert happened.reached.message.get("muster-assertion") == f"assertion.of.{happened.ids[0]}"
    assert happened.reached.message.get("muster-gateway-key") is None
    asked = happened.asked
    assert (asked.method, asked.target, asked.host) == ("GET", "/customers/acme?x=1", "app.example")
    assert asked.key == KEY
    assert (asked.all("authorization"), asked.all("accept")) == (["Bearer a.b.c"], ["text/html"])


def test_denied(gate: Gate) -> None:
    """403 with Muster's own document and the decision's ID; the application hears nothing."""
    with gate.watch() as happened, gate.pdp.answering(pdp.DENY):
        answer = gate.call(request("/exports", method="POST", body=b"x=1"))
    assert answer.status == 403
    assert json.loads(answer.body) == json.loads(pdp.DENY.body)
    assert answer.get("content-type") == "application/problem+json"
    assert answer.get("muster-decision-id") == happened.ids[0]
    assert happened.asked.method == "POST"
    assert happened.seen == []


def test_a_long_denial(gate: Gate) -> None:
    """A document of 2 kB, beside an assertion of 1 kB, comes through whole."""
    document = pdp.problem(403, "scope_expired", "A long word " * 150)
    plan = pdp.refused(403, "scope_expired", "", **{"Muster-Problem": document, "Muster-Assertion": "a" * 1024})
    with gate.watch() as happened, gate.pdp.answering(Plan(status=403, headers=plan.headers, body=document)):
        answer = gate.call()
    assert (answer.status, answer.body.decode()) == (403, document)
    assert happened.seen == []


def test_nobody(gate: Gate) -> None:
    """401 with Muster's document and its challenge, once."""
    with gate.watch() as happened, gate.pdp.answering(pdp.UNKNOWN):
        answer = gate.call()
    assert answer.status == 401
    assert json.loads(answer.body) == json.loads(pdp.UNKNOWN.body)
    assert answer.get("www-authenticate") == 'Bearer realm="muster"'
    assert answer.get("muster-decision-id") == happened.ids[0]
    assert happened.seen == []


def test_redirected(gate: Gate) -> None:
    """A browser is sent to the remedy, as Muster wrote the address."""
    status = 403 if gate.profile == "nginx" else 303  # nginx cannot pass a 3xx of an ask
    plan = pdp.refused(status, "scope_expired", "Your certification has ended", Location=pdp.REMEDY)
    with gate.watch() as happened, gate.pdp.answering(plan):
        answer = gate.call()
    assert answer.status == 303
    assert answer.get("location") == pdp.REMEDY
    assert answer.get("muster-decision-id") == happened.ids[0]
    assert happened.seen == []


def test_muster_could_not_decide(gate: Gate) -> None:
    """503 is 503: its document and Retry-After come through where a gateway keeps them (Envoy over HTTP does not)."""
    with gate.watch() as happened, gate.pdp.answering(pdp.UNDECIDED):
        answer = gate.call()
    assert answer.status == 503
    assert happened.seen == []
    assert answer.get("content-type") == "application/problem+json"
    assert json.loads(answer.body)["code"] == "undecided"
    assert answer.get("retry-after") == ("1" if gate.profile == "envoy-http" else "7")


@pytest.mark.parametrize("status", [201, 204, 302, 404, 429, 500])
def test_what_muster_never_says(gate: Gate, status: int) -> None:
    """Is no allow: the client is told 503, whatever it was."""
    with gate.watch() as happened, gate.pdp.answering(Plan(status=status, body="odd")):
        answer = gate.call()
    assert happened.seen == []
    assert len(happened.asks) == 1
    assert answer.status == 503


@pytest.mark.parametrize("how", ["close", "garbage", "silence"])
@pytest.mark.alone
def test_no_answer(gate: Gate, how: pdp.How) -> None:
    """503, soon; the application hears nothing, and the next request is answered."""
    begun = time.monotonic()
    with gate.watch() as happened, gate.pdp.answering(Plan(how=how)):
        answer = gate.call()
    assert answer.status == 503
    assert time.monotonic() - begun < SLOWEST
    assert happened.seen == []
    assert gate.call().status == 200


@pytest.mark.alone
def test_nobody_there(gate: Gate) -> None:
    """Without Muster all is 503, with Retry-After and a document; when it is back so is the application."""
    gate.die()
    try:
        begun = time.monotonic()
        with gate.watch() as happened:
            answer = gate.call()
        assert answer.status == 503
        assert time.monotonic() - begun < SLOWEST
        assert happened.seen == []
        assert answer.get("retry-after") == "1"
        # Traefik has no words of its own: there the document is in a header alone.
        document = answer.get("muster-problem") if gate.profile == "traefik" else answer.body
        assert json.loads(document or "")["code"] == "undecided"
    finally:
        gate.revive()
    deadline = time.monotonic() + 10
    while gate.call().status != 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)  # Envoy waits between its attempts to connect


def test_an_allow_without_a_decision(gate: Gate) -> None:
    """Who says 200 to everything is not Muster: nginx, Caddy and HAProxy see that, the others leave it to the app."""
    with gate.watch() as happened, gate.pdp.answering(Plan(headers={"Muster-Decision-Id": "", "Muster-Assertion": ""})):
        answer = gate.call(request("/", ("Muster-Decision-Id", "made-up"), ("Muster-Assertion", "made.up")))
    if gate.profile in {"nginx", "caddy", "haproxy"}:
        assert (answer.status, happened.seen) == (503, [])
    else:
        assert happened.reached.decision is None
        assert happened.reached.message.get("muster-assertion") is None


def test_an_allow_without_an_assertion(gate: Gate) -> None:
    """The application gets none then, and no client's."""
    with gate.watch() as happened, gate.pdp.answering(Plan(headers={"Muster-Assertion": ""})):
        assert gate.call(request("/", ("Muster-Assertion", "made.up"))).status == 200
    assert happened.reached.message.get("muster-assertion") in {None, ""}


def test_the_applications_own_answers_pass(gate: Gate) -> None:
    """401, 403, 500 and 503 of the application stay its own."""
    for status in (401, 403, 500, 503):
        gate.backend.status = status
        try:
            answer = gate.call(request("/own"))
        finally:
            gate.backend.status = 200
        assert answer.status == status
        assert json.loads(answer.body)["target"] == "/own"
