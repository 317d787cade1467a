"""The models of a module's files beside `module.yaml`: what is asked, what is right, and how it goes on.

`quiz.yaml` is what a learner may see, `keys.yaml` what nobody sees before they passed; `scenario.yaml` is secret as a
whole, since where a choice leads is the answer. What one file says of another is checked in `engine.content.check`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from engine.bundling.models import Id, PolicyId, Strict, Text, Wait
from engine.content import patterns

Anchor = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=64)]
Option = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=32)]
Options = Annotated[dict[Option, Text], Field(min_length=2, max_length=10)]


class Item(Strict):
    """A question as the learner sees it. `slide` is what is read again by whoever missed it."""

    policy: PolicyId
    outcome: Id
    slide: Anchor
    part: Id | None = None
    many: bool = False
    ask: Text
    options: Options


class Quiz(Strict):
    """quiz.yaml: the pool."""

    items: dict[Anchor, Item] = Field(min_length=1, max_length=200)


class Key(Strict):
    """What is right, why each option is or is not, and what the item weighs."""

    right: list[Option] = Field(min_length=1, max_length=10)
    say: dict[Option, Text]
    points: Annotated[int, Field(ge=1, le=10)] = 1
    critical: bool = False
    partial: bool = False


class Keys(Strict):
    """keys.yaml"""

    quiz: dict[Anchor, Key]


class Choice(Strict):
    """One way on from a state."""

    text: Text
    to: Anchor


class Situation(Strict):
    """A state of a scenario: what is seen, and what can be done."""

    outcome: Id
    say: Text
    choices: dict[Option, Choice] = Field(min_length=1, max_length=6)


class Reread(Strict):
    """A slide of a lesson."""

    module: Id
    slide: Anchor


class End(Strict):
    """How a scenario can end; after a failed one there is something to read."""

    passed: bool
    say: Text
    policy: PolicyId | None = None
    read: Reread | None = None

    @model_validator(mode="after")
    def _says_what_to_read(self) -> End:
        if not self.passed and (self.policy is None or self.read is None):
            raise ValueError("a failed end names the policy and the slide to read again (policy, read)")
        return self


class Scenario(Strict):
    """scenario.yaml: a state machine, held by the server."""

    start: Anchor
    states: dict[Anchor, Situation] = Field(min_length=1, max_length=60)
    ends: dict[Anchor, End] = Field(min_length=1, max_length=30)


class Target(Strict):
    """Where a step points to in the product: `data-muster-target` first, a CSS selector as the last resort."""

    muster: Id
    css: Text | None = None


class Until(Strict):
    """What ends a step in the product."""

    change: Id | None = None
    click: Id | None = None

    @model_validator(mode="after")
    def _one(self) -> Until:
        if (self.change is None) == (self.click is None):
            raise ValueError("name either change or click")
        return self


class Missing(Strict):
    """What is done where the target is not there: stop in words, skip the step, or show it as text."""

    wait: Wait
    then: Literal["stop", "skip", "text"] = "stop"
    text: Text


class Exercise(Strict):
    """A step as it can be tried on Muster's own page: a choice, several, or a text of a form."""

    kind: Literal["one", "many", "text"]
    label: Text
    options: Options | None = None
    accept: list[Option] | None = None
    pattern: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    hint: Text

    @model_validator(mode="after")
    def _whole(self) -> Exercise:
        if self.kind == "text":
            if self.pattern is None or self.options is not None or self.accept is not None:
                raise ValueError("an exercise of kind text has a pattern, and neither options nor accept")
        elif self.options is None or not self.accept or self.pattern is not None:
            raise ValueError(f"an exercise of kind {self.kind} has options and accept, and no pattern")
        return self

    def matches(self, text: str) -> bool:
        """Whether a text fits the pattern, which the source gives."""
        return self.pattern is not None and patterns.fits(self.pattern, text)


class Step(Strict):
    """One step of a walkthrough."""

    id: Anchor
    target: Target
    say: Text
    define: list[PolicyId] = Field(default_factory=list, max_length=5)
    until: Until
    missing: Missing
    exercise: Exercise = Field(alias="try")


