"""Two tenants in one service: whoever holds tokens of one sees and changes nothing of the other, at any endpoint."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import grpc
import httpx
import pytest

from tests.adapters.gateway.crossing import HIDDEN, ROLES, THEIRS, attacks
from tests.adapters.gateway.edge import TICKET, Edge, Stub
from tests.adapters.gateway.test_envoy import check, request
from tests.service.running import export, instant

INTRUDER = "intruder"
"""The tenant whose tokens are used; `default` is the one that is attacked."""


def _window(edge: Edge) -> str:
    wanted = {
        "title": "hidden window", "reason": "test", "starts_at": instant(), "ends_at": instant(timedelta(hours=1)),
        "resources": [{"type": "dataset", "id": "customers"}],
    }  # fmt: skip
    return str(edge.service.call("app", "POST", "/v1/change-windows", wanted)["change_window_id"])


def _attempt(edge: Edge) -> dict[str, str]:
    """An attempt that is open, its newest save, and the token of its learner's session."""
    begun = edge.service.call("app", "POST", "/v1/sessions", {"user": THEIRS})
    edge.service.tokens["their-learner"] = begun["token"]
    made = edge.service.call("their-learner", "POST", "/v1/modules/secure-data-export/attempts", {})
    return {"attempt": made["attempt_id"], "save": made["save"], "session": begun["id"], "learner": begun["token"]}


@pytest.fixture(scope="module")
def theirs(edge: Edge) -> dict[str, str]:
    """What the attacked tenant has, by name: one of everything that has an ID."""
    muster = edge.service
    for user in (THEIRS, HIDDEN[0]):
        muster.person(user, zone=HIDDEN[1])
    results = [
        muster.passed(THEIRS, module, tier)
        for module, tier in (("secure-data-export", "completed"), ("export-scenario", "proficient"))
    ]
    (held, *_) = [each for result in results for each in result["certifications"]]
    page = {
        "subject": {"type": "user"}, "action": {"name": "data-export"}, "page": {"limit": 1},
        "resource": {"type": "dataset", "id": "customers"},
    }  # fmt: skip
    person = f"user:{HIDDEN[0]}"
    approval = muster.call(person, "POST", "/v1/approvals", export(THEIRS))
    muster.call("admin", "POST", "/v1/ledger/checkpoint")  # else the first comes by itself, with an entry for its key
    gateway = edge.ask("nginx", THEIRS, more=[("X-Ticket", "HID-1")])
    assert gateway.status == 200
    return {
        "decision": gateway.decision,
        "approval": approval["approval_id"],
        "window": _window(edge),
        "request": muster.call("app", "POST", "/v1/requests", export(THEIRS), 201)["request"],
        "certification": held["id"],
        "result": results[0]["id"],
        "badge": muster.http("GET", f"/v1/badges/{held['id']}", role="admin").text,
        "token": muster.call("admin", "GET", "/v1/tokens")["tokens"][0]["id"],
        "gateway": edge.keys["nginx"],
        "admin": muster.token("admin"),
        "page": muster.call("gateway", "POST", "/access/v1/search/subject", page)["page"]["next_token"],
        "revision": muster.decide(THEIRS)["revision"],
        **_attempt(edge),
    }


@pytest.fixture(scope="module")
def ours(edge: Edge, theirs: dict[str, str]) -> dict[str, str]:
    """The intruder's tokens by role; there is nobody in their directory but `own`."""
    muster = edge.service
    muster.muster("policy", "activate", theirs["revision"], "--tenant", INTRUDER, "--reason", "test")
    for role in ROLES:
        principal = "user:own" if role == "person" else f"system:{'nginx' if role == 'gateway' else role}"
        words = ("token", "create", "--tenant", INTRUDER, "--role", role, "--principal", principal, "--json")
        muster.tokens[f"our {role}"] = json.loads(muster.muster(*words).stdout)["token"]
    muster.call("our admin", "PUT", "/v1/subjects/own", {"persona": "engineers"})
    session = muster.call("our app", "POST", "/v1/sessions", {"user": "own"})
    muster.tokens["our learner-session"] = session["token"]
    edge.keys["intruder"] = muster.tokens["our gateway"]
    return {role: muster.tokens[f"our {role}"] for role in (*ROLES, "learner-session")}


