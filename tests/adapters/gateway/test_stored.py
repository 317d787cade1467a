"""Requests that were stored beforehand, as gateways' asks cite them: what they give, and what they never open."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import textwrap
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import yaml

from engine.home import Home, running
from engine.opa.binary import OpaBinary
from ledger.ids import uuid7
from tests.adapters.gateway.conftest import ROUTES, served
from tests.adapters.gateway.edge import Edge, Got
from tests.bundling import example
from tests.service.rewrite import rewrite
from tests.service.running import export, until

STORED = """
  - id: stored
    hosts: [api.example]
    methods: [POST]
    path: /customers/{customer}/stored/{dataset}
    action: data-export
    resource: {type: dataset, id: "{dataset}", properties: {customer: "{customer}"}}
    context: {ticket: {header: x-ticket}}
    request_ref: {query: request}
"""
TARGET = "/customers/acme/stored/customers"
PAGE = next(each for each in yaml.safe_load(example.files()["routes.yaml"])["exports"] if "request_ref" in each)
ALL = ROUTES + STORED + textwrap.indent(yaml.safe_dump([PAGE]), "  ")


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory, opa_binary: OpaBinary) -> Iterator[Edge]:
    """A service of this file's own, with routes that take a stored request; one is that of the page."""
    with served(tmp_path_factory.mktemp("stored"), opa_binary.path, routes=ALL) as running:
        yield running


def body(user: str = "ada", **changed: Any) -> dict[str, Any]:
    """What an application stores: the export, with its ticket left to the route."""
    asked = export(user)
    del asked["context"]["ticket"]
    return {**asked, **changed}


def store(edge: Edge, user: str = "ada", **changed: Any) -> Any:
    """Store a request."""
    return edge.service.call("app", "POST", "/v1/requests", body(user, **changed), 201)


def cite(edge: Edge, request: str, user: str = "ada", path: str = TARGET, ticket: str = "REQ-1") -> Got:
    """A gateway's ask that names a stored request."""
    return edge.ask("nginx", user, target=f"{path}?request={request}", more=[("X-Ticket", ticket)])


def codes(got: Got) -> list[str]:
    """Why an ask is denied, in order."""
    assert got.status == 403, got.body
    return [denial["code"] for denial in got.problem["denials"]]


def withdraw(edge: Edge, request: str) -> Any:
    """Withdraw a request."""
    return edge.service.call("app", "POST", f"/v1/requests/{request}/withdrawal", {})


def test_it_gives_what_the_route_does_not(edge: Edge) -> None:
    """Stored, cited and allowed; the record says which request it leaned on, who stored it, and until when."""
    stored = store(edge)
    got = cite(edge, stored["request"])
    assert got.status == 200, got.body
    record = edge.record(got.decision)
    assert record["request"]["context"] == export("ada")["context"]
    told = record["facts"]["request"]
    assert (told["id"], told["stored_by"]) == (stored["request"], {"type": "system", "id": "test-app"})
    assert {"path": ["context", "columns"], "value": ["customer_id"]} in told["given"]
    assert record["answer"]["valid_until"] == stored["expires_at"] == told["expires_at"]
    assert stored["request"] in record["answer"]["evidence"]
    assert [f"request/{stored['request']}", stored["index"]] in record["reads"]


