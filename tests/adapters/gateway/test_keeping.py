"""An allow that a gateway may keep: for some seconds, by whose request it is, and written down; nothing else ever."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest

from engine.gateways.check.backend import Backend
from engine.opa.binary import OpaBinary
from ledger import instants
from tests.access.provider import Provider
from tests.access.signing import key
from tests.adapters.gateway.conftest import _peopled, gateways, issuers
from tests.adapters.gateway.edge import TICKET, Edge, Got, Stub
from tests.adapters.gateway.test_envoy import check, request
from tests.gateways import programs, tools
from tests.gateways.pages import FOLDER
from tests.gateways.waiting import wait_until
from tests.ports import free_port
from tests.service.rewrite import rewrite
from tests.service.running import ROOT, Service, environment, make_home, until

GATE = """# METADATA
# title: View a report
# description: a report is read by whoever has taken the lesson
# custom:
#   action: view-report
#   policy_id: POL-DA-003
#   runbook_id: RB-EXPORT-RECALL
#   mode: enforce
#   lease: gateway
#   inputs:
#     subject.active: {source: directory, schema: {type: boolean}}
#     resource.properties.customer: {source: asserted, schema: {type: string, maxLength: 256}}
#     context.ticket: {source: asserted, schema: {type: string, maxLength: 64}}
#   requirements:
#     - code: report-training
#       title: Data export lesson
#       message: Reading a report needs the lesson of data export, taken within 12 months.
#       requires: {module: secure-data-export, tier: completed, within: P12M}
#       remedy: {kind: lesson, module: secure-data-export}
#     - code: ticket-present
#       title: Request ticket
#       message: Reading a report needs the number of a ticket.
#       remedy: {kind: text, text: Give the number of the ticket.}
package muster.gates["view-report"]

met contains "ticket-present" if startswith(input.context.ticket, "REQ-")
"""
ROUTE = """
    hosts: [api.example]
    resource: {type: report, id: "{report}", properties: {customer: acme}}
    action: view-report
"""
ROUTES = f"""
exports:
  - id: report
    methods: [GET, POST]
    path: /reports/{{report}}
    context: {{ticket: {{header: x-ticket, required: true}}}}{ROUTE}
  - id: overridden
    methods: [GET]
    path: /overridden/{{report}}
    method_override: allow
    context: {{ticket: {{value: REQ-1}}}}{ROUTE}
  - id: stored
    methods: [GET]
    path: /stored/{{report}}
    context: {{ticket: {{value: REQ-1}}}}
    request_ref: {{query: ref}}{ROUTE}
  - id: risky
    hosts: [api.example]
    methods: [GET]
    path: /exports/{{customer}}
    action: data-export
    resource: {{type: dataset, id: customers, properties: {{customer: "{{customer}}"}}}}
    context:
      destination: {{value: "warehouse://analytics"}}
      ticket: {{value: REQ-1}}
      columns: {{value: [customer_id]}}
    without: [context.approvals]
