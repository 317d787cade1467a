"""Several workers are one service: what one has written holds in all of them."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path
from urllib.parse import urlencode

import apsw

from tests.service.running import ROOT, export, until
from tests.serving.fleet import Caller, Fleet

PEOPLE = 4


def _toggle(fleet: Fleet, user: str, writes: int, wrong: list[str], done: list[int]) -> None:
    """Deactivate and activate a person through one worker after the other, and ask all of them after each."""
    callers = list(fleet.callers().values())
    for number in range(writes):
        active = number % 2 == 1
        body = {"persona": "engineers", "customer": "acme", "active": active}
        status, answer = callers[number % len(callers)].call("admin", "PUT", f"/v1/subjects/{user}", body)
        if status != 200:
            wrong.append(f"a write was answered {status}: {answer}")
        for caller in callers:
            status, answer = caller.decide(user)
            done.append(status)
            if status != 200 or answer["allow"] is not active:
                wrong.append(f"{user} is active={active}, worker {caller.worker} answered {status} {answer}")
    for caller in callers:
        caller.close()


def test_ten_thousand_reads_see_every_write(fleet: Fleet) -> None:
    """A fact that one worker has acknowledged is in the very next decision of each: no stale allow, no stale deny."""
    wrong: list[str] = []
    done: list[int] = []
    users = [f"toggled-{number}" for number in range(PEOPLE)]
    for user in users:
        fleet.person(user)
        fleet.train(user)
    share = -(-10_000 // (4 * PEOPLE))  # of each write three decisions
    threads = [threading.Thread(target=_toggle, args=(fleet, user, share, wrong, done)) for user in users]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(done) + PEOPLE * share >= 10_000


def test_every_worker_answers(fleet: Fleet) -> None:
    """Three workers, each with an OPA of its own, take connections of both sockets; one ledger is behind them."""
    callers = fleet.callers()
    assert len(callers) == 3
    assert len({fleet.opa_of(worker) for worker in callers}) == 3
    assert len(fleet.ledgers()) == 1
    for caller in callers.values():
        assert caller.decide("kim")[1]["allow"] is True
        assert caller.decide("max")[1]["allow"] is False
        caller.close()
    status = json.loads(fleet.muster("status", "--json").stdout)
    assert (status["pid"], status["ready"]) == (fleet.parent, True)


def test_any_worker_shows_what_all_have_counted(fleet: Fleet) -> None:
    """Decisions of every worker, and the commits of the ledger's process, whoever answers `/metrics`."""

    def counted() -> dict[str, float]:
        lines = [line for line in fleet.http("GET", "/metrics").text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}

    def decisions(values: dict[str, float]) -> float:
        return sum(value for name, value in values.items() if name.startswith("muster_decisions_total{"))

    before = counted()
    callers = fleet.callers()
    for caller in callers.values():
        caller.decide("kim")
        caller.close()
    for _ in range(6):
        after = counted()
        assert decisions(after) >= decisions(before) + len(callers)
        assert after["muster_commit_entries_count"] > before["muster_commit_entries_count"] > 0


def test_an_activation_is_followed_by_all(fleet: Fleet, tmp_path: Path) -> None:
    """Through one worker; no other answers by the old revision afterwards, and soon all answer by the new one."""
    source = tmp_path / "companyos"
    shutil.copytree(ROOT / "bundles" / "companyos", source)
    (source / "source.yaml").write_text((source / "source.yaml").read_text() + "\n# another revision\n")
    callers = fleet.callers()
    before = {caller.decide("kim")[1]["revision"] for caller in callers.values()}
    assert len(before) == 1
    fleet.muster("policy", "activate", MUSTER_BUNDLE=str(source))
    revisions: dict[int, str] = {}

    def followed() -> bool:
        for worker, caller in callers.items():
            status, answer = caller.decide("kim")
            if status == 200:
                revisions[worker] = answer["revision"]
                assert answer["revision"] not in before, "nobody decides by what is not active any more"
        return len(revisions) == 3

    until(followed, "all workers decide by the new revision", 10)
    assert len(set(revisions.values())) == 1
    for caller in callers.values():
        caller.close()


