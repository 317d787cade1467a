"""Scenarios and walkthroughs: state machines that the server holds, one step a request.

Where a choice leads is known here alone; a step that is not where the attempt stands is refused. What came of a
walkthrough in the product is said by the host's backend over its own credential, never by a learner.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.content.models import Exercise, Scenario, Walkthrough
from engine.content.module import Content
from engine.decide.facts import Seen
from engine.entries.writer import Once
from engine.errors import BadRequest, Conflict, FieldError
from engine.training.attempts import Attempts, person_of
from engine.training.grading import Outcome
from ledger.ids import uuid7
from ledger.model import JSON, Append, Draft, Entry


@dataclass(frozen=True, slots=True)
class Steps:
    """Makes steps."""

    attempts: Attempts

    async def step(self, identifier: str, save: str, at: str, answer: JSON, once: Once) -> Entry | None:
        """Make one step of a scenario or walkthrough; returns the entry that came of it.

        None where a step of a walkthrough was not right yet: nothing happened, and its hint may be shown.
        """
        tenant = once.caller.tenant
        hinted: list[bool] = []

        async def build() -> Append:
            seen = Seen.none(self.attempts.writer.runtime.reader, tenant)
            found = self.attempts.seen_attempt(seen, identifier)
            now = self.attempts.writer.runtime.now(tenant)
            self.attempts.check_open(found, save, now)
            content, strand = self.attempts.of(found)
            if at != found.place:
                raise Conflict(f"the step {at} is not where this attempt stands", "skipped-step")
            if strand.kind == "scenario":
                place, ended = _chosen(content, at, answer)
            elif strand.kind == "walkthrough":
                step = _exercise(content, at, answer)
                if step is None:
                    hinted.append(True)
                    raise _HintError
                place, ended = step
            else:
                raise Conflict("a quiz is handed in whole: it has no steps", "not-a-scenario")
            if ended is not None:
                outcome = Outcome(passed=ended, end=place, choice=answer)
                return await self.attempts.closing(seen, found, content, strand, outcome, once, now)
            payload = {**self.attempts.named(found, "stepped", once.caller), "choice": answer, "place": place}
            draft = Draft(id=uuid7(), kind="attempt", payload=once.marked(payload), about=person_of(found))
            return Append(tenant=tenant, drafts=(draft,), reads=seen.reads, now=now)

        try:
            entry, _ = await self.attempts.writer.write(once, build)
        except _HintError:
            return None
        return entry

    async def report(self, identifier: str, event: str, data: Mapping[str, Any], once: Once) -> Entry:
        """The host's backend says what came of a walkthrough in the product; the module's `verify` rule judges it."""
        tenant = once.caller.tenant

        async def build() -> Append:
            seen = Seen.none(self.attempts.writer.runtime.reader, tenant)
            found = self.attempts.seen_attempt(seen, identifier)
            now = self.attempts.writer.runtime.now(tenant)
            self.attempts.check_open(found, None, now)
            content, strand = self.attempts.of(found)
            walkthrough = content.model("walkthrough.yaml", Walkthrough)
            if strand.kind != "walkthrough" or walkthrough is None:
                raise Conflict(f"a {strand.kind} is judged here: no outcome can be reported", "not-reported")
            rule = walkthrough.verify
            if event != rule.event:
                detail = f"expected {rule.event}"
                raise BadRequest("this event is not what the walkthrough waits for", (FieldError("/event", detail),))
            missing = [name for name in rule.has if data.get(name) in (None, "", [], {})]
            surplus = [name for name in rule.no if data.get(name) not in (None, "", [], {}, False)]
            outcome = Outcome(
                passed=not missing and not surplus,
                end=event,
                reported={"event": event, "missing": [*missing], "surplus": [*surplus]},
            )
            return await self.attempts.closing(seen, found, content, strand, outcome, once, now)

        entry, _ = await self.attempts.writer.write(once, build)
        return entry


class _HintError(Exception):
    """Nothing is to be written: the step was not right yet."""


def _chosen(content: Content, at: str, answer: JSON) -> tuple[str, bool | None]:
    """Where a choice leads: the next place, and if it is an end, whether it is passed."""
    graph = content.model("scenario.yaml", Scenario)
    assert graph is not None
    choice = graph.states[at].choices.get(answer) if isinstance(answer, str) else None
    if choice is None:
        detail = f"one of {', '.join(sorted(graph.states[at].choices))}"
        raise BadRequest("there is no such choice here", (FieldError("/answer", detail),))
    end = graph.ends.get(choice.to)
    return choice.to, end.passed if end is not None else None


def _exercise(content: Content, at: str, answer: JSON) -> tuple[str, bool | None] | None:
    """Where a step of a walkthrough leads; None where it was not done right yet."""
    walkthrough = content.model("walkthrough.yaml", Walkthrough)
    assert walkthrough is not None
    names = [s.id for s in walkthrough.steps]
    index = names.index(at)
    if not _right(walkthrough.steps[index].exercise, answer):
        return None
    if index + 1 < len(names):
        return names[index + 1], None
    # The end of practice; a simulation waits until the host's backend says what came of it.
    return ("done", True) if walkthrough.counts_as == "practice" else ("reported", None)


def _right(exercise: Exercise, answer: JSON) -> bool:
    if exercise.kind == "text":
        if not isinstance(answer, str):
            raise BadRequest("this step takes a text", (FieldError("/answer", "expected text"),))
        return exercise.matches(answer.strip())
    options, accept = exercise.options or {}, exercise.accept or []
    given = [answer] if isinstance(answer, str) else answer
    if not isinstance(given, list) or not all(isinstance(o, str) and o in options for o in given):
        detail = f"of {', '.join(options)}"
        raise BadRequest("there is no such option here", (FieldError("/answer", detail),))
    if exercise.kind == "one":
        return len(given) == 1 and given[0] in accept
    return sorted(str(o) for o in given) == sorted(accept)
