"""What a gateway is told over HTTP: the four answers, each recorded before it leaves, whatever the ask looks like."""

from __future__ import annotations

import base64
import json
import socket
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tests.adapters.gateway.conftest import KINDS
from tests.adapters.gateway.edge import EXPORT, TICKET, Edge
from tests.service.running import until
from tests.service.test_killed import opas
from tests.stillness import stopped

ALL = pytest.mark.parametrize("kind", KINDS)


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@ALL
def test_an_allow_is_200_and_nothing_else(edge: Edge, kind: str) -> None:
    """An empty body, the decision's ID, and a record that names the gateway, its route and the subject."""
    got = edge.ask(kind, "ada")
    assert (got.status, got.body) == (200, b"")
    assert got.header("Cache-Control") == "no-store"
    record = edge.record(got.decision)
    assert record["answer"]["allow"] is True
    assert record["request"]["subject"]["id"] == "ada"
    assert record["request"]["resource"] == {
        "type": "dataset", "id": "customers", "properties": {"customer": "acme"},
    }  # fmt: skip
    assert record["request"]["context"] == {
        "destination": "warehouse://analytics", "ticket": "REQ-1", "columns": ["customer_id", "plan"],
    }  # fmt: skip
    via = record["via"]
    assert (via["gateway"], via["route"]) == (kind, {"group": "exports", "id": "export"})
    assert (via["asked"]["host"], via["asked"]["method"], len(via["asked"]["target"])) == ("api.example", "POST", 64)
    assert via["identity"] == {"header": "x-user"}


@ALL
def test_a_denial_shows_the_remedy_to_machines(edge: Edge, kind: str) -> None:
    """403 with a problem document, the same on one line for whoever drops bodies; the same decision in the log."""
    got = edge.ask(kind, "bob")
    assert got.status == 403
    problem = got.problem
    assert problem["type"] == "urn:muster:problem:denied"
    assert problem["decision_id"] == got.decision
    links = [denial["remedy"].get("href") for denial in problem["denials"]]
    assert f"{edge.service.url}/learn/modules/secure-data-export" in links
    assert json.loads(got.header("Muster-Problem") or "")["code"] == problem["code"]
    assert len(got.header("Muster-Problem") or "") <= 2048
    assert edge.record(got.decision)["answer"]["denials"][0]["code"] == problem["code"]
    assert got.header("Set-Cookie") is None


def test_training_opens_the_gate(edge: Edge) -> None:
    """Denied, trained, and the very next ask passes."""
    edge.service.person("eve")
    assert edge.ask("caddy", "eve").status == 403
    edge.service.train("eve")
    assert edge.ask("caddy", "eve").status == 200


def test_an_asker_that_is_no_gateway_is_401_and_not_recorded(edge: Edge) -> None:
    """No key, a wrong one, two, a token of another role: strangers write nothing into the log."""
    size = edge.size()
    good = ("Muster-Gateway-Key", edge.keys["nginx"])
    asked = [("Host", "api.example"), ("X-Original-URI", EXPORT), ("X-Original-Method", "POST"), ("X-User", "ada")]
    for keys in (
        [],
        [("Muster-Gateway-Key", "muster.default.nobody.x")],
        [("Muster-Gateway-Key", "")],
        [good, good],
        [("Muster-Gateway-Key", edge.service.token("admin"))],
        [("Authorization", f"Bearer {edge.keys['nginx']}")],
    ):
        got = edge.raw("GET", "/v1/forward-auth", [*asked, *keys])
        assert (got.status, got.problem["code"]) == (401, "unknown_gateway")
    assert edge.size() == size


def test_a_gateway_without_a_profile_cannot_decide(edge: Edge) -> None:
    """503, never an allow or a deny: who runs it has to write the profile."""
    wanted = {"role": "gateway", "principal": "system:stranger"}
    edge.keys["stranger"] = edge.service.call("admin", "POST", "/v1/tokens", wanted)["token"]
    headers = [("Host", "api.example"), ("Muster-Gateway-Key", edge.keys["stranger"])]
    got = edge.raw("GET", "/v1/forward-auth", headers)
    assert (got.status, got.problem["cause"]) == (503, "no-profile")
    assert got.header("Retry-After") == "1"


