"""Real gateways in front of a real application, guarded by Muster itself."""

from __future__ import annotations

import http.client
import json
import random
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from engine.opa.binary import OpaBinary
from tests.adapters.gateway.conftest import served
from tests.adapters.gateway.edge import EXPORT, Edge
from tests.gateways import programs, tools
from tests.gateways.backend import Backend
from tests.gateways.programs import PROFILES
from tests.gateways.wire import free_port, wait_until

PAGE = "/customers/acme/export-page"
MIXED = 200
CLIENTS = 4


@dataclass(slots=True)
class Way:
    """A gateway, with Muster and an application behind it."""

    profile: str
    edge: Edge
    backend: Backend
    port: int

    def ask(
        self, user: str | None = "ada", target: str = EXPORT, method: str = "POST", ticket: str = "REQ-1", **more: str
    ) -> tuple[int, dict[str, str], bytes]:
        """One request as a client sends it: status, headers (names in lower case), body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        named = {} if user is None else {"X-User": user}
        headers = {"Host": "api.example", "X-Ticket": ticket, **named, **more}
        try:
            connection.request(method, target, headers=headers)
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()


@pytest.fixture(scope="module")
def muster(tmp_path_factory: pytest.TempPathFactory, opa_binary: OpaBinary) -> Iterator[Edge]:
    """A service of this file's own: it is killed."""
    with served(tmp_path_factory.mktemp("muster"), opa_binary.path) as running:
        yield running


@pytest.fixture(scope="module", params=PROFILES)
def way(request: pytest.FixtureRequest, installed: Path, muster: Edge) -> Iterator[Way]:
    """The gateway on the configuration that is printed for it."""
    assert installed
    profile, port, backend = str(request.param), free_port(), Backend()
    address = f"http://{muster.check}" if profile == "envoy-grpc" else muster.service.url
    key = muster.keys[profile]
    try:
        with programs.short_folder() as folder:
            app = f"http://127.0.0.1:{backend.port}"
            programs.written(profile, folder, address, app, f"127.0.0.1:{port}", key=key)
            with programs.process(profile, folder, ("127.0.0.1", port), key):
                made = Way(profile, muster, backend, port)
                wait_until(lambda: made.ask()[0] == 200, f"{profile} passes who is trained")
                yield made
    finally:
        backend.stop()


def test_somebody_elses_messages_mean_the_same(installed: Path, muster: Edge) -> None:
    """Allow, deny, nobody and nowhere, by a client of Envoy's messages as the authors of gRPC have them."""
    assert installed

    def told(user: str, target: str = EXPORT, key: str = muster.keys["envoy-grpc"]) -> Any:
        script = Path(__file__).with_name("grpc_client.py")
        command = [tools.stub_python(), str(script), muster.check, key, user, target]
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    allowed = told("ada")
    assert (allowed["code"], allowed["headers"]) == (0, ["muster-assertion", "muster-decision-id"])
    assert muster.record(allowed["decision"])["answer"]["allow"] is True
    denied = told("bob")
    assert (denied["code"], denied["status"]) == (7, 403)
    assert (told("ada", "/nowhere")["status"], told("")["status"]) == (403, 401)
    assert (told("ada", key="nobody's")["code"], told("ada", key="nobody's")["status"]) == (16, 401)


def test_denied_trained_allowed(way: Way) -> None:
    """A denial shows the remedy and reaches nobody; after the training the same request passes, with its proof."""
    user = f"new-at-{way.profile}"
    way.edge.service.person(user)
    seen = len(way.backend.seen)
    status, headers, body = way.ask(user)
    assert status == 403
    problem = json.loads(body)
    assert problem["decision_id"] == headers["muster-decision-id"]
    assert any("secure-data-export" in str(denial["remedy"]) for denial in problem["denials"])
    assert len(way.backend.seen) == seen
    way.edge.service.train(user)
    status, _, _ = way.ask(user)
    assert status == 200
    decision = way.backend.seen[-1].decision
    assert decision is not None
    record = way.edge.record(decision)
    assert (record["answer"]["allow"], record["request"]["subject"]["id"]) == (True, user)
    assert record["via"]["gateway"] == way.profile
    assert (way.backend.seen[-1].message.get("muster-assertion") or "").count(".") == 2


