"""A stored request that one worker withdraws opens nothing at any other, whatever that one remembers."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.adapters.gateway.test_stored import STORED, TARGET, body
from tests.service.running import ROOT, Service
from tests.serving.fleet import Caller, Fleet

ROUNDS = 25
_PROFILE = """
test-gateway:
  title: test
  gateway: caddy
  subject: {header: x-user, type: user}
  audience: backend
  deadline_ms: 5000
  routes: [exports]
"""


@pytest.fixture(scope="module")
def fleet(new_service: Callable[[], Service], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Three workers behind a gateway, whose one route takes a stored request."""
    service = new_service()
    source = shutil.copytree(ROOT / "bundles" / "companyos", tmp_path_factory.mktemp("source") / "companyos")
    (source / "routes.yaml").write_text(f"exports:{STORED}")
    (source / "gateways.yaml").write_text(_PROFILE)
    fleet = Fleet(home=service.home, env=service.env, tokens=service.tokens, arguments=("serve", "--workers", "3"))
    try:
        fleet.start()
        fleet.everybody()
        fleet.muster("policy", "activate", MUSTER_BUNDLE=str(source))
        yield fleet
    finally:
        fleet.stop()


def _asked(caller: Caller, request: str) -> tuple[int, Any]:
    told = {
        "Muster-Gateway-Key": caller.fleet.token("gateway"), "X-User": "kim", "X-Ticket": "REQ-1",
        "X-Forwarded-Method": "POST", "X-Forwarded-Host": "api.example",
        "X-Forwarded-Uri": f"{TARGET}?request={request}",
    }  # fmt: skip
    caller.http.request("GET", "/v1/forward-auth", headers=told)
    answer = caller.http.getresponse()
    answer.read()
    return answer.status, answer.headers["Muster-Decision-Id"]


def test_a_withdrawal_counts_at_every_worker(fleet: Fleet) -> None:
    """Two workers have leases on what a third withdraws: from its answer on both deny, each time."""
    first, second, third = fleet.callers().values()
    leased = 0
    for _ in range(ROUNDS):
        status, stored = first.call("app", "POST", "/v1/requests", body("kim"))
        assert status == 201
        told = [_asked(caller, stored["request"]) for caller in (first, second) * 2]
        assert [status for status, _ in told] == [200] * 4
        records = [third.call("auditor", "GET", f"/v1/decisions/{decision}")[1] for _, decision in told]
        leased += sum(record["leans_on"] is not None for record in records)
        assert third.call("app", "POST", f"/v1/requests/{stored['request']}/withdrawal", {})[0] == 200
        assert [_asked(caller, stored["request"])[0] for caller in (first, second, third)] == [403] * 3
    assert leased >= ROUNDS
    for caller in (first, second, third):
        caller.close()
    report = fleet.muster("replay", "--json")
    assert '"findings":[]' in report.stdout.replace(" ", "").replace("\n", "")


def test_the_log_is_whole(fleet: Fleet, tmp_path: Path) -> None:
    """The auditor's own verifier reduces stored requests as the ledger does."""
    fleet.muster("ledger", "verify")
    fleet.muster("ledger", "rebuild")
    fleet.muster("ledger", "export", "--tiles", str(tmp_path / "log"))
