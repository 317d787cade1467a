"""No decision stands in the log behind a fact that it had not seen."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import httpx

from tests.service.running import PLAIN, Service, export

CHANGES = 2000
CHANGERS = 1
CLIENTS = 3


def race(service: Service) -> list[dict[str, object]]:
    """Decide from several clients while others change the same person; returns what replay finds."""
    service.start()
    service.person("mover")
    service.train("mover")
    service.token("gateway")
    done = threading.Event()
    asked: list[int] = []
    changed: list[int] = []

    def ask() -> None:
        with httpx.Client(
            headers={"Authorization": f"Bearer {service.tokens['gateway']}"}, timeout=30, verify=PLAIN
        ) as http:
            while not done.is_set():
                asked.append(http.post(service.url + "/v1/decisions", json=export("mover")).status_code)

    def change() -> None:
        with httpx.Client(
            headers={"Authorization": f"Bearer {service.tokens['admin']}"}, timeout=30, verify=PLAIN
        ) as http:
            for number in range(CHANGES):
                directory = {"persona": "engineers", "customer": "acme", "active": number % 2 == 0}
                changed.append(http.put(service.url + "/v1/subjects/mover", json=directory).status_code)

    asking = [threading.Thread(target=ask) for _ in range(CLIENTS)]
    changing = [threading.Thread(target=change) for _ in range(CHANGERS)]
    for thread in (*asking, *changing):
        thread.start()
    for thread in changing:
        thread.join()
    done.set()
    for thread in asking:
        thread.join()
    assert changed == [200] * (CHANGES * CHANGERS)
    assert asked.count(200) > 100, f"{asked.count(200)} answers of {len(asked)}"
    assert set(asked) <= {200, 503}
    report = json.loads(service.muster("replay", "--json", want=None).stdout)
    service.stop()
    findings = report["findings"]
    assert isinstance(findings, list)
    return findings


def test_no_decision_behind_a_fact_it_had_not_seen(new_service: Callable[[], Service]) -> None:
    """Decisions under way while their person changes: each leans on the state right before its own entry."""
    assert race(new_service()) == []


def test_without_the_check_it_would_be_seen(new_service: Callable[[], Service], tmp_path: Path) -> None:
    """With the `reads` check taken out the same race leaves stale decisions in the log, and replay names them."""
    unchecked = new_service()
    starter = tmp_path / "unchecked.py"
    starter.write_text(
        "import dataclasses, sys\n"
        "from engine import runtime\n"
        "class Unchecked(runtime.SqliteLedger):\n"
        "    def append(self, append):\n"
        "        return super().append(dataclasses.replace(append, reads=()))\n"
        "runtime.SqliteLedger = Unchecked\n"
        "from engine.cli.main import main\n"
        "sys.argv.pop(1)\n"
        "sys.exit(main())\n"
    )
    unchecked.prefix = (sys.executable, str(starter))
    assert any(finding["check"] == "facts" for finding in race(unchecked))