"""
REPORT = "/reports/q3"
SECONDS = {"nginx": 2, "caddy": 0, "traefik": 20}
DEFAULT = 5
VARY = {
    "nginx": "X-User, X-Original-Method, X-Original-Uri, X-Ticket",
    "traefik": "X-User, X-Forwarded-Method, X-Forwarded-Host, X-Forwarded-Uri, X-Ticket",
    "envoy-http": "X-User, X-Ticket",
    "tokens": "Authorization, X-Original-Method, X-Original-Uri, X-Ticket",
}
OVERRIDES = ", X-Http-Method, X-Http-Method-Override, X-Method-Override"


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory, opa_binary: OpaBinary) -> Iterator[Edge]:
    """A service with one gate whose allows may be kept, and one whose may not."""
    folder = tmp_path_factory.mktemp("keeping")
    policies = shutil.copytree(ROOT / "policies", folder / "policies")
    gate = policies / "muster" / "gates" / "view-report" / "view-report.rego"
    gate.parent.mkdir()
    gate.write_text(GATE)
    source = shutil.copytree(ROOT / "bundles" / "companyos", folder / "source")
    with (source / "actions.yaml").open("a") as file:
        file.write("view-report: {title: Read a report, risk: medium}\n")
    listen, envoy = (f"127.0.0.1:{free_port()}" for _ in range(2))
    said = gateways(listen)
    for name, seconds in SECONDS.items():
        said = said.replace(f"  gateway: {name}\n", f"  gateway: {name}\n  lease_seconds: {seconds}\n", 1)
    (source / "routes.yaml").write_text(ROUTES)
    (source / "gateways.yaml").write_text(said)
    with Provider(None, key("one", "ES256")) as provider:
        (source / "issuers.yaml").write_text(issuers(provider))
        env = environment(
            folder / "home", opa_binary.path, MUSTER_BUNDLE=str(source), MUSTER_POLICIES=str(policies),
            MUSTER_LISTEN=listen, MUSTER_ENVOY_LISTEN=envoy,
        )  # fmt: skip
        service = Service(home=folder / "home", env=env, tokens={"admin": make_home(env)}).start()
        try:
            made = Edge(service=service, provider=provider, check=envoy, socket=folder / "s", keys={})
            yield _peopled(made)
        finally:
            service.stop()


def report(edge: Edge, gateway: str = "nginx", user: str | None = "ada", target: str = REPORT) -> Got:
    """What a gateway is told about somebody who reads a report."""
    return edge.ask(gateway, user, method="GET", target=target)


def max_age(got: Got) -> int:
    """How long an answer may be kept, in seconds; -1 for not at all."""
    said = got.header("Cache-Control") or ""
    if said == "no-store":
        assert got.header("Vary") is None
        return -1
    found = re.fullmatch(r"max-age=([0-9]+), must-revalidate", said)
    assert found is not None, said
    return int(found[1])


@pytest.mark.parametrize(("gateway", "most"), [("nginx", 2), ("traefik", 20), ("envoy-http", DEFAULT)])
def test_an_allow_says_how_long_and_for_whom_and_so_does_its_record(edge: Edge, gateway: str, most: int) -> None:
    """At most what the profile says, in whole seconds; `Vary` has everything that it was made from."""
    for leased in (False, True):
        got = report(edge, gateway)
        assert got.status == 200, got.body
        assert got.header("Vary") == VARY[gateway] + OVERRIDES
        record = edge.record(got.decision)
        assert ("leans_on" in record) or not leased
        lent = instants.parse(record["via"]["lent_until"]) - instants.parse(record["at"])
        assert 0 < max_age(got) <= lent / 1000 <= most


def test_the_users_token_is_never_outlived(edge: Edge) -> None:
    """An allow is kept no longer than the token is good, and not at all in its last second."""

    def asked(seconds: float) -> Got:
        ends = int(time.time()) + seconds
        got = edge.ask("tokens", method="GET", target=REPORT, more=[TICKET, edge.bearer("ada", exp=int(ends))])
        assert got.status == 200, got.body
        assert time.time() + max_age(got) <= ends + 0.5 or max_age(got) == -1
        return got

    assert max_age(asked(3)) in (1, 2)
    assert asked(3600).header("Vary") == VARY["tokens"] + OVERRIDES
    assert max_age(asked(1)) == -1
    assert "lent_until" not in edge.record(asked(1).decision)["via"]


def test_the_answers_own_end_is_never_outlived(edge: Edge) -> None:
    """Training that ends in some seconds ends what is kept of it; the denial that follows is not kept."""
    edge.service.person("eve")
    now = datetime.now(UTC)
    passed = now.replace(year=now.year - 1).timestamp() + 10
    edge.service.passed("eve", "secure-data-export", "completed", days_ago=(now.timestamp() - passed) / 86_400)
    got = report(edge, "traefik", "eve")
    assert got.status == 200, got.body
    record = edge.record(got.decision)
    assert record["via"]["lent_until"] == record["answer"]["valid_until"], "20 s would be longer"
    assert 0 < max_age(got) < 11
    until(lambda: report(edge, "traefik", "eve").status == 403, "the training has ended")


def test_whatever_else_is_never_kept(edge: Edge) -> None:
    """Denials, who-are-yous, other gates' allows, profiles and routes that keep nothing, and gRPC."""
    refused = [
        report(edge, user="bob"), report(edge, user=None), report(edge, target="/nowhere"), report(edge, "caddy"),
        edge.ask("nginx", "ada", method="GET", target="/exports/acme"),
    ]  # fmt: skip
    assert [got.status for got in refused] == [403, 401, 403, 200, 200]
    for got in refused:
        assert max_age(got) == -1
        assert "lent_until" not in edge.record(got.decision)["via"]
    stranger = edge.raw("GET", "/v1/forward-auth", [("Host", "api.example")])
    assert (stranger.status, max_age(stranger)) == (401, -1)
    assert max_age(report(edge, target="/stored/q3?ref=nobody")) == -1
    with grpc.insecure_channel(edge.check) as channel:
        answer = check(Stub(channel), edge, request("ada", REPORT))
    assert answer.status.code == 0
    (decided,) = [each.header.value for each in answer.ok_response.headers if each.header.key == "muster-decision-id"]
    assert "lent_until" not in edge.record(decided)["via"]


def test_a_route_that_lets_overrides_pass_does_not_vary_by_them(edge: Edge) -> None:
    """`Vary` has what counts and no more: nginx keeps nothing whose `Vary` is longer than 128 bytes."""
    got = report(edge, target="/overridden/q3")
    assert got.header("Vary") == "X-User, X-Original-Method, X-Original-Uri"
    assert len(report(edge).header("Vary") or "") <= 128


def test_what_was_lent_is_replayed_and_verified(edge: Edge) -> None:
    """The log is whole, and each answer is made again."""
    report(edge)
    edge.service.muster("ledger", "verify")
    edge.service.muster("replay", "--action", "view-report")


def _for_years(record: dict[str, Any]) -> bool:
    """What was lent is lent for years."""
    record["via"]["lent_until"] = "2100-01-01T00:00:00.000Z"
    return True


def _a_denial(record: dict[str, Any]) -> bool:
    """A denial is lent, for a second."""
    denied = (record.get("result") or {}).get("verdict") == "deny"
    if denied:
        record["via"]["lent_until"] = instants.from_ms(instants.parse(record["input"]["now"]) + 1000)
    return denied


