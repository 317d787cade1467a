"""Whatever of a service of several processes is killed: no answer is lost or wrong, and the rest goes on."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from tests.service.running import Service, until
from tests.service.test_killed import Load
from tests.serving.fleet import Fleet, alive, children
from tests.stillness import stop

pytestmark = pytest.mark.alone
USERS = {"kim": True, "lou": True, "max": False, "ned": False}


@pytest.fixture(scope="module")
def running(new_service: Callable[[], Service]) -> Iterator[Fleet]:
    """A service of two workers on a home of its own."""
    service = new_service()
    fleet = Fleet(home=service.home, env=service.env, tokens=service.tokens, arguments=("serve",))
    fleet.env["MUSTER_WORKERS"] = "2"
    try:
        fleet.start()
        fleet.everybody()
        yield fleet
    finally:
        fleet.stop()


@pytest.fixture
def fleet(running: Fleet) -> Fleet:
    """The same, running whatever a test before has done to it."""
    assert running.process is not None
    if running.process.poll() is not None:
        running.start()
    running.settled(2)
    return running


def recorded(fleet: Fleet) -> set[str]:
    """The IDs of all entries."""
    found: set[str] = set()
    start: int | None = 0
    while start is not None:
        page = fleet.call("auditor", "GET", f"/v1/ledger/entries?limit=1000&start={start}")
        found |= {json.loads(entry["header"])["id"] for entry in page["entries"]}
        start = page["next"]
    return found


def more_answers(load: Load, count: int) -> None:
    """Wait for so many more answers."""
    until(partial(load.answered, len(load.answers) + count), f"{count} more answers")


def test_kill_of_any_part_loses_no_answer(fleet: Fleet) -> None:
    """`kill -9` of a worker, of an OPA and of the ledger's process under load, twice each.

    The others answer on meanwhile, each is there again soon; every answer is recorded and right, the log whole, and
    replay gives each again.
    """
    load = Load(fleet, USERS)
    with load.running():
        for _ in range(2):
            more_answers(load, 30)
            fleet.end(fleet.workers()[0])
            more_answers(load, 30)  # before it is there again: the other answers
            fleet.settled(2)
            fleet.end(fleet.opa_of(fleet.workers()[1]))
            more_answers(load, 30)
            fleet.settled(2)
            fleet.end(fleet.ledgers()[0])
            began = time.monotonic()
            more_answers(load, 30)
            assert time.monotonic() - began < 5, "the ledger's process is there again within seconds"
            fleet.settled(2)
    assert load.wrong() == []
    assert load.answers.keys() <= recorded(fleet)
    assert {status for _, status in load.statuses} <= {200, 503}
    fleet.muster("ledger", "verify")
    fleet.muster("replay")


def test_kill_of_the_parent_leaves_nothing(fleet: Fleet) -> None:
    """Workers, their OPAs and the ledger's process die with it; a new start succeeds at once, on the same address."""
    pids = [*fleet.workers(), *fleet.ledgers()]
    pids += [fleet.opa_of(worker) for worker in fleet.workers()]
    assert len(pids) == 5
    fleet.env["MUSTER_LISTEN"] = fleet.url.removeprefix("http://")
    before = fleet.url
    load = Load(fleet, USERS)
    with load.running():
        more_answers(load, 30)
        fleet.kill()
        fleet.start()
        assert fleet.url == before
        more_answers(load, 30)
    until(lambda: not any(alive(pid) for pid in pids), "all of them have ended", 2)
    assert load.wrong() == []
    assert load.answers.keys() <= recorded(fleet)


def test_an_orderly_end_answers_what_is_under_way(fleet: Fleet) -> None:
    """SIGTERM under load: everybody ends, in a second or two, with every answer in the log and one file left of it."""
    load = Load(fleet, USERS)
    family = [*children(fleet.parent), *(pid for worker in fleet.workers() for pid in children(worker))]
    with load.running():
        more_answers(load, 50)
        began = time.monotonic()
        os.kill(fleet.parent, signal.SIGTERM)
        assert fleet.process is not None
        assert fleet.process.wait(30) == 0
        assert time.monotonic() - began < 15
    assert not any(alive(pid) for pid in family)
    assert load.wrong() == []
    assert {status for _, status in load.statuses} <= {200, 503}
    assert not fleet.home.joinpath("ledger.db-wal").exists()
    fleet.start()
    assert load.answers.keys() <= recorded(fleet)
    fleet.muster("ledger", "verify")


def test_what_hangs_is_told_and_ended(fleet: Fleet) -> None:
    """A worker and a ledger's process that are stopped are no process that ended: they are ended for it, and replaced.

    Meanwhile the other worker says that it cannot decide.
    """
    stopped, other = fleet.workers()
    ledger = fleet.ledgers()[0]
    first, second = fleet.callers(), fleet.callers()
    asking, looking = first[other], second[other]
    stop(ledger)
    stop(stopped)
    asked = threading.Thread(target=lambda: statuses.append(asking.decide("kim")[0]))
    statuses: list[int] = []
    asked.start()
    until(lambda: looking.call("gateway", "GET", "/readyz")[0] == 503, "the other worker says that it cannot decide")
    assert "does not answer" in looking.call("gateway", "GET", "/readyz")[1]["detail"]
    until(lambda: not alive(ledger) and not alive(stopped), "both were ended", 60)
    asked.join()
    assert statuses == [503]
    fleet.settled(2)
    assert fleet.workers() != [stopped, other]
    assert asking.decide("kim")[1]["allow"]
    for caller in (*first.values(), *second.values()):
        caller.close()
    fleet.muster("ledger", "verify")


def test_a_service_that_cannot_start_says_why(fleet: Fleet) -> None:
    """A second one on the same home is refused with one sentence, and so is one whose bundle is gone."""
    second = fleet.muster("serve", want=3)
    assert f"another Muster (process {fleet.parent}) is running" in second.stderr
    fleet.stop()
    for bundle in fleet.home.joinpath("bundles").glob("*.tar.gz"):
        bundle.unlink()
    refused = fleet.muster("serve", want=2)
    assert refused.stderr.strip().splitlines()[-1].startswith("muster: revision ")
    assert "Traceback" not in refused.stderr
