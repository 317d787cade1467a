"""One attempt as the ledger has it, and what a learner may see of it. Reads only."""

from __future__ import annotations

from dataclasses import dataclass

from engine.content.module import Content, Strand
from engine.content.paper import Drawn
from engine.training.lessons import needed
from ledger import instants
from ledger.model import JSON
from ledger.store import Reader

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A typed view of the state of `attempt/<id>` (`ledger.learning` has the fields)."""

    id: str
    state: dict[str, JSON]

    def text(self, name: str) -> str:
        """A field that is always text."""
        return str(self.state[name])

    @property
    def status(self) -> str:
        return self.text("status")

    @property
    def user(self) -> str:
        person = self.state["person"]
        assert isinstance(person, dict)
        return str(person["id"])

    @property
    def number(self) -> int:
        return _whole(self.state["number"])

    @property
    def active(self) -> int:
        """Milliseconds that the page was in sight, as its tab says: advisory."""
        return _whole(self.state["active"])

    @property
    def saves(self) -> int:
        """How often it was saved."""
        return _whole(self.state["saves"])

    @property
    def place(self) -> str:
        """Where a scenario or walkthrough stands."""
        return self.text("place")

    @property
    def steps(self) -> int:
        """How many steps were made."""
        trail = self.state["trail"]
        assert isinstance(trail, list)
        return len(trail)

    @property
    def drawn(self) -> tuple[Drawn, ...]:
        items = self.state["items"]
        assert isinstance(items, list)
        return tuple(Drawn(id=str(i["id"]), options=_texts(i["options"])) for i in items if isinstance(i, dict))

    @property
    def answers(self) -> dict[str, list[str]]:
        answers = self.state["answers"]
        assert isinstance(answers, dict)
        return {i: list(_texts(a)) for i, a in answers.items()}

    def over(self, now: str) -> bool:
        """Whether it is open past its deadline."""
        return self.status == "open" and now >= self.text("deadline")

    def elapsed(self, now: str) -> int:
        """Milliseconds from its start."""
        return instants.parse(now) - instants.parse(self.text("opened_at"))


def find(reader: Reader, tenant: str, identifier: str) -> Attempt | None:
    """An attempt by its ID."""
    _, state = reader.objects(tenant, [f"attempt/{identifier}"])[f"attempt/{identifier}"]
    return Attempt(id=identifier, state=state) if isinstance(state, dict) else None


def shown(attempt: Attempt, content: Content, strand: Strand, locale: str | None, now: str) -> dict[str, JSON]:
    """An attempt as its learner sees it: nothing of what is right, what it weighs, or where a choice leads."""
    words = content.words(locale or attempt.text("locale"))
    view: dict[str, JSON] = {
        "attempt_id": attempt.id,
        "user": attempt.user,
        "module": content.id,
        "version": attempt.text("version"),
        "digest": attempt.text("digest"),
        "title": words.title,
        "locale": words.locale,
        "strand": strand.name,
        "kind": strand.kind,
        "status": "expired" if attempt.over(now) else attempt.status,
        "attempt": attempt.number,
        "tested_out": attempt.state["tested_out"],
        "opened_at": attempt.text("opened_at"),
        "deadline": attempt.text("deadline"),
        "closed_at": attempt.state["closed_at"],
        "save": attempt.text("save"),
    }
    if strand.kind == "quiz":
        return view | _quiz(attempt, content, locale)
    if strand.kind == "scenario":
        return view | _scenario(attempt, content, locale)
    return view | _walkthrough(attempt, content, locale)


def _quiz(attempt: Attempt, content: Content, locale: str | None) -> dict[str, JSON]:
    quiz, rules = content.words(locale or attempt.text("locale")).quiz, content.module.quiz
    assert quiz is not None
    assert rules is not None
    answers = attempt.answers
    items: list[JSON] = []
    for drawn in attempt.drawn:
        item = quiz.items[drawn.id]
        options: list[JSON] = [{"id": o, "text": item.options[o]} for o in drawn.options]
        chosen: list[JSON] = [*answers.get(drawn.id, [])]
        items.append({"id": drawn.id, "ask": item.ask, "many": item.many, "options": options, "answer": chosen})
    needs = needed(content, len(attempt.drawn))
    return {"items": items, "needs": needs, "pass_mark": rules.pass_mark}


def _scenario(attempt: Attempt, content: Content, locale: str | None) -> dict[str, JSON]:
    graph = content.words(locale or attempt.text("locale")).scenario
    assert graph is not None
    state = graph.states.get(attempt.place)
    if state is None or attempt.status != "open":
        return {"step": attempt.steps, "situation": None}
    order = next((d.options for d in attempt.drawn if d.id == attempt.place), tuple(state.choices))
    choices: list[JSON] = [{"id": c, "text": state.choices[c].text} for c in order]
    return {"step": attempt.steps + 1, "situation": {"id": attempt.place, "say": state.say, "choices": choices}}


def _walkthrough(attempt: Attempt, content: Content, locale: str | None) -> dict[str, JSON]:
    walkthrough = content.words(locale or attempt.text("locale")).walkthrough
    assert walkthrough is not None
    total = len(walkthrough.steps)
    step = next((s for s in walkthrough.steps if s.id == attempt.place), None)
    needs: JSON = walkthrough.needs.model_dump()
    if step is None:
        waits = attempt.status == "open"  # every step is made, and the host's backend has not said what came of it
        return {"step": total, "of": total, "needs": needs, "current": None, "waits_for_outcome": waits}
    exercise = step.exercise
    options: JSON = [{"id": o, "text": t} for o, t in exercise.options.items()] if exercise.options else None
    current: dict[str, JSON] = {
        "id": step.id,
        "say": step.say,
        "define": [*step.define],
        "target": step.target.model_dump(exclude_none=True),
        "until": step.until.model_dump(exclude_none=True),
        "missing": step.missing.model_dump(),
        "try": {"kind": exercise.kind, "label": exercise.label, "options": options},
    }
    return {"step": attempt.steps + 1, "of": total, "needs": needs, "current": current, "waits_for_outcome": False}


def _texts(value: JSON) -> tuple[str, ...]:
    assert isinstance(value, list)
    return tuple(str(v) for v in value)


def _whole(value: JSON) -> int:
    assert isinstance(value, int)
    return value
