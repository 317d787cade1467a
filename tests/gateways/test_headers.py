"""What a client can write into a request to be taken for somebody else, or for something else."""

from __future__ import annotations

import pytest

from engine.gateways.check import pdp
from engine.gateways.check.wire import request
from tests.gateways import asks
from tests.gateways.partners import Gate
from tests.gateways.programs import KEY

SPOOFS = [
    ("X-Original-URI", "/public"),
    ("X-Original-Url", "/public"),
    ("X-Original-Method", "HEAD"),
    ("X-Forwarded-Uri", "/public"),
    ("X-Forwarded-Method", "HEAD"),
    ("X-Forwarded-Host", "public.example"),
    ("X-Rewrite-Url", "/public"),
    ("X-Envoy-Original-Path", "/public"),
    ("X-Envoy-Auth-Partial-Body", "true"),
    ("Forwarded", "host=public.example"),
    ("Content-Location", "/public"),
]
MUSTERS = [
    "Muster-Decision-Id",
    "muster-decision-id",
    "MUSTER-ASSERTION",
    "Muster-Gateway-Key",
    "Muster-Problem",
]
ALIASES = ["Muster_Decision_Id", "Muster.Decision.Id", "Muster~Decision~Id", "Muster+Decision+Id", "Muster!Assertion"]


@pytest.mark.parametrize(("name", "value"), SPOOFS)
def test_a_client_does_not_choose_what_is_judged(gate: Gate, name: str, value: str) -> None:
    """Whatever the header, Muster is asked about what the application gets."""
    with gate.watch() as happened:
        gate.refused_or(request("/admin?x=1", (name, value), method="DELETE"))
        gate.refused_or(request("/admin?x=1", (name, value), (name, value), method="DELETE"))
    assert len(happened.asks) in {0, 2}  # Envoy removes some of these, and none of them is refused by halves
    for message in happened.asks:
        one = asks.asked(gate.profile, message)
        assert (one.method, one.target, one.host) == ("DELETE", "/admin?x=1", "app.example")
    assert [(seen.method, seen.target) for seen in happened.seen] == [("DELETE", "/admin?x=1")] * len(happened.asks)


@pytest.mark.parametrize("name", MUSTERS)
def test_a_client_does_not_speak_in_musters_name(gate: Gate, name: str) -> None:
    """What it writes under Muster's names reaches neither Muster nor the application."""
    with gate.watch() as happened:
        assert gate.call(request("/", (name, "made-up"), (name, "twice"))).status == 200
    assert happened.reached.decision == happened.ids[0]
    assert happened.reached.message.get("muster-assertion") == f"assertion.of.{happened.ids[0]}"
    assert b"made-up" not in happened.reached.message.raw
    assert happened.asked.key == KEY
    assert not [value for _, value in happened.asked.lines if "made-up" in value or "twice" in value]


def test_an_unknown_name_of_musters(gate: Gate) -> None:
    """nginx knows Muster's names one by one; the others drop all that begins so."""
    with gate.watch() as happened:
        assert gate.call(request("/", ("Muster-Anything", "made-up"))).status == 200
    passed = b"made-up" in happened.reached.message.raw
    assert passed is (gate.profile == "nginx")


@pytest.mark.parametrize("alias", ALIASES)
def test_another_spelling_of_musters_names(gate: Gate, alias: str) -> None:
    """What a framework could take for Muster's header does not reach the application, or the request is refused."""
    with gate.watch() as happened:
        gate.refused_or(request("/", (alias, "made-up")))
    assert len(happened.seen) <= 1
    assert all(b"made-up" not in seen.message.raw for seen in happened.seen)


@pytest.mark.parametrize("sign", list("_.~+!^|#$%&'`*"))
def test_another_spelling_of_an_identity(gate: Gate, sign: str) -> None:
    """X_User, X.User, X~User, ... are X-User to many frameworks: none of them reaches the application."""
    with gate.watch() as happened:
        gate.refused_or(request("/", (f"X{sign}User", "root"), ("X-User", "alice")))
    for seen in happened.seen:
        assert seen.message.all("x-user") == ["alice"]
        assert b"root" not in seen.message.raw


@pytest.mark.parametrize(
    "named",
    [
        "close, Muster-Decision-Id, Muster-Assertion, Authorization",
        "Muster-Gateway-Key, X-Original-URI, X-Original-Method, X-Forwarded-Uri, X-Forwarded-Method, X-Forwarded-Host",
        "keep-alive, Host, Cookie",
    ],
)
def test_connection_strips_nothing_of_musters(gate: Gate, named: str) -> None:
    """What the client's Connection names is neither lost on the way to Muster nor on the way back."""
    sent = (("Connection", named), ("Authorization", "Bearer a.b.c"), ("Cookie", "s=1"))
    with gate.watch() as happened:
        answer = gate.refused_or(request("/admin", *sent))
    if answer is not None and answer.status == 400:
        assert happened.seen == []
        return
    asked = happened.asked
    assert (asked.key, asked.method, asked.target, asked.host) == (KEY, "GET", "/admin", "app.example")
    assert happened.reached.decision == happened.ids[0]
    assert happened.reached.message.get("muster-assertion") == f"assertion.of.{happened.ids[0]}"
    # Who is asking must not differ between Muster and the application: both get it, or neither.
    for name in ("authorization", "cookie"):
        assert asked.all(name) == happened.reached.message.all(name)


@pytest.mark.parametrize("name", ["Authorization", "Cookie", "X-User", "X-HTTP-Method-Override"])
def test_two_of_one_header(gate: Gate, name: str) -> None:
    """Muster sees both, as two lines or joined, so that it can refuse them; it never sees one alone."""
    with gate.watch() as happened:
        answer = gate.refused_or(request("/", (name, "first"), (name, "second")))
    if not happened.asks:
        assert answer is None or answer.status == 400
        assert happened.seen == []
        return
    said = ",".join(happened.asked.all(name.lower())).replace(";", ",").replace(" ", "")
    assert sorted(said.split(",")) == ["first", "second"]


def test_a_denial_under_a_made_up_id(gate: Gate) -> None:
    """The client is told the decision's own ID."""
    with gate.watch() as happened, gate.pdp.answering(pdp.DENY):
        answer = gate.call(request("/", ("Muster-Decision-Id", "made-up")))
    assert answer.get("muster-decision-id") == happened.ids[0]


def test_another_host(gate: Gate) -> None:
    """Muster and the application are told the same host, as the client wrote it but for case and port."""
    with gate.watch() as happened:
        assert gate.call(request("/", host="Other.Example")).status == 200
    assert happened.asked.host.lower() == "other.example"
    assert (happened.reached.message.get("host") or "").lower() == "other.example"
