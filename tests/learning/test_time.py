"""Waits, deadlines, expiries: with a clock that is moved between two starts of the service, and never back."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.learning.learner import LESSON, Learner
from tests.service.running import Service, until

DAY, MINUTE = 86_400, 60


class Travelling:
    """A service whose clock is ahead by some seconds."""

    def __init__(self, service: Service, folder: Path) -> None:
        self.service, self.ahead, self.folder = service, 0, folder

    def to(self, seconds: int) -> None:
        """Start again with the clock so far ahead."""
        self.service.stop()
        self.ahead = seconds
        starter = self.folder / "ahead.py"
        starter.write_text(
            "import sys, time\n"
            "real = time.time_ns\n"
            f"time.time_ns = lambda: real() + {seconds} * 10**9\n"
            "from engine.cli.main import main\n"
            "sys.argv.pop(1)\n"
            "sys.exit(main())\n"
        )
        self.service.prefix = (sys.executable, str(starter))
        self.service.start()

    def learner(self, user: str = "tim") -> Learner:
        """A learner with a fresh session: tokens have ended with the time that passed."""
        self.service.tokens = {"admin": self.service.tokens["admin"]}
        learner = Learner(self.service, user)
        learner.sign_in()
        return learner


@pytest.fixture
def travelling(new_service: Callable[[], Service], tmp_path: Path) -> Travelling:
    """A service of the test's own, its clock right for now, and one learner in its directory."""
    service = new_service().start()
    service.person("tim")
    return Travelling(service, tmp_path)


def kinds(service: Service) -> list[str]:
    """The kinds of all entries."""
    return [e["kind"] for e in service.call("admin", "GET", "/v1/ledger/entries?limit=1000")["entries"]]


def test_two_tries_at_once_then_waits(travelling: Travelling) -> None:
    """Two at once, then ten minutes, then a day and the lesson again; a refusal says when."""
    learner = travelling.learner()
    learner.fail()
    second = learner.fail()
    assert second["attempt"] == 2
    refused = learner.begin(want=429)
    assert refused["retry_at"] > "2026"
    answer = travelling.service.http("POST", f"/v1/modules/{LESSON}/attempts", role=learner.role, json={})
    assert 0 < int(answer.headers["Retry-After"]) <= 600
    travelling.to(11 * MINUTE)
    learner = travelling.learner()
    assert learner.fail()["attempt"] == 3
    learner.begin(want=429)
    travelling.to(DAY + 30 * MINUTE)
    learner = travelling.learner()
    assert learner.begin(want=409)["reason"] == "lesson-first"
    learner.read_all()
    assert learner.pass_quiz()["attempt"] == 4
    assert learner.begin()["status"] == "open", "after a pass nothing waits"


def test_more_tries_and_more_time_are_granted_to_a_person(travelling: Travelling) -> None:
    """Three further tries before the waits grow; the reason is in the log, and not in any view."""
    travelling.service.call("admin", "PUT", "/v1/accommodations/tim", {"tries": 3, "reason": "a private reason"})
    learner = travelling.learner()
    for _ in range(5):
        learner.fail()
    learner.begin(want=429)
    own = learner.call("GET", "/v1/training")
    shown = json.dumps([own, travelling.service.call("admin", "GET", "/v1/subjects/tim")])
    assert "private reason" not in shown


def test_an_attempt_closes_itself_and_is_written_down_once(travelling: Travelling) -> None:
    """Thirty days after its start: refused, expired in the log once, counted as a try from its deadline on."""
    learner = travelling.learner()
    attempt = learner.begin()
    travelling.to(31 * DAY)
    learner = travelling.learner()
    assert learner.hand_in(attempt, want=409)["reason"] in ("expired", "closed")
    until(lambda: learner.look(attempt)["status"] == "expired", "it is expired")
    until(lambda: '"event":"expired"' in json.dumps(
        [e["payload"] for e in travelling.service.call("admin", "GET", "/v1/ledger/entries?limit=1000")["entries"]]
    ).replace("\\", ""), "it is in the log", 20)  # fmt: skip
    assert kinds(travelling.service).count("attempt") == 2
    assert learner.begin()["attempt"] == 2
    travelling.service.muster("ledger", "verify")
    travelling.service.muster("replay")


