"""A key that was wrong: the item is void, answers are counted again, and nobody loses overnight."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from engine.credentials.status import Revocations
from ledger.sqlite import SqliteReader
from tests.demo import answers
from tests.learning.learner import COURSE, LESSON, Learner
from tests.service.running import Service, instant


@pytest.fixture
def own(new_service: Callable[[], Service]) -> Service:
    """A service of the test's own: a void item is void for everybody."""
    return new_service().start()


def learner_of(service: Service, user: str) -> Learner:
    """A person with a session."""
    service.person(user)
    learner = Learner(service, user)
    learner.sign_in()
    return learner


def harmless(attempt: Any) -> str:
    """An item of an attempt that is not critical."""
    keys = answers.document(attempt["module"], "keys.yaml")["quiz"]
    return next(str(i["id"]) for i in attempt["items"] if not keys[i["id"]].get("critical"))


def missed(attempt: Any, item: str) -> dict[str, list[str]]:
    """Right answers, but for one item."""
    given = answers.right(attempt)
    given[item] = [
        next(o["id"] for i in attempt["items"] if i["id"] == item for o in i["options"] if [o["id"]] != given[item])
    ]
    return given


def void(service: Service, item: str, want: int = 200, role: str = "author", module: str = LESSON) -> Any:
    """Void an item."""
    body = {"module": module, "item": item, "reason": "the key named the wrong option"}
    return service.call(role, "POST", "/v1/regrades", body, want)


def test_upward_at_once(own: Service) -> None:
    """Failed by a void item: passed as of the day of the attempt, completed, both results in the log."""
    learner = learner_of(own, "uma")
    attempt = learner.begin()
    item = harmless(attempt)
    first = learner.hand_in(attempt, missed(attempt, item))
    assert not first["passed"]
    told = void(own, item)
    [again] = told["regraded"]
    assert (again["user"], again["verdict"]) == ("uma", "passed")
    assert again["score"] == {"points": 3, "max": 3, "percent": 100}
    shown = learner.look(attempt)
    assert shown["status"] == "passed"
    assert shown["result"]["tier"] == "completed"
    assert [c["scope"] for c in shown["result"]["certifications"]] == ["data-export"]
    results = [e for e in learner.call("GET", "/v1/training")["history"] if e["kind"] == "result"]
    assert [r["passed"] for r in results] == [True, False]
    assert results[0]["occurred_at"] == results[1]["occurred_at"]
    assert learner.play()["result"]["certifications"][-1]["tier"] == "certified"
    assert own.decide("uma")["allow"]
    own.muster("ledger", "verify")
    own.muster("replay")


def test_sent_again_it_is_one_regrade(own: Service) -> None:
    """The same void twice: one entry for the item, one for each attempt."""
    learner = learner_of(own, "ugo")
    attempt = learner.begin()
    item = harmless(attempt)
    learner.hand_in(attempt, missed(attempt, item))
    first = void(own, item)
    size = own.call("auditor", "GET", "/v1/ledger/head")["size"]
    assert void(own, item)["voided"] == first["voided"]
    assert own.call("auditor", "GET", "/v1/ledger/head")["size"] == size


def test_a_void_item_is_not_drawn_again(own: Service) -> None:
    """Of a pool of eight seven are left, and never the void one."""
    item = harmless(learner_of(own, "vi").begin())
    void(own, item)
    for number in range(6):
        assert item not in {i["id"] for i in learner_of(own, f"vi-{number}").begin()["items"]}


def test_downward_only_after_review_with_a_day_of_grace(own: Service) -> None:
    """A pass that leans on void items is pending and stands; after review by another person it ends on its day."""
    learner = learner_of(own, "dora")
    attempt = learner.begin()
    assert learner.hand_in(attempt)["passed"]
    learner.play()
    assert own.decide("dora")["allow"]
    for item in attempt["items"]:
        told = void(own, item["id"])
    # Every item is void: nothing is left that could be a pass.
    pending = [r for r in told["regraded"] if r["user"] == "dora"]
    assert [r["verdict"] for r in pending] == ["pending"]
    assert own.decide("dora")["allow"], "what was earned stands until somebody has looked"
    result = pending[0]["result_id"]
    until = instant(timedelta(days=20))
    body = {"until": until, "reason": "reviewed with the owner of the lesson"}
    own.call("author", "POST", f"/v1/results/{result}/lowering", body, 403)
    own.call("admin", "POST", f"/v1/results/{result}/lowering", {**body, "until": instant(-timedelta(days=1))}, 400)
    assert own.call("admin", "POST", f"/v1/results/{result}/lowering", body)["until"] == until
    answer = own.decide("dora")
    assert answer["allow"]
    assert answer["valid_until"] <= until, "the gate knows the day on which it ends"
    own.muster("ledger", "verify")
    own.muster("replay")