def test_nobody_and_nowhere(way: Way) -> None:
    """Without an identity 401; a path without a route, or with two readings, never reaches the application."""
    seen = len(way.backend.seen)
    assert way.ask(None)[0] == 401
    assert way.ask(target="/nowhere")[0] == 403
    if way.ask(target="/customers/acme/exports/../export-page", method="GET")[0] not in (400, 403):
        seen += 1  # Traefik and Envoy make one path of it themselves: that is asked about, and that is passed on
        assert way.backend.seen[-1].target == PAGE
    assert way.ask(target="/Customers/acme/export-page", method="GET")[0] == 403
    assert way.ask(method="DELETE")[0] == 403
    assert len(way.backend.seen) == seen


def test_a_browser_is_sent_to_its_remedy(way: Way) -> None:
    """303 to the lesson through each gateway; HAProxy's profile lists another host, and shows the denial."""
    status, headers, _ = way.ask("bob", PAGE, "GET", Accept="text/html")
    if way.profile == "haproxy":
        assert status == 403
    else:
        assert status == 303
        assert headers["location"].endswith("/learn/modules/secure-data-export")


def test_a_websocket_is_judged_at_its_handshake(way: Way) -> None:
    """Opened for who may, and refused for who may not."""
    asked = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    assert way.ask("bob", PAGE, "GET", **asked)[0] == 403
    assert way.ask("ada", PAGE, "GET", **asked)[0] == 101


def test_a_muster_that_is_gone_is_503_and_comes_back(way: Way) -> None:
    """Killed: nobody passes, and it is told as could-not-decide; started again: the next good one passes."""
    seen = len(way.backend.seen)
    way.edge.service.kill()
    for _ in range(3):
        assert way.ask()[0] == 503
    assert len(way.backend.seen) == seen
    way.edge.service.start()
    wait_until(lambda: way.ask()[0] == 200, "the next good one passes")


def test_what_reached_the_application_is_what_was_allowed(way: Way) -> None:
    """Mixed requests of several clients: each that came through has its decision, each recorded allow its request."""
    before, start = len(way.backend.seen), way.edge.size()
    choose = random.Random(way.profile)
    wanted = [_some(choose, number) for number in range(MIXED)]
    statuses: list[int] = []
    threads = [
        threading.Thread(target=lambda part=wanted[n::CLIENTS]: statuses.extend(ask(way)[0] for ask in part))
        for n in range(CLIENTS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(statuses) == MIXED
    assert set(statuses) <= {200, 303, 400, 401, 403, 503}
    came = [seen.decision for seen in way.backend.seen[before:]]
    assert None not in came
    assert len(set(came)) == len(came)
    allowed = set(_allowed(way.edge, start, way.profile))
    assert set(came) <= allowed, "what reached the application was allowed"
    unseen = allowed - set(came)
    assert len(unseen) <= statuses.count(503), "each allow is explained by a request"


def _some(choose: random.Random, number: int) -> Callable[[Way], tuple[int, dict[str, str], bytes]]:
    user = choose.choice(["ada", "ada", "ada", "bob", "stranger", None])
    target, method = choose.choice(
        [(EXPORT, "POST"), (EXPORT, "POST"), (PAGE, "GET"), ("/nowhere", "GET"), ("/a//b", "GET")]
    )
    ticket = choose.choice(["REQ-1", f"REQ-{number + 1000}"])
    return lambda way: way.ask(user, target, method, ticket)


def _allowed(edge: Edge, start: int, profile: str) -> Iterator[str]:
    """The IDs of a gateway's allows, from the log."""
    at: int | None = start
    while at is not None:
        page = edge.service.call("auditor", "GET", f"/v1/ledger/entries?limit=1000&start={at}")
        for entry in page["entries"]:
            header = json.loads(entry["header"])
            if header["kind"] != "decision":
                continue
            record = edge.record(header["id"])
            if record["via"]["gateway"] == profile and (record["answer"] or {}).get("allow") is True:
                yield header["id"]
        at = page["next"]
