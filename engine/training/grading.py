"""The end of an attempt, as entries: its result, a course that is complete with it, and what that earns.

Also what a learner is told of it. Nothing that reveals an answer is told of an attempt that was not passed: who failed
hears what to read again, whatever number of tries are left.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.content.models import Course
from engine.content.module import Content, Strand
from engine.content.paper import SECONDS_AN_ITEM, Score
from engine.decide.facts import Seen
from engine.entries.writer import Once, Writer
from engine.runtime import Active
from engine.training.attempt import Attempt
from engine.training.results import Result, Results
from engine.training.standing import Standing
from ledger.learning import COURSE
from ledger.model import JSON, Draft, Entry, Person


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How an attempt ended. `end` is a scenario's, `responses` a quiz's, `reported` what a host's backend said."""

    passed: bool
    score: Score | None = None
    pass_mark: int | None = None
    responses: Mapping[str, list[str]] = field(default_factory=dict)
    active: int = 0
    end: str | None = None
    choice: JSON = None
    reported: JSON = None


@dataclass(frozen=True, slots=True)
class Grading:
    """Turns the end of an attempt into entries, and entries into what a learner is told."""

    writer: Writer
    results: Results

    async def drafts(
        self, active: Active, seen: Seen, found: Attempt, content: Content, strand: Strand, standing: Standing,
        outcome: Outcome, once: Once, now: str,
    ) -> tuple[Draft, ...]:  # fmt: skip
        """The result of an attempt; with the last part of a course, the course's as well; and what they earn."""
        result = self._result(found, content, strand, standing, outcome, now)
        drafts = await self.results.drafts(active, seen, result, once, now)
        course = self._course(found, content, strand, standing, outcome, drafts[0].id, now)
        if course is None:
            return drafts
        unmarked = Once(caller=once.caller, key=None, request=once.request)
        return (*drafts, *await self.results.drafts(active, seen, course, unmarked, now))

    def _result(
        self, found: Attempt, content: Content, strand: Strand, standing: Standing, outcome: Outcome, now: str
    ) -> Result:
        failures = 0 if outcome.passed else standing.failures(strand.name) + 1
        score = outcome.score
        elapsed = found.elapsed(now)
        flags = ["fast"] if score is not None and elapsed < SECONDS_AN_ITEM * 1000 * len(found.drawn) else []
        points: JSON = {"points": score.points, "max": score.max, "percent": score.percent} if score else None
        items: JSON = {i: {"points": p, "max": m} for i, (p, m) in score.items.items()} if score else {}
        return Result(
            person=Person(type="user", id=found.user),
            module=content.id,
            version=found.text("version"),
            digest=found.text("digest"),
            tier=content.module.tier,
            passed_at=now,
            source="attempt",
            reason=f"{strand.kind} handed in" if score else f"{strand.kind} ended: {outcome.end}",
            provenance={"attempt": found.id},
            passed=outcome.passed,
            part=strand.part,
            score=points,
            attempts=found.number,
            seconds=elapsed // 1000,
            evidence_links=(found.id,),
            more={
                "attempt": found.id,
                "strand": strand.name,
                "number": found.number,
                "failures": failures,
                "counted_from": min(now, found.text("deadline")),
                "pass_mark": outcome.pass_mark,
                "responses": {i: [*a] for i, a in outcome.responses.items()},
                "items": items,
                "end": outcome.end,
                "choice": outcome.choice,
                "reported": outcome.reported,
                "active_seconds": outcome.active // 1000,
                "tested_out": found.state["tested_out"],
                "locale": found.text("locale"),
                "flags": [*flags],
            },
        )

    def _course(
        self, found: Attempt, content: Content, strand: Strand, standing: Standing, outcome: Outcome, entry: str,
        now: str,
    ) -> Result | None:  # fmt: skip
        """The result of the course, if this was the last of its parts."""
        if not outcome.passed:
            return None
        own: JSON = {"points": outcome.score.points, "max": outcome.score.max} if outcome.score else None
        return finished(found.user, content, standing, strand.part, own, entry, now)

    def told(self, tenant: str, found: Attempt, content: Content, locale: str | None) -> dict[str, JSON]:
        """What the learner is told of the end of an attempt."""
        reader = self.writer.runtime.reader
        entry = reader.entry(tenant, str(found.state["result"]))
        assert entry is not None
        if entry.payload is None:
            return {"erased": True}
        value = entry.value
        certifications = self._earned(entry, content)
        told: dict[str, JSON] = {
            "result_id": entry.id,
            "passed": value["passed"],
            "score": value["score"],
            "attempt": value["attempts"],
            "seconds": value["seconds"],
            "tier": value["tier"] if value["passed"] and value["part"] is None else None,
            "part": value["part"],
            "certifications": certifications,
        }
        if certifications:
            told["certification"] = certifications[-1]
        chosen = locale or found.text("locale")
        told["feedback"] = _passed(value, content, chosen) if value["passed"] else _failed(value, content, chosen)
        return told

    def _earned(self, entry: Entry, content: Content) -> list[JSON]:
        """What a result earned, its own or through the course that was complete with it."""
        earned = self.results.earned(entry)
        if not earned and content.module.kind == "course":
            following = self.writer.runtime.reader.entry_at(entry.tenant, entry.index + 1)
            if following is not None and following.kind == "result" and following.payload is not None:
                links = following.value["evidence_links"]
                if isinstance(links, list) and entry.id in links:
                    earned = self.results.earned(following)
        return [{"id": c.id, **{k: c.value[k] for k in ("scope", "tier", "issued_at", "expires_at")}} for c in earned]