@ALL
@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("/customers/acme/exports/customers/", "missing_context"),
        ("/Customers/acme/exports/customers?to=x", "unknown_route"),
        ("/nowhere", "unknown_route"),
        ("/", "unknown_route"),
        ("/customers/acme%2Fexports/customers?to=x", "ambiguous_path"),
        ("/public/../customers/acme/exports/customers?to=x", "ambiguous_path"),
        ("//customers/acme/exports/customers?to=x", "ambiguous_path"),
        ("/customers/acme/exports/customers;v=1?to=x", "ambiguous_path"),
        ("/customers/%61%63me/exports/%zz?to=x", "ambiguous_path"),
        (EXPORT + "&to=y", "ambiguous_query"),
        ("/customers/acme/exports/customers?to=%ff", "ambiguous_query"),
        ("/" + "a" * 9000, "ambiguous_path"),
    ],
)
def test_what_cannot_be_read_in_one_way_is_a_recorded_no(edge: Edge, kind: str, target: str, code: str) -> None:
    """Each with its reason, and without the target, which may name people."""
    got = edge.ask(kind, "ada", target=target)
    assert (got.status, got.problem["code"]) == (403, code), got.body
    record = edge.record(got.decision)
    assert record["answer"]["allow"] is False
    assert record["request"]["reason"] == code
    assert "acme" not in json.dumps(record)


@pytest.mark.parametrize("kind", ["nginx", "caddy", "traefik", "haproxy"])
def test_one_header_pair_counts_and_the_others_do_not(edge: Edge, kind: str) -> None:
    """What other gateways would write is not looked at; what this one writes has to be there once."""
    others = [
        ("X-Original-URI", "/nowhere"), ("X-Original-Method", "GET"), ("X-Forwarded-Uri", "/nowhere"),
        ("X-Forwarded-Method", "GET"), ("X-Forwarded-Host", "evil.example"), ("X-Rewrite-Url", "/nowhere"),
        ("X_Original_URI", "/nowhere"), ("Forwarded", "host=evil.example"),
    ]  # fmt: skip
    own = {"nginx": "X-Original", "haproxy": "X-Original", "caddy": "X-Forwarded", "traefik": "X-Forwarded"}[kind]
    foreign = [(name, value) for name, value in others if not name.startswith(own + "-")]
    assert edge.ask(kind, "ada", more=[TICKET, *foreign]).status == 200
    for name, value in others:
        if name in (f"{own}-URI", f"{own}-Uri", f"{own}-Method", f"{own}-Host"):
            got = edge.ask(kind, "ada", more=[TICKET, (name, value)])
            assert (got.status, got.problem["code"]) == (403, "ambiguous_ask"), name


def test_a_missing_pair_is_no_question(edge: Edge) -> None:
    """A gateway that was set up half is told so."""
    for left_out in ("X-Original-URI", "X-Original-Method"):
        told = [("X-Original-URI", EXPORT), ("X-Original-Method", "POST")]
        headers = [("Host", "api.example"), ("Muster-Gateway-Key", edge.keys["nginx"]), ("X-User", "ada")]
        got = edge.raw("GET", "/v1/forward-auth", [*headers, *(each for each in told if each[0] != left_out)])
        assert (got.status, got.problem["code"]) == (403, "ambiguous_ask")
        assert left_out.lower() in got.problem["detail"]


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ([], 401),
        ([("X-User", "")], 401),
        ([("X-User", "ada"), ("X-User", "root")], 401),
        ([("X-User", "ada, root")], 401),
        ([("X-User", "ada"), ("X_User", "root")], 401),
        ([("X-User", "ada\t")], 200),
        ([("X-User", "nobody-is-called-so")], 403),
    ],
)
def test_a_plain_header_names_exactly_one(edge: Edge, more: list[tuple[str, str]], status: int) -> None:
    """Missing, repeated, joined and aliased ones are 401 with a challenge, and recorded."""
    got = edge.ask("nginx", more=[TICKET, *more])
    assert got.status == status, got.body
    if status == 401:
        assert (got.header("WWW-Authenticate") or "").startswith("Bearer realm=")
        assert edge.record(got.decision)["request"]["reason"] == got.problem["code"]