@pytest.mark.parametrize("forge", [_for_years, _a_denial])
def test_a_forged_end_is_named(edge: Edge, tmp_path: Path, forge: Callable[[dict[str, Any]], bool]) -> None:
    """Of whole and leased records, by an operator who made the whole tree anew; however young the revision is."""
    whole, leased, denied = report(edge), report(edge), report(edge, user="nobody")
    assert (whole.status, leased.status, denied.status) == (200, 200, 403)
    edge.service.stop()
    try:
        shutil.copytree(edge.service.home, tmp_path / "home")
    finally:
        edge.service.start()
    bent = set[str]()

    def bend(record: dict[str, Any]) -> bool:
        if "route" not in record.get("via", {}) or not forge(record):
            return False
        bent.add("leased" if "leans_on" in record else "whole")
        return True

    rewrite(tmp_path / "home" / "ledger.db", bend)
    said = edge.service.muster("replay", "--json", want=None, MUSTER_HOME=str(tmp_path / "home")).stdout
    findings = [f for f in json.loads(said)["findings"] if f["check"] == "gateway"]
    wanted = {denied.decision} if forge is _a_denial else {whole.decision, leased.decision}
    assert wanted <= {f["id"] for f in findings}
    assert all("lent until" in f["detail"] for f in findings)
    assert bent == ({"whole"} if forge is _a_denial else {"whole", "leased"})


def kept_by(folder: Path, config: str) -> str:
    """nginx's configuration with what its page says about keeping answers."""
    outside, inside = re.findall(r"```nginx\n((?:proxy_cache).*?)```", (FOLDER / "nginx.md").read_text(), re.DOTALL)
    cache = outside.replace("/var/cache/nginx/muster", str(folder / "cache"))
    changed = config.replace("    upstream muster {", f"{cache}\n    upstream muster {{")
    return changed.replace("            internal;\n", f"            internal;\n{inside}")


def test_nginx_keeps_an_allow_by_user_method_and_address(edge: Edge) -> None:
    """Real nginx, as its page says: one ask within the time; another user, method, address or ticket is asked about."""
    tools.install()
    backend, port, gateway = Backend(), free_port(), edge.keys["nginx"]

    def ask(user: str = "ada", target: str = REPORT, method: str = "GET", **more: str) -> tuple[int, str | None]:
        """Status, and the ID of the decision by which it came through, or was denied."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            headers = {"Host": "api.example", "X-User": user, "X-Ticket": "REQ-1", **more}
            connection.request(method, target, headers=headers)
            answer = connection.getresponse()
            answer.read()
            came = backend.seen[-1].decision if answer.status == 200 else answer.getheader("Muster-Decision-Id")
            return answer.status, came
        finally:
            connection.close()

    try:
        with programs.short_folder() as folder:
            app = f"http://127.0.0.1:{backend.port}"
            programs.written("nginx", folder, edge.service.url, app, f"127.0.0.1:{port}", key=gateway)
            config = folder / "nginx.conf"
            config.write_text(kept_by(folder, config.read_text()))
            with programs.process("nginx", folder, ("127.0.0.1", port), gateway):
                wait_until(lambda: ask()[0] == 200, "nginx passes who is trained")
                edge.service.person("zoe")
                edge.service.train("zoe")

                first = fresh(ask)
                others = [
                    ask("zoe"), ask(method="POST"), ask(target="/reports/q4"), ask(target=REPORT + "?x=1"),
                    ask(**{"X-Ticket": "REQ-2"}),
                ]  # fmt: skip
                assert [status for status, _ in others] == [200] * 5
                assert len({first, *(decision for _, decision in others)}) == 6, "each was asked about"
                assert ask(**{"X-HTTP-Method-Override": "DELETE"})[0] == 403
                assert ask(**{"X-Ticket": "none"})[0] == 403
                denied = [ask("bob"), ask("bob")]
                assert [status for status, _ in denied] == [403, 403]
                assert denied[0][1] != denied[1][1], "a no is asked about each time"
                edge.service.train("bob")
                assert ask("bob")[0] == 200, "and so is what follows it"
                risky = [ask(target="/exports/acme")[1] for _ in range(2)]
                assert risky[0] != risky[1], "a gate that lends nothing is asked each time"
    finally:
        backend.stop()


def fresh(ask: object) -> str:
    """An answer that was given twice by one decision; then, once its time is over, by another one."""
    assert callable(ask)

    def twice() -> str | None:
        (status, one), (_, two) = ask(), ask()
        assert status == 200
        return one if one == two else None

    kept = until(twice, "one decision answers two requests")
    until(lambda: ask()[1] != kept, "it is asked about again")
    return str(until(twice, "and kept again"))


def test_the_record_names_the_lease_to_whoever_explains_it(edge: Edge) -> None:
    """It is in the record as the auditor reads it, an instant like every other."""
    record = edge.record(report(edge).decision)
    assert instants.is_instant(record["via"]["lent_until"])
    assert json.dumps(record["via"]).count("lent_until") == 1