def _whole(edge: Edge) -> list[Any]:
    """All entries of the attacked tenant."""
    found, start = [], 0
    while True:
        page = edge.service.call("auditor", "GET", f"/v1/ledger/entries?start={start}&limit=1000")
        found += page["entries"]
        if page["next"] is None:
            return found
        start = page["next"]


@pytest.fixture
def unchanged(edge: Edge, theirs: dict[str, str], ours: dict[str, str]) -> Iterator[None]:
    """Whatever a test does, the attacked tenant's log is as it was; all that it has follows from that."""
    del theirs, ours
    before = _whole(edge)
    vkey = edge.service.call("auditor", "GET", "/v1/ledger/head")
    yield
    assert _whole(edge) == before
    assert edge.service.call("auditor", "GET", "/v1/ledger/head") == vkey


def test_every_endpoint_is_attacked(edge: Edge, theirs: dict[str, str], ours: dict[str, str]) -> None:
    """A new one has to be thought about here."""
    documented = {
        (method.upper(), path)
        for path, methods in edge.service.http("GET", "/openapi.json").json()["paths"].items()
        for method in methods
    }
    assert documented == set(attacks(theirs, ours))


@pytest.mark.usefixtures("unchanged")
def test_nothing_is_shown_and_nothing_is_changed(edge: Edge, theirs: dict[str, str], ours: dict[str, str]) -> None:
    """Every endpoint, with each token of another tenant and the IDs of this one."""
    wrong: list[object] = []
    bearers = {role: {"Authorization": f"Bearer {token}"} for role, token in ours.items()}
    with httpx.Client(base_url=edge.service.url, timeout=30) as http:
        for (method, path), (allowed, tries) in attacks(theirs, ours).items():
            for attack in tries:
                answers = {
                    role: http.request(
                        method, attack.filled(path), headers=bearer, params=attack.query, json=attack.body
                    )
                    for role, bearer in bearers.items()
                }
                wrong += [
                    (method, path, role, answer.status_code, answer.text[:300])
                    for role, answer in answers.items()
                    if answer.status_code >= 500 or any(each in answer.text for each in attack.secrets(theirs))
                ]
                seen = {answer.status_code for answer in answers.values()}
                if not seen <= allowed | {401, 403} or allowed.isdisjoint(seen):
                    wrong.append((method, path, sorted(seen), sorted(allowed)))
    assert not wrong, "\n".join(map(str, wrong))


def test_their_own_tokens_do_see_it(edge: Edge, theirs: dict[str, str]) -> None:
    """What the others are not shown is there."""
    for role, path, secret in (
        ("auditor", f"/v1/decisions/{theirs['decision']}", "HID-1"),
        ("auditor", f"/v1/subjects/{THEIRS}", HIDDEN[1]),
        ("auditor", f"/v1/ledger/entries/{theirs['window']}", "hidden window"),
        ("app", f"/v1/requests/{theirs['request']}", theirs["request"]),
        ("their-learner", f"/v1/attempts/{theirs['attempt']}", theirs["save"]),
        ("admin", "/v1/tokens", theirs["token"]),
    ):
        answer = edge.service.http("GET", path, role=role)
        assert answer.status_code == 200, answer.text
        assert secret in answer.text


