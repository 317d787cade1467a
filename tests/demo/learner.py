"""The part of the story that a learner plays: denied, failed, passed, still denied, the scenario, allowed."""

from __future__ import annotations

from typing import Any

from tests.demo import answers
from tests.demo.story import LESSON, SCENARIO, Story, codes, expect, export

STEPS = 3
"""A scenario that can be passed in fewer steps proves nothing."""


def session(story: Story) -> None:
    """The host's backend begins a session for its signed-in user."""
    begun = story.call("app", "POST", "/v1/sessions", {"user": story.engineer})
    story.tokens["learner"] = begun["token"]


def failed(story: Story) -> None:
    """One wrong answer of four: failed, and told what to read again, never which option was right."""
    session(story)
    lesson = story.call("learner", "GET", f"/v1/modules/{LESSON}")
    slides = [slide["id"] for slide in lesson["slides"]]
    story.call("learner", "POST", f"/v1/modules/{LESSON}/reading", {"slides": slides})
    attempt = begin(story, LESSON)
    expect(attempt["needs"] == {"right": 4, "of": 4}, f"80 % of four items is four of four, not {attempt['needs']}")
    wrong = answers.with_mistakes(attempt, 1)
    result = hand_in(story, attempt, wrong)
    expect(
        not result["passed"] and result["score"] == {"points": 3, "max": 4, "percent": 75}, "3 of 4 was not a failure"
    )
    reread = result["feedback"]["reread"]
    expect(
        len(reread) == 1 and reread[0]["policy"] in ("POL-DA-003", "POL-DATA-RES-002"), "not told what to read again"
    )
    told = str(result) + str(story.call("learner", "GET", f"/v1/attempts/{attempt['attempt_id']}"))
    expect(
        "'right'" not in told.replace("'needs': {'right'", "") and "why" not in told, "a failure tells what was right"
    )
    expect(codes(export(story)) == {"export-training"}, "a failed quiz opened the gate")


def passed(story: Story) -> None:
    """All four right: completed, and still denied, since the gate asks for proficient."""
    attempt = begin(story, LESSON)
    result = hand_in(story, attempt, answers.right(attempt))
    expect(result["passed"] and result["tier"] == "completed", "four of four did not pass")
    expect(bool(result["feedback"]["items"]), "who passed is not told why")
    again = hand_in(story, attempt, answers.right(attempt))
    expect(again["result_id"] == result["result_id"], "handed in twice, it is two results")
    answer = export(story)
    expect(codes(answer) == {"export-training"}, "completed was enough where proficient is asked")
    required = story.call("app", "GET", f"/v1/next-required-training?user={story.engineer}&action=data-export")[
        "required"
    ]
    expect([r["module"] for r in required] == [SCENARIO], "what is left is another module than the scenario")


def scenario(story: Story) -> None:
    """The scenario, step by step, held by the server: proficient, certified, and allowed on the very next call."""
    attempt = begin(story, SCENARIO)
    way = answers.way(SCENARIO)
    expect(len(way) >= STEPS, f"the scenario can be passed in {len(way)} steps, which proves nothing")
    place = attempt["situation"]["id"]
    skipped = {"save": attempt["save"], "step": way[-1][0], "answer": way[-1][1]}
    story.call("learner", "POST", f"/v1/attempts/{attempt['attempt_id']}/events", skipped, want=409)
    reported = {"event": "export.requested", "data": {"customer": "acme"}}
    story.call("learner", "POST", f"/v1/attempts/{attempt['attempt_id']}/events", reported, want=400)
    for place, choice in way:
        expect(attempt["situation"]["id"] == place, "the scenario stands somewhere else")
        step = {"save": attempt["save"], "step": place, "answer": choice}
        attempt = story.call("learner", "POST", f"/v1/attempts/{attempt['attempt_id']}/events", step)
    result = attempt["result"]
    expect(attempt["status"] == "passed" and result["tier"] == "proficient", "the scenario was not passed")
    tiers = [c["tier"] for c in result["certifications"]]
    expect(tiers == ["proficient", "certified"], f"it earned {tiers}")
    expect(export(story)["allow"], "certified, and denied on the very next call")


def credentials(story: Story) -> None:
    """What the learner takes along: a badge that anybody can check, and My training."""
    mine = story.call("learner", "GET", "/v1/training")
    held = next(s for s in mine["scopes"] if s["scope"] == "data-export")
    expect(held["status"] == "valid", f"the chip says {held['status']}")
    badge = story.http.get(
        f"/v1/badges/{held['evidence'][0]}", headers={"Authorization": f"Bearer {story.tokens['learner']}"}
    ).text
    print(f"\n  GET /v1/badges/{held['evidence'][0]}   (as learner)\n  < {badge[:60]}...")
    checked = story.http.post("/v1/badges/verification", json={"badge": badge}).json()
    expect(checked["standing"] == "valid", f"the badge is {checked}")


def begin(story: Story, module: str) -> Any:
    """Begin an attempt."""
    return story.call("learner", "POST", f"/v1/modules/{module}/attempts", {})


def hand_in(story: Story, attempt: Any, given: dict[str, list[str]]) -> Any:
    """Hand in a quiz."""
    body = {"save": attempt["save"], "answers": given}
    return story.call("learner", "POST", f"/v1/attempts/{attempt['attempt_id']}/answers", body)