def through(learner: Learner, *, fails_last: bool = False) -> Any:
    """The course from beginning to end, its last quiz maybe failed by one item; returns (that attempt, the item)."""
    parts = answers.document(COURSE, "course.yaml")["parts"]
    for part in parts:
        if part["kind"] == "lesson":
            learner.call("POST", f"/v1/modules/{COURSE}/reading", {"slides": part["slides"]})
        elif part["kind"] == "walkthrough":
            learner.walk(learner.begin(COURSE, strand=part["id"]))
        elif part is parts[-1]:
            attempt = learner.begin(COURSE, strand=part["id"])
            item = harmless(attempt)
            learner.hand_in(attempt, missed(attempt, item) if fails_last else None)
            return attempt, item
        else:
            learner.pass_quiz(COURSE, strand=part["id"])
    raise AssertionError("the last part is a quiz")


def course_of(service: Service, user: str) -> Any:
    """What is known of the course of a person."""
    return service.call("admin", "GET", f"/v1/subjects/{user}")["modules"].get(COURSE)


def test_upward_completes_the_course(own: Service) -> None:
    """Whose last quiz failed by a void item has completed the course, and is not left with nothing to do."""
    learner = learner_of(own, "cleo")
    _, item = through(learner, fails_last=True)
    assert course_of(own, "cleo") is None
    [again] = void(own, item, module=COURSE)["regraded"]
    assert again["verdict"] == "passed"
    history = learner.call("GET", "/v1/training")["history"]
    [course] = [e for e in history if e["kind"] == "result" and e["source"] == "course"]
    assert course_of(own, "cleo")["completed"]["evidence"] == course["id"]
    own.muster("ledger", "verify")


def test_downward_takes_the_course_along(own: Service) -> None:
    """A part of a course that is lowered ends the course's fact, and its badge is revoked from that day on."""
    learner = learner_of(own, "cora")
    attempt, _ = through(learner)
    for item in attempt["items"]:
        told = void(own, item["id"], module=COURSE)
    [pending] = [r for r in told["regraded"] if r["user"] == "cora"]
    until = instant(timedelta(days=20))
    body = {"until": until, "reason": "reviewed with the owner of the course"}
    own.call("admin", "POST", f"/v1/results/{pending['result_id']}/lowering", body)
    fact = course_of(own, "cora")["completed"]
    assert fact["until"] == until
    own.muster("ledger", "verify")
    with contextlib.closing(SqliteReader(own.home / "ledger.db")) as reader:
        course = reader.entry("default", fact["evidence"])
        assert course is not None
        found = Revocations()
        assert not found.revoked(reader, "default", course.index, instant())
        assert found.revoked(reader, "default", course.index, until)
        before, after = (found.encoded(reader, "default", 0, when) for when in (instant(), until))
        assert before != after


def test_a_newer_pass_is_not_lowered_with_an_older(own: Service) -> None:
    """What was earned again with another pass since then stands."""
    learner = learner_of(own, "nina")
    attempt = learner.begin()
    assert learner.hand_in(attempt)["passed"]
    learner.play()
    newer = learner.begin()
    voided = [i["id"] for i in attempt["items"] if i["id"] not in {n["id"] for n in newer["items"]}]
    assert voided, "the second paper has other items"
    assert learner.hand_in(newer)["passed"]
    learner.play()
    for item in attempt["items"]:
        told = void(own, item["id"])
    result = next(r for r in told["regraded"] if r["user"] == "nina" and r["attempt_id"] == attempt["attempt_id"])
    until = instant(timedelta(days=20))
    own.call("admin", "POST", f"/v1/results/{result['result_id']}/lowering", {"until": until, "reason": "reviewed"})
    answer = own.decide("nina")
    assert answer["allow"]
    assert answer["valid_until"] > until, "it leans on the newer pass"


def test_nobody_reviews_what_they_voided(own: Service) -> None:
    """Two persons: whoever voided the item cannot lower the result, whatever token they use."""
    learner = learner_of(own, "nora")
    attempt = learner.begin()
    learner.hand_in(attempt)
    for item in attempt["items"]:
        told = void(own, item["id"], role="admin")
    [pending] = [r for r in told["regraded"] if r["user"] == "nora"]
    body = {"until": instant(timedelta(days=20)), "reason": "by myself"}
    refused = own.call("admin", "POST", f"/v1/results/{pending['result_id']}/lowering", body, 409)
    assert refused["reason"] == "same-person"


def test_who_may_void(own: Service) -> None:
    """Authors and admins; an unknown item or module names its place."""
    learner = learner_of(own, "willa")
    learner.call("POST", "/v1/regrades", {"module": LESSON, "item": "x", "reason": "x"}, want=403)
    void(own, "x", role="gateway", want=403)
    assert void(own, "no-such-item", want=400)["errors"][0]["pointer"] == "/item"
    own.call("author", "POST", "/v1/regrades", {"module": "no-such", "item": "x", "reason": "x"}, 404)
