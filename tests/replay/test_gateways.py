"""Until when a gateway may keep an answer is made again from the revision; a record that says otherwise is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from engine.bundling.catalogue import Catalogue
from engine.replay.gateways import Gateways
from ledger import canonical, instants
from ledger.model import Entry

NOW = "2026-11-23T12:00:00.000Z"


def later(seconds: float) -> str:
    """An instant so long after the decision."""
    return instants.from_ms(instants.parse(NOW) + round(seconds * 1000))


def gate(action: str, **more: Any) -> dict[str, Any]:
    """METADATA of a gate, as a bundle has it."""
    facts: dict[str, Any] = {"scopes": [], "modules": [], "waivers": []}
    return {"action": action, "inputs": {}, "ledger": [], "facts": facts, "schema": {}, **more}


def profile(subject: dict[str, str], **more: Any) -> dict[str, Any]:
    """A gateway's profile."""
    return {"title": "t", "gateway": "nginx", "subject": subject, "audience": "a", "routes": ["own"], **more}


def route(name: str, action: str, **more: Any) -> dict[str, Any]:
    """A route of the map."""
    resource = {"type": "report", "id": "q3"}
    said = {"id": name, "hosts": ["api.example"], "methods": ["GET"], "path": f"/{name}", "action": action}
    return {**said, "resource": resource, **more}


HEADER, TOKEN = {"header": "x-user", "type": "user"}, {"issuer": "people"}
GATEWAYS = Gateways.of(
    Catalogue(
        {
            "source": {
                "actions": {"read": {}, "export": {}},
                "gateways": {
                    "edge": profile(HEADER, lease_seconds=4),
                    "tokens": profile(TOKEN, lease_seconds=4),
                    "none": profile(HEADER, lease_seconds=0),
                    "grpc": profile(HEADER, gateway="envoy-grpc"),
                    "mesh": profile({**TOKEN, "metadata": "jwt"}, gateway="envoy-grpc"),
                },
                "routes": {
                    "own": [
                        route("read", "read"),
                        route("stored", "read", request_ref={"query": "ref"}),
                        route("export", "export"),
                    ],
                    "others": [route("read", "read")],
                },
            },
            "metadata": {"gates": {"read": gate("read", lease="gateway"), "export": gate("export")}},
        }
    )
)


def record(gateway: str = "edge", lent: str | None = None, **more: Any) -> dict[str, Any]:
    """What is recorded of an allow; `lent` until when."""
    tokens = {"tokens", "mesh"}
    identity = {"issuer": "people", "expires_at": later(3)} if gateway in tokens else {"header": "x-user"}
    via: dict[str, Any] = {
        "gateway": gateway,
        "credential": "key",
        "route": {"group": "own", "id": "read"},
        "identity": identity,
    }
    return {
        "entrypoint": "muster/gate/decision",
        "caller": {"role": "gateway", "principal": {"type": "system", "id": gateway}, "token": "t"},
        "input": {"now": NOW, "action": {"name": "read"}},
        "result": {"verdict": "allow", "valid_until": None},
        "via": via if lent is None else {**via, "lent_until": lent},
        **more,
    }


def found(value: dict[str, Any]) -> list[str]:
    """What is found in a record."""
    entry = Entry(
        index=7,
        id="i",
        at=NOW,
        kind="decision",
        tenant="t",
        header=b"",
        payload=canonical.encode(value),
        salt=None,
        about=None,
    )
    findings = list(GATEWAYS.check(entry))
    assert all((f.index, f.id, f.check) == (7, "i", "gateway") for f in findings)
    return [f.detail for f in findings]


@pytest.mark.parametrize(
    "value",
    [
        record(lent=later(4)),
        record("tokens", later(3)),
        record("none"),
        record("grpc"),
        record("mesh"),
        record(lent=later(2), result={"verdict": "allow", "valid_until": later(2)}),
        record(result={"verdict": "allow", "valid_until": later(0.5)}),
        record(result={"verdict": "deny", "valid_until": None}),
        record(result=None, undecided={"cause": "timeout", "detail": "d"}),
        {name: part for name, part in record().items() if name != "via"},
    ],
)
def test_what_was_lent_as_it_may_be_is_no_finding(value: dict[str, Any]) -> None:
    """By profile, token and the answer's own end; and nothing where one of them says so."""
    assert found(value) == []


@pytest.mark.parametrize(
    "value",
    [
        record(lent=later(4.001)),
        record(lent=later(3)),
        record(),
        record("tokens", later(4)),
        record("none", later(1)),
        record("grpc", later(1)),
        record("mesh", later(1)),
        record(lent=later(3), result={"verdict": "allow", "valid_until": later(2)}),
        record(lent=later(4), result={"verdict": "deny", "valid_until": None}),
        record(lent=later(4), result=None),
        record(lent="for ever"),
    ],
)
def test_any_other_end_is_named(value: dict[str, Any]) -> None:
    """Longer, shorter, or lent at all where it may not be."""
    (detail,) = found(value)
    assert detail.startswith("lent until ")


def test_what_no_gate_answered_is_never_lent() -> None:
    """A preflight, say."""
    value = record(lent=later(1), entrypoint="muster/gateway/decision")
    value["input"] = {"now": NOW, "subject": {"type": "gateway", "id": "edge", "known": False}}
    assert found(value) == ["it lends what is no answer of a gate"]
    del value["via"]["lent_until"]
    assert found(value) == []
    value["input"]["subject"]["id"] = "tokens"
    assert found(value) == ["it is of the gateway edge, and about another"]


@pytest.mark.parametrize(
    ("bend", "said"),
    [
        (lambda r: r["caller"].update(role="app"), "somebody else did"),
        (lambda r: r["caller"]["principal"].update(id="tokens"), "somebody else did"),
        (lambda r: r["via"].update(gateway="nobody"), "no gateway nobody"),
        (lambda r: r["via"]["route"].update(group="others"), "no route others/read"),
        (lambda r: r["via"]["route"].update(id="gone"), "no route own/gone"),
        (lambda r: r["via"]["route"].update(id="export"), "no route own/export for this action"),
        (lambda r: r["via"].update(identity={"header": "x-other"}), "taken from elsewhere"),
        (lambda r: r["via"].update(identity={"issuer": "people"}), "taken from elsewhere"),
        (lambda r: r["via"]["route"].update(id="stored"), "give None"),
        (lambda r: r["input"]["action"].update(name="export"), "for this action"),
    ],
)
def test_another_gateway_route_or_source_is_named(bend: Callable[[dict[str, Any]], object], said: str) -> None:
    """What is lent leans on each of them, so none can be exchanged for one by which it might be longer."""
    value = record(lent=later(4))
    bend(value)
    assert any(said in detail for detail in found(value)), found(value)
