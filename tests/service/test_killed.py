"""Power cuts: whatever dies and whenever, no answer was given that is not in the ledger, and none was wrong."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.service.running import PLAIN, Service, export, until

KILLS = 20
CLIENTS = 6


@dataclass(slots=True)
class Load:
    """Clients that ask without pause; what they were answered, and what they were told instead."""

    service: Service
    users: dict[str, bool]
    answers: dict[str, tuple[str, bool]] = field(default_factory=dict)
    statuses: list[tuple[float, int]] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def run(self, number: int) -> None:
        """Ask until told to stop."""
        choose = random.Random(number)
        token = self.service.tokens["gateway"]
        with httpx.Client(headers={"Authorization": f"Bearer {token}"}, timeout=30, verify=PLAIN) as http:
            while not self._stop.is_set():
                user = choose.choice(sorted(self.users))
                # Every second question is a new one: what was asked before is answered without OPA.
                ticket = "REQ-1" if choose.random() < 0.5 else f"REQ-{choose.randrange(10**9)}"
                try:
                    answer = http.post(self.service.url + "/v1/decisions", json=export(user, ticket=ticket))
                except httpx.TransportError:
                    self._stop.wait(0.005)
                    continue
                self.statuses.append((time.monotonic(), answer.status_code))
                if answer.status_code == 200:
                    body = answer.json()
                    self.answers[body["decision_id"]] = (user, body["allow"])

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run all clients meanwhile."""
        threads = [threading.Thread(target=self.run, args=(n,)) for n in range(CLIENTS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()
            self._stop.clear()

    def answered(self, number: int) -> bool:
        """Whether more than so many answers have come."""
        return len(self.answers) > number

    def refused_since(self, moment: float) -> bool:
        """Whether somebody was told 503 since then."""
        return any(at > moment and status == 503 for at, status in self.statuses)

    def wrong(self) -> list[str]:
        """The decisions whose answer was not what the person's training says."""
        return [d for d, (user, allow) in self.answers.items() if self.users[user] is not allow]


def people(service: Service) -> dict[str, bool]:
    """Two trained people and two who are not; who may export."""
    for user in ("kim", "lou", "max", "ned"):
        service.person(user)
    service.train("kim")
    service.train("lou")
    service.token("gateway")
    service.token("auditor")
    return {"kim": True, "lou": True, "max": False, "ned": False}


def opas(service: Service) -> list[int]:
    """The process IDs of the OPAs that serve this home's bundles."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
            stat = (entry / "stat").read_text().rsplit(")", 1)[1].split()[0] if words else "Z"
        except (FileNotFoundError, ProcessLookupError):
            continue
        if stat != "Z" and any(str(service.home).encode() in w for w in words) and b"--server" in words:
            found.append(int(entry.name))
    return found


def replaced(service: Service, opa: int) -> bool:
    """Whether another OPA lives than this one."""
    now = opas(service)
    return bool(now) and opa not in now


def test_kill_of_the_service_loses_no_answer(new_service: Callable[[], Service]) -> None:
    """`kill -9` of the service under load, 20 times: every answer is recorded, the log whole, replay exact, one OPA."""
    service = new_service().start()
    load = Load(service, people(service))
    choose = random.Random(1)
    for _ in range(KILLS):
        before = len(load.answers)
        with load.running():
            more = before + choose.randrange(5, 60)
            until(partial(load.answered, more), "some answers")
            service.kill()
        service.start()
    assert load.wrong() == []
    assert len(load.answers) > KILLS * 5
    for decision, (user, allow) in load.answers.items():
        record = service.call("auditor", "GET", f"/v1/decisions/{decision}")
        assert (record["request"]["subject"]["id"], record["answer"]["allow"]) == (user, allow)
    service.muster("ledger", "verify")
    report = json.loads(service.muster("replay", "--json").stdout)
    assert report["findings"] == []
    assert report["replayed"] >= len(load.answers)
    assert len(opas(service)) == 1


@pytest.mark.alone
def test_kill_of_opa_is_never_an_answer(new_service: Callable[[], Service]) -> None:
    """`kill -9` of OPA under load: 503 until it is back, under 2 s, and no wrong allow or deny."""
    service = new_service().start()
    load = Load(service, people(service))
    with load.running():
        for _ in range(3):
            before = len(load.answers)
            until(partial(load.answered, before + 20), "some answers")
            (opa,) = opas(service)
            killed = time.monotonic()
            os.kill(opa, signal.SIGKILL)
            until(partial(replaced, service, opa), "another OPA")
            until(partial(load.refused_since, killed), "a 503")
            back = until(
                lambda: service.http("GET", "/readyz").status_code == 200 and time.monotonic(),
                "ready again",
            )
            assert back - killed < 2
    assert load.wrong() == []
    assert {status for _, status in load.statuses} <= {200, 503}
    service.muster("replay")