def test_a_users_token_is_verified_again(edge: Edge) -> None:
    """A good one passes, and stands in the record by its hash; what is wrong with a bad one is told."""
    header = edge.bearer("ada", jti="t-1")
    got = edge.ask("tokens", more=[TICKET, header])
    assert got.status == 200, got.body
    identity = edge.record(got.decision)["via"]["identity"]
    assert (identity["sub"], identity["jti"], len(identity["sha256"])) == ("ada", "t-1", 64)
    assert header[1].split(".")[2] not in json.dumps(edge.record(got.decision))
    assert edge.ask("tokens", more=[TICKET, edge.bearer("bob")]).status == 403
    wrong: list[list[tuple[str, str]]] = [
        [],
        [("Authorization", "Basic YWRhOng=")],
        [("Authorization", header[1] + "A")],
        [edge.bearer("ada", exp=...)],
        [edge.bearer("ada", exp=1)],
        [edge.bearer("ada", aud="another")],
        [edge.bearer("ada", iss="https://evil.example")],
        [header, header],
        [("X-User", "ada")],
    ]
    for more in wrong:
        refused = edge.ask("tokens", more=[TICKET, *more])
        assert refused.status == 401, (more, refused.body)
        assert edge.record(refused.decision)["answer"]["allow"] is False


def test_the_assertion_proves_the_pass_to_a_backend(edge: Edge) -> None:
    """Its signature is of the tenant's published key; it names audience, subject, action, method and path, for 30 s."""
    got = edge.ask("envoy-http", "ada")
    header, claims, signature = (got.header("Muster-Assertion") or "").split(".")
    told = json.loads(unb64(header))
    assert (told["alg"], told["typ"]) == ("EdDSA", "muster-assertion+jwt")
    keys: list[dict[str, Any]] = edge.service.http("GET", "/tenants/default/jwks.json").json()["keys"]
    public = next(each for each in keys if each["kid"] == told["kid"])
    Ed25519PublicKey.from_public_bytes(unb64(public["x"])).verify(unb64(signature), f"{header}.{claims}".encode())
    said = json.loads(unb64(claims))
    assert (said["aud"], said["sub"], said["action"], said["htm"]) == ("backend", "ada", "data-export", "POST")
    assert (said["jti"], said["exp"] - said["iat"], said["tenant"]) == (got.decision, 30, "default")
    assert said["iss"] == edge.service.url


def test_preflights_pass_where_the_route_says_so(edge: Edge) -> None:
    """They carry no credentials; each is recorded, and any other OPTIONS is a no."""
    asked = [("Origin", "https://app.example"), ("Access-Control-Request-Method", "POST")]
    got = edge.ask("nginx", method="OPTIONS", target="/customers/acme/exports/customers", more=asked)
    assert (got.status, got.body) == (200, b"")
    assert edge.record(got.decision)["request"]["reason"] == "preflight"
    for more in ([], asked[:1], asked[1:], [asked[0], ("Access-Control-Request-Method", "GET")]):
        no = edge.ask("nginx", method="OPTIONS", target="/customers/acme/exports/customers", more=more)
        assert (no.status, no.problem["code"]) == (403, "unknown_route")
    page = [asked[0], ("Access-Control-Request-Method", "GET")]
    assert edge.ask("nginx", method="OPTIONS", target="/customers/acme/export-page", more=page).status == 403


def test_a_page_may_read_a_denial(edge: Edge) -> None:
    """The route's CORS headers stand on denials, for its own origins alone."""
    own = edge.ask("caddy", "bob", more=[TICKET, ("Origin", "https://app.example")])
    assert own.header("Access-Control-Allow-Origin") == "https://app.example"
    assert own.header("Access-Control-Allow-Credentials") == "true"
    other = edge.ask("caddy", "bob", more=[TICKET, ("Origin", "https://evil.example")])
    assert other.header("Access-Control-Allow-Origin") is None


def test_an_override_is_a_no(edge: Edge) -> None:
    """Some framework behind would run another method than the one that was judged."""
    got = edge.ask("haproxy", "ada", more=[TICKET, ("X-HTTP-Method-Override", "DELETE")])
    assert (got.status, got.problem["code"]) == (403, "method_override")


@pytest.mark.parametrize("method", ["get", "GETX", "PROPFIND", "TRACE", "P,OST", "", "POST, GET"])
def test_a_method_is_exactly_itself(edge: Edge, method: str) -> None:
    """Whatever else is unknown, or no method at all."""
    got = edge.ask("caddy", "ada", method=method)
    assert got.status == 403
    assert got.problem["code"] in ("unknown_route", "ambiguous_ask")
    assert edge.record(got.decision)["answer"]["allow"] is False


