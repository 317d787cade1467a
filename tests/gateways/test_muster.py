"""Real gateways in front of a real application, guarded by Muster itself."""

from __future__ import annotations

import json
import random
import sqlite3
import time
from contextlib import closing

from tests.gateways.mustered import PAGE, Log, Way
from tests.gateways.waiting import wait_until
from tests.service.test_killed import opas
from tests.stillness import stopped

BOUND_SECONDS = 10.0
"""Gateways wait 1.2 s at most; the rest is for a busy machine. Without a bound of its own it would be 30 s or more."""


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
        assert "/learn/modules/secure-data-export?return=" in headers["location"]


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


def refused_in_time(way: Way) -> dict[str, str]:
    """Ask what nobody has asked before, and who may: 503 in time, and nothing gets there; returns the headers."""
    seen, began = len(way.backend.seen), time.monotonic()
    status, headers, _ = way.ask(ticket=f"REQ-{random.randrange(10**9)}")  # no earlier decision can be given again
    assert status == 503
    assert time.monotonic() - began < BOUND_SECONDS
    assert len(way.backend.seen) == seen
    return headers


def test_an_opa_that_hangs_is_503_and_a_record(way: Way) -> None:
    """What was not decided in time is told and recorded as that, and reaches nobody; then the next good one passes."""
    log = Log(way.edge)
    with stopped(opas(way.edge.service)):

        def recorded() -> bool:
            assert refused_in_time(way)["retry-after"].isdigit()
            return None in {record.allow for record in log.decisions(way.name).values()}

        wait_until(recorded, "there is a record of what was not decided")
    wait_until(lambda: way.ask()[0] == 200, "the next good one passes")
    assert {record.allow for record in log.decisions(way.name).values()} == {None, True}


def test_a_ledger_that_hangs_is_503(way: Way) -> None:
    """What cannot be written in time is not answered, whatever was decided; then the next good one passes."""
    with closing(sqlite3.connect(way.edge.service.home / "ledger.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        refused_in_time(way)
        other.execute("ROLLBACK")
    wait_until(lambda: way.ask()[0] == 200, "the next good one passes")


def test_a_muster_that_hangs_is_503(way: Way) -> None:
    """Each gateway stops waiting by itself; what is answered afterwards lets nothing through."""
    log, process = Log(way.edge), way.edge.service.process
    assert process is not None
    with stopped([process.pid]):
        refused_in_time(way)
    seen = len(way.backend.seen)
    wait_until(lambda: way.ask()[0] == 200, "the next good one passes")
    passed = way.backend.seen[seen:]
    assert len(passed) == 1
    assert log.decisions(way.name)[str(passed[0].decision)].allow is True
