"""Whichever worker is asked tells how the witnesses do, though one of them alone submits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.publishing.test_witnesses import line, log_key, quick
from tests.service.running import Service, until
from tests.serving.fleet import Caller, Fleet
from tests.thirdparty import tools
from tests.thirdparty.tools import aics_witness


def test_each_worker_tells_of_witnesses(new_service: Callable[[], Service], tmp_path: Path) -> None:
    """What was cosigned last, and what failed why, is the same in all, and moves on in all."""
    tools.install()
    service = new_service()
    fleet = Fleet(home=service.home, env=service.env, tokens=service.tokens, arguments=("serve", "--workers", "2"))
    vkey = log_key(fleet)
    with aics_witness(vkey, tmp_path / "w", name="witness.example/there") as witness:
        quick(fleet, tmp_path, line(witness, "there") + "quorum there\n")
        fleet.start()
        try:
            callers = list(fleet.callers().values())
            for user in ("kim", "lou"):
                fleet.person(user)
                size = fleet.call("auditor", "GET", "/v1/ledger/head")["size"]
                until(lambda size=size: all(_cosigned(c) >= size for c in callers), "each worker tells of the newest")  # type: ignore[misc]
            for caller in callers:
                caller.close()
        finally:
            fleet.stop()
    fleet.start()  # while its witness is away
    try:
        callers = list(fleet.callers().values())
        until(lambda: all(_failures(c) for c in callers), "each worker tells that the witness is away")
        for caller in callers:
            caller.close()
    finally:
        fleet.stop()


def _told(caller: Caller) -> dict[str, object]:
    status, answer = caller.call("auditor", "GET", "/v1/ledger/witnesses")
    assert status == 200
    told: dict[str, object] = answer["witnesses"][0]
    return told


def _cosigned(caller: Caller) -> int:
    return int(str(_told(caller)["size"]))


def _failures(caller: Caller) -> bool:
    told = _told(caller)
    return int(str(told["failures"])) > 0 and told["error"] is not None
