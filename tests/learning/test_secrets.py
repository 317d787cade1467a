"""Every byte that a learner can fetch before passing is recorded, and no key is in it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.demo import answers
from tests.learning.learner import LESSON, SCENARIO, Learner

REVEALING = {"right", "say", "why", "points", "critical", "partial", "accept", "pattern", "to", "ends", "passed"}
"""Names of fields that only a key has."""
ALLOWED = ("needs/right", "score/points", "/passed", "situation/say", "current/say")
LISTS = ("/history/", "/due/", "/required/")
"""Where they mean something else: how many have to be right, one's own points and verdict, what is seen now."""


class Recorder:
    """A learner's eyes: everything that came back, by where it came from."""

    def __init__(self, learner: Learner) -> None:
        self.learner = learner
        self.seen: dict[str, str] = {}

    def fetch(self, method: str, path: str, body: Any = None, headers: Any = None) -> Any:
        """One request, whatever it answers; its bytes are kept, headers included."""
        answer = self.learner.service.http(method, path, role=self.learner.role, json=body, headers=headers or {})
        self.seen[f"{method} {path} {len(self.seen)}"] = f"{answer.headers}\n{answer.text}"
        try:
            return answer.json()
        except ValueError:
            return None


def modules() -> list[Path]:
    """The folders of all modules."""
    return sorted(p for p in (answers.source() / "modules").iterdir())


def secrets_of(module: str) -> Iterator[tuple[str, str]]:
    """The texts of a module that nobody may see before passing: (what, text)."""
    folder = answers.source() / "modules" / module
    for path in sorted(folder.rglob("keys.yaml")):
        for item, key in answers.document(module, str(path.relative_to(folder)))["quiz"].items():
            yield from ((f"why {item}.{option} ({path.parent.name})", text) for option, text in key["say"].items())
    for path in sorted(folder.rglob("scenario.yaml")):
        graph = answers.document(module, str(path.relative_to(folder)))
        yield from ((f"end {name}", end["say"]) for name, end in graph["ends"].items())
        yield from ((f"state {n}", s["say"]) for n, s in graph["states"].items() if n != _start(module))


def _start(module: str) -> str:
    return str(answers.document(module, "scenario.yaml")["start"])


def revealing(value: Any, path: str = "") -> Iterator[str]:
    """Where a JSON value has a field that only a key has."""
    if isinstance(value, dict):
        for name, inner in value.items():
            here = f"{path}/{name}"
            if name in REVEALING and not here.endswith(ALLOWED) and not here.startswith(LISTS):
                yield here
            yield from revealing(inner, here)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from revealing(inner, f"{path}/{index}")


def plain(text: str) -> str:
    """A text as it may stand in JSON, HTML or Markdown: its words alone."""
    unescaped = re.sub(r"\\u([0-9a-f]{4})", lambda m: chr(int(m[1], 16)), text)
    return re.sub(r"[\W_]+", " ", re.sub(r"&#?\w+;|<[^>]*>", " ", unescaped)).casefold()


@pytest.fixture
def recorder(new_learner: Callable[..., Learner]) -> Recorder:
    """A learner whose every byte is recorded."""
    return Recorder(new_learner("eyes"))


def test_no_byte_before_passing_reveals_an_answer(recorder: Recorder) -> None:
    """Lessons, attempts in every language, saves, failures, mistakes, My training, every GET there is."""
    user = recorder.learner.user
    for folder in modules():
        for locale in ("en", "de"):
            recorder.fetch("GET", f"/v1/modules/{folder.name}?locale={locale}")
        attempt = recorder.fetch("POST", f"/v1/modules/{folder.name}/attempts", {})
        if not attempt or "attempt_id" not in attempt:
            continue
        path = f"/v1/attempts/{attempt['attempt_id']}"
        recorder.fetch("GET", f"{path}?locale=de")
        if attempt["kind"] == "quiz":
            wrong = answers.with_mistakes(attempt, len(attempt["items"]))
            recorder.fetch("PUT", f"{path}/draft", {"save": attempt["save"], "answers": wrong})
            recorder.fetch("PUT", f"{path}/draft", {"save": attempt["save"], "answers": wrong})
            recorder.fetch("POST", f"{path}/answers", {"save": "x", "answers": {}})
            newest = recorder.fetch("GET", path)
            recorder.fetch("POST", f"{path}/answers", {"save": newest["save"], "answers": wrong})
            recorder.fetch("GET", path)
        else:
            recorder.fetch("POST", f"{path}/events", {"save": attempt["save"], "step": "zz", "answer": "zz"})
    described = recorder.fetch("GET", "/openapi.json")
    for route, methods in described["paths"].items():
        if "get" in methods:
            filled = route.replace("{user}", user).replace("{module}", LESSON).replace("{tenant}", "default")
            filled = filled.replace("{number}", "0")
            recorder.fetch("GET", re.sub(r"\{\w+\}", "01a20993-9b23-771b-a4b9-a0d431ef4878", filled))
    for path in ("/v1/training", f"/v1/next-required-training?user={user}&action=data-export",
                 f"/v1/is-certified?user={user}&scope=data-export"):  # fmt: skip
        recorder.fetch("GET", path)
    everything = {where: plain(text) for where, text in recorder.seen.items()}
    secrets = [(f.name, what, plain(text)) for f in modules() for what, text in secrets_of(f.name)]
    assert len(secrets) > 100, "there are keys to look for"
    found = [(m, what, where) for m, what, s in secrets for where, text in everything.items() if s in text]
    assert not found
    for where, text in recorder.seen.items():
        if "/openapi.json" not in where:
            body = text.partition("\n")[2]
            named = list(revealing(json.loads(body))) if body.startswith(("{", "[")) else []
            assert not named, where


def test_the_recorder_would_find_a_key(recorder: Recorder) -> None:
    """After passing, the reasons are told: what finds nothing above does find them here."""
    recorder.learner.pass_quiz()
    passed = recorder.learner.begin()
    recorder.fetch("POST", f"/v1/attempts/{passed['attempt_id']}/answers",
                   {"save": passed["save"], "answers": answers.right(passed)})  # fmt: skip
    texts = [plain(t) for t in recorder.seen.values()]
    assert any(plain(text) in t for _, text in secrets_of(LESSON) for t in texts)
    assert any(list(revealing(json.loads(t.partition("\n")[2]))) for t in recorder.seen.values())


def test_where_a_right_answer_stands_is_chance(new_learner: Callable[..., Learner]) -> None:
    """Options are shuffled by the attempt's own seed: no position is right more often than chance allows."""
    places = [0, 0, 0, 0]
    for _ in range(40):
        attempt = new_learner("chance").begin()
        right = answers.right(attempt)
        for item in attempt["items"]:
            [correct] = right[item["id"]]
            places[[o["id"] for o in item["options"]].index(correct)] += 1
    total = sum(places)
    assert total == 160
    assert max(places) < total / 4 + 4 * (total * 3 / 16) ** 0.5, places


def test_a_scenario_shows_one_state_at_a_time(recorder: Recorder) -> None:
    """Of what comes later nothing is there before the step that leads to it."""
    attempt = recorder.learner.begin(SCENARIO)
    graph = answers.document(SCENARIO, "scenario.yaml")
    told = plain(json.dumps(attempt, ensure_ascii=False))
    assert plain(graph["states"][attempt["situation"]["id"]]["say"]) in told
    others = [s["say"] for name, s in graph["states"].items() if name != attempt["situation"]["id"]]
    assert not [o for o in others if plain(o) in told]
    assert {c["id"] for c in attempt["situation"]["choices"]} == set(graph["states"][graph["start"]]["choices"])