def test_a_new_tenant_is_everybodys(fleet: Fleet) -> None:
    """A tenant that was begun through one worker is known to all: a token of it is good at each."""
    callers = list(fleet.callers().values())
    revision = callers[0].decide("kim")[1]["revision"]
    fleet.muster("policy", "activate", revision, "--tenant", "second", "--reason", "it begins")
    made = fleet.muster(
        "token", "create", "--tenant", "second", "--role", "gateway", "--principal", "system:x", "--json"
    )
    fleet.tokens["second"] = json.loads(made.stdout)["token"]
    for caller in callers:
        status, answer = caller.call("second", "POST", "/v1/decisions", export("kim"))
        assert (status, answer["allow"], answer["revision"]) == (200, False, revision)
        caller.close()


def test_a_ticket_of_one_worker_opens_at_another_once(fleet: Fleet) -> None:
    """A link that one worker gave is used at another; after that at none."""
    first, second, third = fleet.callers().values()
    status, begun = first.call("app", "POST", "/v1/sessions", {"user": "kim"})
    assert status == 200
    ticket = begun["href"].partition("ticket=")[2]
    forged = ticket[:-1] + ("A" if ticket[-1] != "A" else "B")
    assert _enter(second, forged) == 401
    assert _enter(second, ticket) == 303
    assert [_enter(caller, ticket) for caller in (first, second, third)] == [401, 401, 401]
    status, begun = third.call("app", "POST", "/v1/sessions", {"user": "kim"})
    outcomes: list[int] = []
    racing = [
        threading.Thread(target=lambda c=c: outcomes.append(_enter(c, begun["href"].partition("ticket=")[2])))
        for c in (first, second, third)
    ]
    for thread in racing:
        thread.start()
    for thread in racing:
        thread.join()
    assert sorted(outcomes) == [303, 401, 401], "of three at once one comes in"
    for caller in (first, second, third):
        caller.close()


def _enter(caller: Caller, ticket: str) -> int:
    caller.http.request(
        "POST",
        "/learn/enter",
        urlencode({"ticket": ticket}),
        {"Content-Type": "application/x-www-form-urlencoded", "Origin": caller.fleet.url},
    )
    answer = caller.http.getresponse()
    answer.read()
    return answer.status


def test_a_malformed_question_is_refused_by_each(fleet: Fleet) -> None:
    """By every worker with the same status, and the connection goes on."""
    callers = fleet.callers()
    for caller in callers.values():
        bad = {**export("kim"), "action": {"name": 7}}
        assert caller.call("gateway", "POST", "/v1/decisions", bad)[0] == 400
        assert caller.decide("kim")[0] == 200
        caller.close()


def test_rebuilt_rows_go_over_to_the_ledgers_process(fleet: Fleet) -> None:
    """A worker makes them, the ledger's process puts them in place, and the log says so."""
    db = apsw.Connection(str(fleet.home / "ledger.db"))
    db.set_busy_timeout(5_000)
    db.execute("UPDATE objects SET state = x'7b7d' WHERE tenant = 'default' AND name LIKE 'token/%' AND version = 1")
    assert db.changes() == 1
    db.close()
    fleet.muster("ledger", "rebuild", want=1)
    done = fleet.muster("ledger", "rebuild", "--write", "--reason", "a bad disk")
    assert "replaced: 1 of objects; recorded as entry" in done.stdout
    fleet.muster("ledger", "rebuild")


def test_the_log_is_whole(fleet: Fleet) -> None:
    """After all that the verifier finds nothing, in either tenant."""
    fleet.muster("ledger", "verify")
    fleet.muster("ledger", "verify", "--tenant", "second")