def test_the_page_is_right(edge: Edge) -> None:
    """What docs/routes.md stores is stored, and cited by its own route."""
    (asked,) = re.findall(r"^```json\n(.*?)^```", example.PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    stored = edge.service.call("app", "POST", "/v1/requests", json.loads(asked), 201)
    assert stored.keys() >= {"request", "expires_at", "request_digest"}
    for method in ("GET", "POST"):
        target = f"/v2/stored-exports/customers/{stored['request']}"
        got = edge.ask("nginx", "ada", method=method, target=target, host="api.companyos.example", more=[])
        assert got.status == 200, got.body
        assert edge.record(got.decision)["request"]["context"] == json.loads(asked)["context"]


def test_a_leased_answer_ends_when_it_is_withdrawn(edge: Edge) -> None:
    """The second ask leans on the first; after the withdrawal none does, whoever asks."""
    stored = store(edge)["request"]
    first, second = cite(edge, stored), cite(edge, stored)
    assert (first.status, edge.record(second.decision)["leans_on"]) == (200, first.decision)
    done = withdraw(edge, stored)
    denied = cite(edge, stored)
    assert codes(denied) == ["request-withdrawn"]
    record = edge.record(denied.decision)
    assert (record["leans_on"], record["facts"]["request"]["withdrawn"]) == (None, True)
    assert edge.service.call("auditor", "GET", f"/v1/requests/{stored}")["withdrawn_at"] == done["withdrawn_at"]
    edge.service.call("app", "POST", f"/v1/requests/{stored}/withdrawal", {}, 409)


def test_it_ends_at_its_instant(edge: Edge) -> None:
    """Every allow was decided before it, every denial at or after it; leased ones too."""
    stored = store(edge, expires_in="PT2S")
    asks = [cite(edge, stored["request"])]

    def ended() -> bool:
        asks.append(cite(edge, stored["request"]))
        return asks[-1].status != 200

    until(ended, "the request expires")
    assert codes(asks[-1]) == ["request-expired"]
    records = [edge.record(got.decision) for got in asks]
    assert any(record["leans_on"] for record in records)
    for got, record in zip(asks, records, strict=True):
        assert (record["now"] < stored["expires_at"]) == (got.status == 200)
        assert record["at"] < stored["expires_at"] or got.status == 403


def other(part: str, value: Any) -> dict[str, Any]:
    """A request that differs in one part from what the route says."""
    asked = body()
    if part == "ticket":
        asked["context"]["ticket"] = value
    elif part == "customer":
        asked["resource"]["properties"]["customer"] = value
    else:
        asked["resource"][part] = value
    return asked


@pytest.mark.parametrize(
    "stored",
    [other("ticket", "REQ-2"), other("customer", "globex"), other("id", "invoices"), other("type", "table")],
    ids=["a field of the context", "a property", "the resource", "its type"],
)
def test_what_differs_is_denied(edge: Edge, stored: dict[str, Any]) -> None:
    """Where the route and the stored request say two things, neither is taken."""
    made = edge.service.call("app", "POST", "/v1/requests", stored, 201)
    assert "request-mismatch" in codes(cite(edge, made["request"]))


def test_another_action_is_denied(edge: Edge) -> None:
    """And of what was stored for it nothing gets into the question."""
    asked = {**body(), "action": {"name": "prod-change"}, "context": {"change": "CHG-1"}}
    asked["resource"] = {"type": "dataset", "id": "customers"}
    made = edge.service.call("app", "POST", "/v1/requests", asked, 201)
    got = cite(edge, made["request"])
    assert "request-mismatch" in codes(got)
    assert edge.record(got.decision)["request"]["context"] == {"ticket": "REQ-1"}


def test_an_ask_differs_where_its_header_does(edge: Edge) -> None:
    """What is stored and asked alike is allowed; another ticket in the header is not."""
    made = edge.service.call("app", "POST", "/v1/requests", other("ticket", "REQ-1"), 201)
    assert cite(edge, made["request"]).status == 200
    assert codes(cite(edge, made["request"], ticket="REQ-2")) == ["request-mismatch"]


def test_somebody_elses_is_as_if_it_were_not_there(edge: Edge) -> None:
    """The same denials as for an ID that was never given; and the record holds nothing of it but a ref."""
    edge.service.person("eve")
    edge.service.train("eve")
    theirs, nobodys = store(edge, "ada")["request"], uuid7()
    got, missing = cite(edge, theirs, "eve"), cite(edge, nobodys, "eve")
    assert codes(got)[0] == "unknown-request"
    assert got.problem["denials"] == missing.problem["denials"]
    entry = edge.service.http("GET", f"/v1/ledger/entries/{got.decision}", role="auditor").text
    assert "customer_id" not in entry
    assert '"ada"' not in entry
    assert edge.record(got.decision)["facts"]["request"].keys() == {"cited", "id", "ref"}
    assert edge.record(missing.decision)["facts"]["request"] == {"cited": True, "id": nobodys}


def test_another_tenants_is_not_there(edge: Edge) -> None:
    """A gateway of another tenant, whose directory has a person of the same name."""
    stored, muster = store(edge)["request"], edge.service
    revision = muster.decide("ada")["revision"]
    muster.muster("policy", "activate", revision, "--tenant", "other", "--reason", "test")
    for role in ("gateway", "admin", "app", "auditor"):
        principal = "system:nginx" if role == "gateway" else f"system:{role}"
        words = ("token", "create", "--tenant", "other", "--role", role, "--principal", principal, "--json")
        muster.tokens[f"other {role}"] = json.loads(muster.muster(*words).stdout)["token"]
    muster.call("other admin", "PUT", "/v1/subjects/ada", {"persona": "engineers", "customer": "acme"})
    mine, edge.keys["nginx"] = edge.keys["nginx"], muster.tokens["other gateway"]
    try:
        got = cite(edge, stored)
    finally:
        edge.keys["nginx"] = mine
    assert codes(got)[0] == "unknown-request"
    found = muster.call("other auditor", "GET", f"/v1/decisions/{got.decision}")
    assert found["facts"]["request"] == {"cited": True, "id": stored}
    for method, path in (("GET", ""), ("POST", "/withdrawal")):
        answer = muster.http(method, f"/v1/requests/{stored}{path}", role="other app", json={})
        assert answer.status_code == 404
    assert cite(edge, stored).status == 200


@pytest.mark.parametrize(
    ("query", "code"), [("", "missing_context"), ("?request=", "wrong_type"), ("?request=latest", "wrong_type")]
)
def test_an_ask_without_its_reference_is_denied(edge: Edge, query: str, code: str) -> None:
    """Recorded like whatever cannot be read; a route that takes a stored request takes no other."""
    got = edge.ask("nginx", "ada", target=TARGET + query)
    assert (got.status, got.problem["code"]) == (403, code)
    assert edge.record(got.decision)["answer"]["allow"] is False


def test_an_erasure_takes_what_was_stored(edge: Edge) -> None:
    """Of a person who was erased there is no request any more: not to be read, and not to be cited."""
    edge.service.person("gus")
    edge.service.train("gus")
    kept, gone = store(edge, "gus")["request"], store(edge, "gus")["request"]
    withdraw(edge, gone)
    assert cite(edge, kept, "gus").status == 200
    wanted = {"user": "gus", "reason": "asked for", "approved_by": ["system:privacy"]}
    edge.service.call("admin", "POST", "/v1/erasures", wanted)
    assert codes(cite(edge, kept, "gus"))[:2] == ["subject-active", "unknown-request"]
    for request in (kept, gone):
        edge.service.call("app", "GET", f"/v1/requests/{request}", want=404)
        edge.service.call("app", "POST", f"/v1/requests/{request}/withdrawal", {}, 404)
    edge.service.person("gus")  # who comes back is somebody new
    assert codes(cite(edge, kept, "gus"))[0] == "unknown-request"


@pytest.mark.parametrize("user", ["ivo", "jon", "kim", "lea"])
def test_nothing_is_stored_for_who_was_erased_meanwhile(edge: Edge, user: str) -> None:
    """Applications that store requests while their person is erased: none of them stands behind the erasure."""
    headers = {"Authorization": f"Bearer {edge.service.token('app')}", "Content-Type": "application/json"}
    asked, ended = json.dumps(body(user)), threading.Event()

    def go_on() -> list[int]:
        stored = []
        with closing(http.client.HTTPConnection(urlsplit(edge.service.url).netloc, timeout=30)) as connection:
            while not ended.is_set():
                connection.request("POST", "/v1/requests", asked, headers)
                answer = connection.getresponse()
                told = json.loads(answer.read())
                assert answer.status in (201, 404, 503), told
                stored += [told["index"]] if answer.status == 201 else []
        return stored

    edge.service.person(user)
    before = edge.size()
    with ThreadPoolExecutor(6) as pool:
        storing = [pool.submit(go_on) for _ in range(6)]
        try:
            until(lambda: edge.size() > before + 12, "some are stored")
            erased = until(lambda: erase(edge, user), "the person is erased")
        finally:
            ended.set()
    assert all(index < erased for one in storing for index in one.result())


def erase(edge: Edge, user: str) -> int | None:
    """Where an erasure stands in the log; None where what is to be erased moved all the while."""
    wanted = {"user": user, "reason": "asked for", "approved_by": ["system:privacy"]}
    done = edge.service.http("POST", "/v1/erasures", role="admin", json=wanted)
    return int(done.json()["entries"][0]["index"]) if done.status_code == 200 else None


def test_a_key_stores_once(edge: Edge) -> None:
    """The same request under the same key is the first one; another is a conflict."""
    key = {"Idempotency-Key": "one"}
    made = [edge.service.call("app", "POST", "/v1/requests", body(), 201, headers=key) for _ in range(2)]
    assert made[0] == made[1]
    edge.service.call("app", "POST", "/v1/requests", body(expires_in="PT5M"), 409, headers=key)
    gone = [
        edge.service.call("app", "POST", f"/v1/requests/{made[0]['request']}/withdrawal", {}, headers=key | more)
        for more in ({"Idempotency-Key": "two"},) * 2
    ]
    assert gone[0] == gone[1]


@pytest.mark.parametrize(
    ("changed", "status", "pointer"),
    [
        ({"action": {"name": "fly"}}, 400, "/action/name"),
        ({"context": {"columns": "all"}}, 400, "/context/columns"),
        ({"context": {"colums": ["customer_id"]}}, 400, "/context/colums"),
        ({"resource": {"type": "dataset", "id": "customers", "properties": {"x": 1}}}, 400, "/resource/properties/x"),
        ({"action": {"name": "data-export", "properties": {"x": 1}}}, 400, "/action/properties/x"),
        ({"subject": {"type": "user", "id": "ada", "properties": {}}}, 400, "/subject/properties"),
        ({"at": "now"}, 400, "/at"),
        ({"expires_in": "P1M"}, 400, "/expires_in"),
        ({"expires_in": "PT0S"}, 400, "/expires_in"),
        ({"expires_in": "P8D"}, 400, "/expires_in"),
        ({"expires_in": 60}, 400, "/expires_in"),
        ({"subject": {"type": "user", "id": "nobody-here"}}, 404, None),
        ({"resource": {"type": "user", "id": "nobody-here"}}, 404, None),
    ],
)
def test_bad_input_is_not_stored(edge: Edge, changed: dict[str, Any], status: int, pointer: str | None) -> None:
    """It says where, and writes nothing."""
    size = edge.size()
    problem = edge.service.call("app", "POST", "/v1/requests", body(**changed), status)
    assert pointer is None or pointer in [error["pointer"] for error in problem["errors"]]
    assert edge.size() == size


def test_a_person_as_resource_stands_by_ref(edge: Edge) -> None:
    """Neither the entry nor the answer names another person."""
    edge.service.person("hal-of-nine-thousand")
    made = store(edge, resource={"type": "user", "id": "hal-of-nine-thousand"})
    assert made["resource"].keys() == {"type", "ref"}
    assert "hal-of" not in edge.service.http("GET", f"/v1/ledger/entries/{made['request']}", role="auditor").text


@pytest.mark.parametrize("role", ["gateway", "author", "user:bob"])
def test_only_applications_and_admins_store(edge: Edge, role: str) -> None:
    """Nobody stores, reads or withdraws a request with a token of another role."""
    stored = store(edge)["request"]
    edge.service.call(role, "POST", "/v1/requests", body(), 403)
    edge.service.call(role, "GET", f"/v1/requests/{stored}", want=403)
    edge.service.call(role, "POST", f"/v1/requests/{stored}/withdrawal", {}, 403)


def test_only_who_stored_it_withdraws_it_or_an_admin(edge: Edge) -> None:
    """By its principal, whatever the token; another application is refused, and nothing is written."""
    for name, principal in (("other", "system:other"), ("again", "system:test-app")):
        wanted = {"role": "app", "principal": principal}
        edge.service.tokens[name] = edge.service.call("admin", "POST", "/v1/tokens", wanted)["token"]
    own, admins = store(edge)["request"], edge.service.call("admin", "POST", "/v1/requests", body(), 201)["request"]
    size = edge.size()
    for request in (own, admins):
        problem = edge.service.call("other", "POST", f"/v1/requests/{request}/withdrawal", {}, 403)
        assert problem["detail"] == "only who stored it may do this, or an admin"
    edge.service.call("app", "POST", f"/v1/requests/{admins}/withdrawal", {}, 403)
    assert edge.size() == size
    assert cite(edge, own).status == 200
    edge.service.call("again", "POST", f"/v1/requests/{own}/withdrawal", {})
    assert codes(cite(edge, own)) == ["request-withdrawn"]
    for request in (store(edge)["request"], admins):
        edge.service.call("admin", "POST", f"/v1/requests/{request}/withdrawal", {})
    serving = running(Home(edge.service.home))
    assert serving is not None
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(serving.control))) as http:  # the operator's own
        answer = http.post(f"http://muster/v1/requests/{store(edge)['request']}/withdrawal", json={})
    assert answer.status_code == 200, answer.text


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, opa_binary: OpaBinary) -> Iterator[Edge]:
    """A service that has allowed and denied by stored requests, and was stopped."""
    with served(tmp_path_factory.mktemp("told"), opa_binary.path, routes=ROUTES + STORED) as running:
        stored = store(running)["request"]
        assert cite(running, stored).status == cite(running, stored).status == 200
        assert cite(running, stored, ticket="REQ-2").status == 200
        assert cite(running, store(running)["request"], "bob").status == 403
        withdraw(running, stored)
        assert cite(running, stored).status == 403
        running.service.stop()
        yield running