def test_a_certification_expires_in_the_log_once(travelling: Travelling) -> None:
    """A year later: denied, expired, three entries for three certifications, however long it runs."""
    learner = travelling.learner()
    learner.pass_quiz()
    learner.play()
    assert travelling.service.decide("tim")["allow"]
    travelling.to(366 * DAY)
    service = travelling.service
    service.tokens = {"admin": token_of(service)}
    assert not service.decide("tim")["allow"]
    until(lambda: kinds(service).count("expiry") == 3, "three expiries are written down", 20)
    travelling.to(367 * DAY)
    assert kinds(service).count("expiry") == 3
    service.tokens = {"admin": service.tokens["admin"]}
    asked = service.call("gateway", "GET", "/v1/is-certified?user=tim&scope=data-export")
    assert asked["status"] == "expired"
    assert asked["certified"] is False
    service.muster("ledger", "verify")
    service.muster("replay")


def token_of(service: Service) -> str:
    """A new admin token, made by the operator."""
    words = ("--role", "admin", "--principal", "system:later", "--expires", "P9D", "--json")
    done = service.muster("token", "create", *words)
    return str(json.loads(done.stdout)["token"])


def test_a_clock_that_was_set_back_is_refused(travelling: Travelling) -> None:
    """A day back: nothing can be begun, saved or handed in, with 503 and the reason; nothing is lost."""
    learner = travelling.learner()
    attempt = learner.begin()
    travelling.service.stop()
    starter = travelling.folder / "ahead.py"
    starter.write_text(
        "import sys, time\nreal = time.time_ns\ntime.time_ns = lambda: real() - 86_400 * 10**9\n"
        "from engine.cli.main import main\nsys.argv.pop(1)\nsys.exit(main())\n"
    )
    travelling.service.prefix = (sys.executable, str(starter))
    travelling.service.start(ready=False)
    answer = travelling.service.http("GET", f"/v1/attempts/{attempt['attempt_id']}", role=learner.role)
    assert answer.status_code == 503
    assert "clock" in answer.text
    travelling.to(0)
    assert travelling.learner().hand_in(attempt)["passed"]


def test_a_running_attempt_ends_on_the_version_it_began_with(
    new_service: Callable[[], Service], tmp_path: Path
) -> None:
    """The lesson is changed in the midst of a quiz: it is finished as it was begun; the next one is the new version."""
    source = tmp_path / "source"
    shutil.copytree(Path(new_service().env["MUSTER_BUNDLE"]), source)
    service = new_service()
    service.env["MUSTER_BUNDLE"] = str(source)
    service.start()
    service.muster("policy", "activate")
    service.person("vera")
    learner = Learner(service, "vera")
    learner.sign_in()
    attempt = learner.begin()
    folder = source / "modules" / LESSON
    about = yaml.safe_load((folder / "module.yaml").read_text("utf-8"))
    about["version"] = "1.1.0"
    (folder / "module.yaml").write_text(yaml.safe_dump(about, sort_keys=False, allow_unicode=True))
    quiz: Any = yaml.safe_load((folder / "quiz.yaml").read_text("utf-8"))
    for item in quiz["items"].values():
        item["ask"] = "Changed: " + item["ask"]
    (folder / "quiz.yaml").write_text(yaml.safe_dump(quiz, sort_keys=False, allow_unicode=True))
    service.muster("policy", "activate")
    assert all(not i["ask"].startswith("Changed") for i in learner.look(attempt)["items"])
    result = learner.hand_in(attempt)
    assert result["passed"]
    entry = service.call("auditor", "GET", f"/v1/ledger/entries/{result['result_id']}")
    assert '"version":"1.0.0"' in entry["payload"]
    again = learner.begin()
    assert again["version"] == "1.1.0"
    assert all(i["ask"].startswith("Changed") for i in again["items"])
