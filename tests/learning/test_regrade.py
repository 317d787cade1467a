"""A key that was wrong: the item is void, answers are counted again, and nobody loses overnight."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.demo import answers
from tests.learning.learner import LESSON, Learner
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
    keys = answers.document(LESSON, "keys.yaml")["quiz"]
    return next(str(i["id"]) for i in attempt["items"] if not keys[i["id"]].get("critical"))


def missed(attempt: Any, item: str) -> dict[str, list[str]]:
    """Right answers, but for one item."""
    given = answers.right(attempt)
    given[item] = [
        next(o["id"] for i in attempt["items"] if i["id"] == item for o in i["options"] if [o["id"]] != given[item])
    ]
    return given


def void(service: Service, item: str, want: int = 200, role: str = "author") -> Any:
    """Void an item."""
    body = {"module": LESSON, "item": item, "reason": "the key named the wrong option"}
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
