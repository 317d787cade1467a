"""What is refused, each with its reason, and nothing is lost by it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.demo import answers
from tests.learning.learner import SCENARIO, Learner


def test_a_stale_tab_loses_and_is_told(learner: Learner) -> None:
    """Two tabs: the one that saved last goes on, the other is told to load again; both answers were kept in turn."""
    attempt = learner.begin()
    given = answers.right(attempt)
    newer = learner.save(attempt, given)
    refused = learner.save(attempt, {}, want=409)
    assert refused["reason"] == "stale-save"
    assert "nothing was lost" in refused["detail"]
    assert learner.hand_in(attempt, given, want=409)["reason"] == "stale-save"
    assert {i["id"]: i["answer"] for i in learner.look(attempt)["items"]} == given
    assert learner.hand_in(attempt, given, save=newer["save"])["passed"]


@pytest.mark.parametrize(
    "forged",
    [{"score": {"points": 4, "max": 4}}, {"passed": True}, {"points": 4}, {"tier": "certified"}, {"user": "somebody"}],
)
def test_a_forged_score_is_refused(learner: Learner, forged: dict[str, Any]) -> None:
    """A browser sends option IDs and nothing else; the attempt stays open."""
    attempt = learner.begin()
    refused = learner.hand_in(attempt, answers.with_mistakes(attempt, 4), want=400, **forged)
    assert refused["errors"][0]["pointer"] == f"/{next(iter(forged))}"
    assert learner.look(attempt)["status"] == "open"


def test_answers_have_to_fit_the_attempt(learner: Learner) -> None:
    """Another item, an unknown option, two options where one is asked, one left out: each place is named."""
    attempt = learner.begin()
    given = answers.right(attempt)
    first, second, third, fourth = (i["id"] for i in attempt["items"])
    pool = answers.document("secure-data-export", "quiz.yaml")["items"]
    other = next(i for i in pool if i not in given)
    bent = {other: ["a"], first: ["zz"], second: ["a", "b"], third: given[third]}
    refused = learner.hand_in(attempt, bent, want=400)
    places = {e["pointer"] for e in refused["errors"]}
    assert places == {f"/answers/{other}", f"/answers/{first}/0", f"/answers/{second}", f"/answers/{fourth}"}
    assert learner.hand_in(attempt, given)["passed"]


def test_an_outcome_cannot_be_reported_by_a_learner(learner: Learner) -> None:
    """A learner's token makes steps; only the host's backend reports, and only what a walkthrough waits for."""
    attempt = learner.begin(strand="walkthrough")
    path = f"/v1/attempts/{attempt['attempt_id']}/events"
    report = {"event": "export.requested", "data": {"customer": "acme", "ticket": "REQ-1", "approver": "bea"}}
    assert learner.service.http("POST", path, role=learner.role, json=report).status_code == 400
    assert learner.service.http("POST", path, role="gateway", json=report).status_code == 403
    assert learner.service.call("app", "POST", path, {**report, "event": "other"}, 400)["errors"]
    assert learner.service.call("app", "POST", path, report)["passed"] is True
    scenario = learner.begin(SCENARIO)
    other = f"/v1/attempts/{scenario['attempt_id']}/events"
    assert learner.service.call("app", "POST", other, report, 409)["reason"] == "not-reported"


def test_a_report_is_judged_by_the_modules_rule(learner: Learner) -> None:
    """What has to be there is missing, or what must not be there is there: failed, and why."""
    attempt = learner.begin(strand="walkthrough")
    path = f"/v1/attempts/{attempt['attempt_id']}/events"
    data = {"customer": "acme", "ticket": "REQ-1", "secret_columns": ["api_key"]}
    told = learner.service.call("app", "POST", path, {"event": "export.requested", "data": data})
    assert told["passed"] is False
    assert told["reported"] == {"event": "export.requested", "missing": ["approver"], "surplus": ["secret_columns"]}


def test_anothers_attempt_is_refused(new_learner: Callable[..., Learner]) -> None:
    """Reading, saving, handing in, stepping: not with somebody else's session."""
    owner, other = new_learner("owner"), new_learner("other")
    attempt = owner.begin()
    path = f"/v1/attempts/{attempt['attempt_id']}"
    body = {"save": attempt["save"], "answers": answers.right(attempt)}
    for method, where, sent in (
        ("GET", path, None),
        ("PUT", f"{path}/draft", body),
        ("POST", f"{path}/answers", body),
        ("POST", f"{path}/events", {"save": attempt["save"], "step": "x", "answer": "a"}),
    ):
        assert other.call(method, where, sent, want=403)["title"] == "You may not call this"
    assert owner.hand_in(attempt)["passed"]