def replayed(edge: Edge, home: Path) -> Any:
    """What a replay of a home says."""
    return json.loads(edge.service.muster("replay", "--json", want=None, MUSTER_HOME=str(home)).stdout)


def test_replay_gives_every_answer_again(told: Edge) -> None:
    """The whole log, by replay, by the check of the home, and after its facts were made anew."""
    report = replayed(told, told.service.home)
    assert (report["findings"], report["leased"]) == ([], 1)
    told.service.muster("ledger", "verify")
    told.service.muster("ledger", "rebuild")


def _another_value(asked: dict[str, Any]) -> None:
    asked["context"]["columns"] = ["email"]


def _left_out(asked: dict[str, Any]) -> None:
    del asked["context"]["destination"]


def _invented(asked: dict[str, Any]) -> None:
    asked["context"]["columns"] = ["email"]
    (given,) = [each for each in asked["facts"]["request"]["given"] if each["path"] == ["context", "columns"]]
    given["value"] = ["email"]


def _longer(asked: dict[str, Any]) -> None:
    asked["facts"]["request"]["expires_at"] = "2100-01-01T00:00:00.000Z"


def _by_another(asked: dict[str, Any]) -> None:
    asked["facts"]["request"]["stored_by"] = {"type": "system", "id": "somebody-else"}