def finished(
    user: str, content: Content, standing: Standing, part: str | None, score: JSON, entry: str | None, now: str
) -> Result | None:
    """The result of the course that is complete with this part (its score and result, if it has them); else None."""
    course, done = content.model("course.yaml", Course), standing.parts()
    if course is None or part is None or any(p.id not in done and p.id != part for p in course.parts):
        return None
    others = [done[p.id] for p in course.parts if p.id != part]
    evidence = [str(d["result"]) for d in others if isinstance(d.get("result"), str)] + ([entry] if entry else [])
    counted = [s for s in (*(d.get("score") for d in others), score) if isinstance(s, dict)]
    points, most = (sum(int(str(s[k])) for s in counted) for k in ("points", "max"))
    return Result(
        person=Person(type="user", id=user),
        module=content.id,
        version=content.module.version,
        digest=content.digest,
        tier=content.module.tier,
        passed_at=now,
        source="course",
        reason="every part of the course is done",
        provenance={"parts": [*evidence]},
        score={"points": points, "max": most, "percent": 100 * points // most if most else 0},
        evidence_links=tuple(evidence),
        more={"strand": COURSE},
    )


def _passed(value: dict[str, JSON], content: Content, locale: str) -> JSON:
    """After a pass: what was right, and why."""
    words = content.words(locale)
    if words.scenario is not None and isinstance(value.get("end"), str):
        end = words.scenario.ends.get(str(value["end"]))
        return {"said": end.say if end else None, "items": []}
    responses = value.get("responses")
    if words.quiz is None or words.keys is None or not isinstance(responses, dict) or not responses:
        return {"said": None, "items": []}
    items: list[JSON] = []
    for name, answer in responses.items():
        item, key = words.quiz.items[name], words.keys.quiz[name]
        why: JSON = {o: key.say.get(o) for o in item.options}
        items.append({"id": name, "ask": item.ask, "answer": answer, "right": [*key.right], "why": why})
    return {"said": None, "items": items}


def _failed(value: dict[str, JSON], content: Content, locale: str) -> JSON:
    """After a failure: which policy and which slide to read again; never which option was right."""
    words = content.words(locale)
    reread: dict[tuple[str, str], dict[str, JSON]] = {}

    def add(policy: str, module: str, slide: str, title: str | None) -> None:
        href = f"/learn/modules/{module}/slides/{slide}"
        told: dict[str, JSON] = {"policy": policy, "module": module, "slide": slide, "title": title, "href": href}
        reread.setdefault((module, slide), told)

    said: str | None = None
    items = value.get("items")
    if words.quiz is not None and isinstance(items, dict):
        for name, counted in items.items():
            if isinstance(counted, dict) and counted["points"] != counted["max"]:
                item = words.quiz.items[name]
                slide = words.slide(item.slide)
                add(item.policy, content.id, item.slide, slide.title if slide else item.slide)
    if words.scenario is not None and isinstance(value.get("end"), str):
        end = words.scenario.ends[str(value["end"])]
        said = end.say
        if end.policy is not None and end.read is not None:
            add(end.policy, end.read.module, end.read.slide, None)
    return {"said": said, "reread": [*reread.values()]}