def test_a_skipped_step_is_refused(learner: Learner) -> None:
    """A later state, an unknown choice, an old save: the scenario stays where it is."""
    attempt = learner.begin(SCENARIO)
    way = answers.way(SCENARIO)
    assert learner.step(attempt, way[-1][0], way[-1][1], want=409)["reason"] == "skipped-step"
    assert learner.step(attempt, way[0][0], "zz", want=400)["errors"][0]["pointer"] == "/answer"
    gone = learner.step(attempt, *way[0])
    assert learner.step(attempt, *way[1], want=409)["reason"] == "stale-save"
    assert learner.look(attempt)["situation"]["id"] == way[1][0]
    assert learner.hand_in(gone, {}, want=409)["reason"] == "not-a-quiz"


def test_a_session_is_for_learning_and_nothing_else(learner: Learner) -> None:
    """No decision, no ledger, no directory, no gates, no token, nobody else's training."""
    user = learner.user
    for method, path, body in (
        ("POST", "/v1/decisions", {"subject": {"type": "user", "id": user}, "action": {"name": "data-export"},
                                   "resource": {"type": "dataset", "id": "customers"}}),
        ("GET", "/v1/ledger/entries", None),
        ("GET", "/v1/ledger/head", None),
        ("GET", f"/v1/subjects/{user}", None),
        ("GET", "/v1/gates", None),
        ("GET", "/v1/tokens", None),
        ("POST", "/v1/sessions", {"user": user}),
        ("POST", "/v1/regrades", {"module": "secure-data-export", "item": "x", "reason": "x"}),
        ("PUT", f"/v1/accommodations/{user}", {"time": 50, "reason": "x"}),
        ("GET", "/v1/training?user=somebody", None),
        ("GET", "/v1/statements", None),
        ("GET", "/v1/is-certified?user=somebody&scope=data-export", None),
    ):  # fmt: skip
        answer = learner.service.http(method, path, role=learner.role, json=body)
        assert answer.status_code == 403, f"{method} {path}: {answer.status_code}"


def test_a_session_is_bound_to_its_origin_and_its_person(learner: Learner) -> None:
    """Another site's page cannot use it; a person who is deactivated has none; a revoked one is refused at once."""
    service = learner.service
    begun = service.call("app", "POST", "/v1/sessions", {"user": learner.user, "origin": "https://host.example"})
    headers = {"Authorization": f"Bearer {begun['token']}"}
    for origin, status in (("https://host.example", 200), ("https://evil.example", 401)):
        answer = service.http("GET", "/v1/training", headers={**headers, "Origin": origin})
        assert answer.status_code == status
    service.call("admin", "DELETE", f"/v1/tokens/{begun['id']}")
    assert service.http("GET", "/v1/training", headers=headers).status_code == 401
    service.person(learner.user, active=False)
    assert service.call("app", "POST", "/v1/sessions", {"user": learner.user}, 409)["reason"] == "inactive"
    assert service.http("GET", "/v1/training", role=learner.role).status_code == 401
    service.call("app", "POST", "/v1/sessions", {"user": "nobody-at-all"}, 404)


def test_a_key_that_was_used_for_another_request_is_refused(learner: Learner) -> None:
    """An Idempotency-Key answers the same request the same, and refuses any other."""
    attempt = learner.begin()
    path = f"/v1/attempts/{attempt['attempt_id']}/draft"
    given = answers.right(attempt)
    body = {"save": attempt["save"], "answers": given}
    key = {"Idempotency-Key": "k1"}
    first = learner.call("PUT", path, body, headers=key)
    assert learner.call("PUT", path, body, headers=key) == first
    learner.call("PUT", path, {**body, "answers": {}}, want=409, headers=key)


def test_what_is_not_there(learner: Learner) -> None:
    """An unknown module, strand, attempt or language says so."""
    learner.begin("no-such-module", want=404)
    assert "quiz" in learner.begin(strand="scenario", want=404)["detail"]
    assert learner.begin(locale="fr", want=400)["errors"][0]["detail"].endswith("de, en")
    learner.call("GET", "/v1/attempts/01a20993-9b23-771b-a4b9-a0d431ef4878", want=404)
    learner.call("POST", "/v1/modules/secure-data-export/reading", {"slides": ["no-such-slide"]}, want=400)
