"""A learner: a person with a session, who begins, answers, and makes steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import find, strategies

from tests.demo import answers
from tests.service.running import Service

LESSON = "secure-data-export"
SCENARIO = "export-scenario"
COURSE = "secure-coding"


@dataclass(slots=True)
class Learner:
    """One person, and the service they learn at."""

    service: Service
    user: str

    @property
    def role(self) -> str:
        """The name of their token."""
        return f"learner:{self.user}"

    def sign_in(self) -> None:
        """Begin a session, as the host's backend does."""
        begun = self.service.call("app", "POST", "/v1/sessions", {"user": self.user})
        self.service.tokens[self.role] = begun["token"]

    def call(self, method: str, path: str, body: Any = None, want: int = 200, **more: Any) -> Any:
        """One request under their session."""
        return self.service.call(self.role, method, path, body, want, **more)

    def begin(self, module: str = LESSON, want: int = 200, **more: Any) -> Any:
        """Begin an attempt, or go on with the open one."""
        return self.call("POST", f"/v1/modules/{module}/attempts", more, want)

    def look(self, attempt: Any, locale: str | None = None) -> Any:
        """The attempt as it stands."""
        asked = f"?locale={locale}" if locale else ""
        return self.call("GET", f"/v1/attempts/{attempt['attempt_id']}{asked}")

    def save(self, attempt: Any, given: dict[str, list[str]], want: int = 200, save: str | None = None) -> Any:
        """Keep answers."""
        body = {"save": save or attempt["save"], "answers": given}
        return self.call("PUT", f"/v1/attempts/{attempt['attempt_id']}/draft", body, want)

    def hand_in(self, attempt: Any, given: Any = None, want: int = 200, save: str | None = None, **more: Any) -> Any:
        """Hand in; right answers where none are given."""
        body = {"save": save or attempt["save"], "answers": answers.right(attempt) if given is None else given, **more}
        return self.call("POST", f"/v1/attempts/{attempt['attempt_id']}/answers", body, want)

    def step(self, attempt: Any, at: str, answer: Any, want: int = 200) -> Any:
        """Make a step."""
        body = {"save": attempt["save"], "step": at, "answer": answer}
        return self.call("POST", f"/v1/attempts/{attempt['attempt_id']}/events", body, want)

    def fail(self, module: str = LESSON, mistakes: int = 1, **more: Any) -> Any:
        """Fail a quiz."""
        attempt = self.begin(module, **more)
        result = self.hand_in(attempt, answers.with_mistakes(attempt, mistakes))
        assert not result["passed"]
        return result

    def pass_quiz(self, module: str = LESSON, **more: Any) -> Any:
        """Pass a quiz."""
        result = self.hand_in(self.begin(module, **more))
        assert result["passed"], result
        return result

    def play(self, module: str = SCENARIO, *, passed: bool = True) -> Any:
        """Go through a scenario to an end."""
        attempt = self.begin(module)
        for place, choice in answers.way(module, passed=passed):
            attempt = self.step(attempt, place, choice)
        return attempt

    def walk(self, attempt: Any) -> Any:
        """Go through a walkthrough, each step done right."""
        steps = answers.document(attempt["module"], "walkthrough.yaml")["steps"]
        for step in steps:
            attempt = self.step(attempt, step["id"], solution(step["try"]))
        return attempt

    def read_all(self, module: str = LESSON) -> Any:
        """Open every slide."""
        slides = [s["id"] for s in self.call("GET", f"/v1/modules/{module}")["slides"]]
        return self.call("POST", f"/v1/modules/{module}/reading", {"slides": slides})


def solution(exercise: Any) -> Any:
    """What a step of a walkthrough takes: for a text, one that fits its pattern."""
    if exercise["kind"] == "many":
        return exercise["accept"]
    if exercise["kind"] == "one":
        return exercise["accept"][0]
    return fitting(exercise["pattern"])


def fitting(pattern: str) -> str:
    """A text that fits a simple pattern of classes, literals and counts."""
    return str(find(strategies.from_regex(pattern, fullmatch=True), str.isascii))