def _never_cited(asked: dict[str, Any]) -> None:
    asked["facts"]["request"] = {"cited": False}


@pytest.mark.parametrize(
    ("forge", "check", "detail"),
    [
        (_another_value, "result", "another than the one recorded"),
        (_left_out, "facts", "input.context is not what the ledger held"),
        (_invented, "facts", "input.facts is not what the ledger held"),
        (_longer, "facts", "input.facts is not what the ledger held"),
        (_by_another, "facts", "input.facts is not what the ledger held"),
        (_never_cited, "facts", "its route takes a stored request"),
    ],
)
def test_a_forged_record_is_named(
    told: Edge, tmp_path: Path, forge: Callable[[dict[str, Any]], None], check: str, detail: str
) -> None:
    """An input that differs from the stored request, by an operator who made the whole tree anew."""
    shutil.copytree(told.service.home, tmp_path / "home")

    def bend(payload: dict[str, Any]) -> bool:
        asked = payload.get("input", {})
        answered = payload.get("result") or {}
        if "given" not in asked.get("facts", {}).get("request", {}) or not answered["allow"]:
            return False
        forge(asked)
        if forge is _never_cited:
            payload["reads"] = [read for read in payload["reads"] if not read[0].startswith("request/")]
        return True

    rewrite(tmp_path / "home" / "ledger.db", bend)
    findings = replayed(told, tmp_path / "home")["findings"]
    assert any(f["check"] == check and detail in f["detail"] for f in findings), findings