def test_the_hook_reads_no_body(edge: Edge) -> None:
    """A body that is promised and never comes, chunks, and Expect hold nobody up; the next ask is its own."""
    head = (
        "GET /v1/forward-auth HTTP/1.1\r\nHost: api.example\r\nX-Original-URI: %s\r\nX-Original-Method: POST\r\n"
        "X-Ticket: REQ-1\r\nX-User: ada\r\nMuster-Gateway-Key: %s\r\n%s\r\n"
    )
    host, port = edge.service.url.removeprefix("http://").rsplit(":", 1)
    for promise in (
        "Content-Length: 1000\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Content-Length: 9\r\nExpect: 100-continue\r\n",
    ):
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall((head % (EXPORT, edge.keys["nginx"], promise)).encode())
            answer = b""
            while chunk := connection.recv(65536):
                answer += chunk
        assert answer.startswith(b"HTTP/1.1 200 "), answer
        assert b"\r\nconnection: close\r\n" in answer.lower()


def test_a_browser_is_sent_to_the_remedy(edge: Edge) -> None:
    """303 only where the route says so, for GET, to a host of the list; a program gets the document."""
    page = "/customers/acme/export-page"
    browser = [("Accept", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8")]
    got = edge.ask("caddy", "bob", method="GET", target=page, more=browser)
    assert (got.status, got.body) == (303, b"")
    lesson = f"{edge.service.url}/learn/modules/secure-data-export?return="
    assert (got.header("Location") or "").startswith(lesson)
    assert edge.record(got.decision)["answer"]["allow"] is False
    assert json.loads(got.header("Muster-Problem") or "")["status"] == 403
    told = edge.ask("nginx", "bob", method="GET", target=page, more=browser)
    assert told.status == 403, "nginx makes the redirect itself"
    assert (told.header("Location") or "").startswith(lesson)
    other = edge.ask("haproxy", "bob", method="GET", target=page, more=browser)
    assert (other.status, other.header("Location")) == (403, None), "it is no host of its list"
    assert edge.ask("caddy", "bob", more=[TICKET, *browser]).status == 403, "the route does not say so"
    for accept in ([], [("Accept", "application/json")], [("Accept", "*/*")]):
        assert edge.ask("caddy", "bob", method="GET", target=page, more=accept).status == 403


def test_without_opa_it_is_503_in_time(edge: Edge) -> None:
    """A silent OPA is neither yes nor no; the answer comes within the profile's deadline, and is recorded."""
    with stopped(opas(edge.service)):
        got = edge.ask("nginx", "bob", more=[("X-Ticket", "REQ-never-asked")])
        assert (got.status, got.header("Retry-After")) == (503, "1")
        assert got.problem["type"] == "urn:muster:problem:undecided"
        if got.header("Muster-Decision-Id") is not None:
            assert edge.record(got.decision)["answer"] is None
    until(lambda: edge.ask("nginx", "ada").status == 200, "the next good one passes")


def test_every_ask_is_counted_by_gateway_route_and_outcome(edge: Edge) -> None:
    """A gate that was switched off makes no noise: its count stands still."""
    edge.ask("traefik", "ada")
    edge.ask("traefik", "bob")
    text = edge.service.http("GET", "/metrics").text
    for outcome in ("allow", "deny"):
        labels = f'cause="",gateway="traefik",outcome="{outcome}",route="export",tenant="default"'
        found = [line for line in text.splitlines() if line.startswith("muster_gateway_asks_total{")]
        assert any(set(labels.split(",")) == set(line[26 : line.index("}")].split(",")) for line in found), found
    timed = [line for line in text.splitlines() if line.startswith("muster_gateway_ask_seconds_count{")]
    assert any('gateway="traefik"' in line and float(line.rpartition(" ")[2]) >= 2 for line in timed), timed


def test_a_socket_of_its_own_is_a_gateways_credential(edge: Edge) -> None:
    """Whoever may open it speaks as its profile, without a key; by the public address the same ask is nobody's."""
    told = [("X-Forwarded-Method", "POST"), ("X-Forwarded-Host", "api.example"), ("X-Forwarded-Uri", EXPORT)]
    headers = [("Host", "muster"), *told, TICKET, ("X-User", "ada")]
    got = edge.raw("GET", "/v1/forward-auth", headers, by=edge.socket)
    assert got.status == 200, got.body
    record = edge.record(got.decision)
    assert (record["via"]["gateway"], record["via"]["credential"]) == ("socket", "socket")
    assert record["caller"]["token"] is None
    assert edge.raw("GET", "/v1/forward-auth", headers).status == 401


def test_what_was_recorded_replays(edge: Edge) -> None:
    """Every answer of this file, refusals included, is given again by replay, and the log is whole."""
    edge.service.muster("ledger", "verify")
    report = json.loads(edge.service.muster("replay", "--json").stdout)
    assert report["findings"] == []