class Verify(Strict):
    """How the outcome that the host's backend reports is judged: keys that have to be there, and keys that must not."""

    event: Annotated[str, StringConstraints(pattern=r"^[a-z_]+(\.[a-z_]+)*$", max_length=64)]
    has: list[Annotated[str, StringConstraints(pattern=r"^[a-z_]+$", max_length=64)]] = Field(min_length=1)
    no: list[Annotated[str, StringConstraints(pattern=r"^[a-z_]+$", max_length=64)]] = Field(
        default_factory=list, alias="not"
    )


class Needs(Strict):
    """Where in the product a walkthrough can be gone through."""

    flag: Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]+$", max_length=64)] | None = None
    route: Annotated[str, StringConstraints(pattern=r"^/[A-Za-z0-9/_-]*$", max_length=200)]


class Walkthrough(Strict):
    """walkthrough.yaml: steps as data. `practice` proves nothing; a `simulation` counts once the host reported it."""

    counts_as: Literal["practice", "simulation"]
    needs: Needs
    steps: list[Step] = Field(min_length=1, max_length=30)
    verify: Verify


class Part(Strict):
    """One part of a course."""

    id: Id
    kind: Literal["lesson", "quiz", "walkthrough"]
    title: Text
    minutes: Annotated[int, Field(ge=1, le=60)]
    slides: list[Anchor] | None = None
    draw: Annotated[int, Field(ge=1, le=50)] | None = None
    after: list[Id] = Field(default_factory=list)

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Part:
        if (self.slides is not None) != (self.kind == "lesson"):
            raise ValueError("slides belong to the parts of kind lesson, and to all of them")
        if (self.draw is not None) != (self.kind == "quiz"):
            raise ValueError("draw belongs to the parts of kind quiz, and to all of them")
        return self


class Course(Strict):
    """course.yaml: parts in an order."""

    parts: list[Part] = Field(min_length=1, max_length=40)


class ModuleWords(Strict):
    """i18n/<locale>/module.yaml"""

    title: Text
    summary: Text
    objective: Text
    prerequisites: list[Text]
    outcomes: dict[Id, Text]


class ItemWords(Strict):
    """An item in another language."""

    ask: Text
    options: dict[Option, Text]


class QuizWords(Strict):
    """i18n/<locale>/quiz.yaml"""

    items: dict[Anchor, ItemWords]


class KeyWords(Strict):
    """A key's reasons in another language."""

    say: dict[Option, Text]


class KeysWords(Strict):
    """i18n/<locale>/keys.yaml"""

    quiz: dict[Anchor, KeyWords]


class SituationWords(Strict):
    """A state in another language."""

    say: Text
    choices: dict[Option, Text]


class EndWords(Strict):
    """An end in another language."""

    say: Text


class ScenarioWords(Strict):
    """i18n/<locale>/scenario.yaml"""

    states: dict[Anchor, SituationWords]
    ends: dict[Anchor, EndWords]


class StepWords(Strict):
    """A step in another language."""

    say: Text
    missing: Text
    label: Text
    hint: Text
    options: dict[Option, Text] | None = None


class WalkthroughWords(Strict):
    """i18n/<locale>/walkthrough.yaml"""

    steps: dict[Anchor, StepWords]


class PartWords(Strict):
    """A part's title in another language."""

    title: Text


class CourseWords(Strict):
    """i18n/<locale>/course.yaml"""

    parts: dict[Id, PartWords]


FILES: dict[str, type[Strict]] = {
    "quiz.yaml": Quiz,
    "keys.yaml": Keys,
    "scenario.yaml": Scenario,
    "walkthrough.yaml": Walkthrough,
    "course.yaml": Course,
}
WORDS: dict[str, type[Strict]] = {
    "module.yaml": ModuleWords,
    "quiz.yaml": QuizWords,
    "keys.yaml": KeysWords,
    "scenario.yaml": ScenarioWords,
    "walkthrough.yaml": WalkthroughWords,
    "course.yaml": CourseWords,
}