@pytest.mark.usefixtures("unchanged")
def test_a_gateway_speaks_for_its_own_tenant(edge: Edge) -> None:
    """The same ask under a key of each: the other tenant has nobody of that name; so over gRPC, and over AuthZEN."""
    got = edge.raw("GET", "/v1/forward-auth", _told(edge.keys["intruder"]))
    assert got.status == 403
    assert got.problem["code"] == "subject-active"
    record = edge.service.call("our auditor", "GET", f"/v1/decisions/{got.decision}")
    assert record["via"]["gateway"] == "nginx"
    assert record["answer"]["allow"] is False
    assert edge.service.http("GET", f"/v1/decisions/{got.decision}", role="auditor").status_code == 404
    asked = {
        "subject": {"type": "user", "id": THEIRS}, "action": {"name": "data-export"},
        "resource": {"type": "dataset", "id": "customers", "properties": {"customer": "acme"}},
        "context": export(THEIRS)["context"],
    }  # fmt: skip
    assert edge.service.call("our gateway", "POST", "/access/v1/evaluation", asked)["decision"] is False
    words = ("token", "create", "--tenant", INTRUDER, "--role", "gateway", "--principal", "system:envoy-grpc", "--json")
    edge.keys["intruder-grpc"] = json.loads(edge.service.muster(*words).stdout)["token"]
    with grpc.insecure_channel(edge.check) as channel:
        answer = check(Stub(channel), edge, request(THEIRS), key="intruder-grpc")
    assert (answer.status.code, answer.denied_response.status.code) == (7, 403)


@pytest.mark.usefixtures("unchanged")
def test_a_users_token_is_believed_by_its_tenants_issuers(edge: Edge) -> None:
    """Verified next door or not, the person is nobody here."""
    words = ("token", "create", "--tenant", INTRUDER, "--role", "gateway", "--principal", "system:tokens", "--json")
    edge.keys["intruder-tokens"] = json.loads(edge.service.muster(*words).stdout)["token"]
    told = [each for each in _told(edge.keys["intruder-tokens"]) if each[0] != "X-User"]
    got = edge.raw("GET", "/v1/forward-auth", [*told, edge.bearer(THEIRS)])
    assert got.status == 403, got.body
    assert got.problem["code"] == "subject-active"


def test_a_key_is_good_once_and_of_one_tenant(edge: Edge, theirs: dict[str, str], ours: dict[str, str]) -> None:
    """A token that names the other tenant in its text is a token of nobody; of two keys none counts."""
    _, _, identifier, secret = ours["gateway"].split(".")
    forged = f"mst.default.{identifier}.{secret}"
    mixed = f"mst.{INTRUDER}.{theirs['gateway'].partition('.default.')[2]}"
    size = edge.size()
    for keys in ([forged], [mixed], [ours["gateway"], theirs["gateway"]], [f"{ours['gateway']},{theirs['gateway']}"]):
        told = [each for each in _told("") if each[0] != "Muster-Gateway-Key"]
        got = edge.raw("GET", "/v1/forward-auth", [*told, *(("Muster-Gateway-Key", each) for each in keys)])
        assert (got.status, got.problem["code"]) == (401, "unknown_gateway")
    assert edge.size() == size


def test_assertions_and_counts_are_each_tenants(edge: Edge, ours: dict[str, str]) -> None:
    """Another key, published under the tenant's own name; each ask is counted under it."""
    del ours
    sets = [edge.service.http("GET", f"/tenants/{name}/jwks.json").json()["keys"] for name in ("default", INTRUDER)]
    assert {each["kid"] for each in sets[0]}.isdisjoint(each["kid"] for each in sets[1])
    assert edge.service.http("GET", "/tenants/nobody/jwks.json").status_code == 404
    edge.raw("GET", "/v1/forward-auth", _told(edge.keys["intruder"]))
    lines = edge.service.http("GET", "/metrics").text.splitlines()
    counted = [line for line in lines if line.startswith("muster_gateway_asks_total{") and f'"{INTRUDER}"' in line]
    assert counted
    assert not any('outcome="allow"' in line for line in counted)


def _told(gateway_key: str) -> list[tuple[str, str]]:
    """nginx's ask about the other tenant's person."""
    target = "/customers/acme/exports/customers?to=warehouse%3A%2F%2Fanalytics"
    return [
        ("Host", "api.example"), ("X-Original-Method", "POST"), ("X-Original-URI", target), TICKET,
        ("Muster-Gateway-Key", gateway_key), ("X-User", THEIRS),
    ]  # fmt: skip
