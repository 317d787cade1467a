"""An attempt from its first byte to what it earns."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from tests.demo import answers
from tests.learning.learner import LESSON, SCENARIO, Learner
from tests.service.running import Service


def test_pass_and_the_very_next_call_is_allowed(learner: Learner) -> None:
    """Quiz, then scenario: denied, denied, allowed; and revoked, denied on the very next."""
    decide = learner.service.decide
    assert not decide(learner.user)["allow"]
    quiz = learner.pass_quiz()
    assert quiz["tier"] == "completed"
    assert quiz["certification"]["scope"] == "data-export"
    assert not decide(learner.user)["allow"]
    ended = learner.play()
    assert ended["status"] == "passed"
    assert [c["tier"] for c in ended["result"]["certifications"]] == ["proficient", "certified"]
    answer = decide(learner.user)
    assert answer["allow"]
    certified = ended["result"]["certifications"][-1]["id"]
    learner.service.call("admin", "POST", f"/v1/certifications/{certified}/revocation", {"reason": "test"})
    assert not decide(learner.user)["allow"]


def test_an_attempt_is_pinned_and_tells_no_answer(learner: Learner) -> None:
    """Version, digest, locale, items and their order are in the log from the first byte; the key is nowhere."""
    attempt = learner.begin()
    assert attempt["needs"] == {"right": 4, "of": 4}
    assert len(attempt["items"]) == 4
    assert attempt["status"] == "open"
    assert learner.begin()["attempt_id"] == attempt["attempt_id"], "one open attempt a person and module"
    entry = learner.service.call("auditor", "GET", f"/v1/ledger/entries/{attempt['attempt_id']}")
    assert '"event":"opened"' in entry["payload"]
    assert attempt["digest"] in entry["payload"]
    policies = {answers.document(LESSON, "quiz.yaml")["items"][i["id"]]["policy"] for i in attempt["items"]}
    assert policies == {"POL-DA-003", "POL-DATA-RES-002"}, "at least one item of each policy"


def test_unseen_items_come_first(learner: Learner) -> None:
    """A pool of eight, four drawn: the second paper has the other four, the third begins anew."""
    learner.service.call("admin", "PUT", f"/v1/accommodations/{learner.user}", {"tries": 9, "reason": "test"})
    papers = []
    for _ in range(3):
        attempt = learner.begin()
        papers.append({i["id"] for i in attempt["items"]})
        learner.hand_in(attempt, answers.with_mistakes(attempt, 4))
    assert not papers[0] & papers[1]
    assert len(papers[2]) == 4


def test_what_was_saved_is_there_after_a_restart(new_service: Callable[[], Service]) -> None:
    """Killed between a save and the next page: the answers are there, in either language, and count."""
    service = new_service().start()
    learner = Learner(service, "ida")
    service.person("ida")
    learner.sign_in()
    attempt = learner.begin()
    given = answers.right(attempt)
    first = dict(list(given.items())[:2])
    saved = learner.save(attempt, first)
    service.kill()
    service.start()
    shown = learner.look(attempt, "de")
    assert shown["locale"] == "de"
    assert shown["save"] == saved["save"]
    assert {i["id"]: i["answer"] for i in shown["items"] if i["answer"]} == first
    assert [i["id"] for i in shown["items"]] == [i["id"] for i in attempt["items"]]
    assert learner.hand_in(shown, given)["passed"]
    service.muster("ledger", "verify")
    service.muster("replay")


def test_handed_in_twice_is_one_result(learner: Learner) -> None:
    """Eight tabs at once: one result, whoever asks; other answers afterwards are refused, and change nothing."""
    attempt = learner.begin()
    given = answers.right(attempt)
    results: list[Any] = []

    def submit() -> None:
        body = {"save": attempt["save"], "answers": given}
        path = f"/v1/attempts/{attempt['attempt_id']}/answers"
        results.append(learner.service.http("POST", path, role=learner.role, json=body))

    threads = [threading.Thread(target=submit) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {r.status_code for r in results} == {200}, [r.text for r in results]
    assert len({r.json()["result_id"] for r in results}) == 1
    refused = learner.hand_in(attempt, answers.with_mistakes(attempt, 1), want=409)
    assert refused["reason"] == "closed"
    history = learner.call("GET", "/v1/training")["history"]
    assert sum(e["kind"] == "result" for e in history) == 1


def test_failing_teaches_without_telling(learner: Learner) -> None:
    """Which policy and slide to read again, and nothing else; after passing, every reason."""
    result = learner.fail(mistakes=2)
    assert set(result["feedback"]) == {"said", "reread"}
    for place in result["feedback"]["reread"]:
        assert place["policy"] in ("POL-DA-003", "POL-DATA-RES-002")
        assert place["title"]
    passed = learner.pass_quiz()
    assert passed["attempt"] == 2
    assert all(item["right"] and item["why"] for item in passed["feedback"]["items"])


def test_a_scenario_that_fails_says_what_to_read(learner: Learner) -> None:
    """A failed end has a consequence, a policy and a slide; nothing was earned."""
    ended = learner.play(passed=False)
    assert ended["status"] == "failed"
    assert ended["situation"] is None
    assert ended["result"]["certifications"] == []
    assert ended["result"]["feedback"]["reread"][0]["module"] == LESSON
    assert not learner.service.decide(learner.user)["allow"]


def test_the_result_is_structured_and_in_the_log(learner: Learner) -> None:
    """Person, persona, tracks, module and version, points, attempts, times, items, scopes, evidence links."""
    attempt = learner.begin()
    result = learner.hand_in(attempt, active_ms=1500)
    entry = learner.service.call("auditor", "GET", f"/v1/ledger/entries/{result['result_id']}")
    value: dict[str, Any] = __import__("json").loads(entry["payload"])
    assert value["person"] == {"type": "user", "id": learner.user}
    assert value["persona"] == "engineers"
    assert "engineers/advanced" in value["tracks"]
    assert (value["module"], value["version"], value["tier"]) == (LESSON, "1.0.0", "completed")
    assert value["score"] == {"points": 4, "max": 4, "percent": 100}
    assert value["attempts"] == 1
    assert value["active_seconds"] <= value["seconds"] + 1
    assert set(value["items"]) == {i["id"] for i in attempt["items"]}
    assert value["scopes"] == ["data-export"]
    assert value["policy_ids"] == ["POL-DA-003", "POL-DATA-RES-002"]
    assert value["evidence_links"] == [attempt["attempt_id"]]
    assert value["flags"] == ["fast"], "three seconds an item are needed to read it: a flag, never a failure"
    assert value["tested_out"] is True, "the lesson was not opened"


def test_who_read_the_lesson_did_not_test_out(learner: Learner) -> None:
    """Testing out is recorded as such, and reading as well."""
    learner.read_all()
    assert learner.begin()["tested_out"] is False


def test_a_walkthrough_is_practice_step_by_step(learner: Learner) -> None:
    """Each step as data; a wrong one gives no progress, the last one ends it, and it proves nothing."""
    attempt = learner.begin(strand="walkthrough")
    first = attempt["current"]
    assert first["target"]["muster"]
    exercise = answers.document(LESSON, "walkthrough.yaml")["steps"][0]["try"]
    wrong = next(o for o in exercise["options"] if o not in exercise["accept"])
    hint = learner.step(attempt, first["id"], wrong)
    assert hint["accepted"] is False
    assert hint["step"] == 1
    ended = learner.walk(attempt)
    assert ended["status"] == "passed"
    assert ended["result"]["tier"] is None
    assert learner.service.call("admin", "GET", f"/v1/subjects/{learner.user}")["modules"] == {}


def test_next_required_training_is_a_path(learner: Learner) -> None:
    """The quiz and then the scenario, with minutes; what is passed is not named again."""
    path = f"/v1/next-required-training?user={learner.user}&action=data-export"
    asked = learner.call("GET", path)
    assert [r["module"] for r in asked["required"]] == [LESSON, SCENARIO]
    assert asked["minutes"] == sum(r["minutes"] for r in asked["required"])
    learner.pass_quiz()
    assert [r["module"] for r in learner.call("GET", path)["required"]] == [SCENARIO]
    learner.play()
    assert learner.call("GET", path)["required"] == []
