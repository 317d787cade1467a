"""A module as a learner may see it before taking it: words, rules, and what can be taken; no question, no answer."""

from __future__ import annotations

from engine.content.models import Course, Keys
from engine.content.module import Content, Strand
from ledger.model import JSON


def described(content: Content, locale: str | None) -> dict[str, JSON]:
    """The lesson in a language, and the module's strands with what they ask."""
    words, module = content.words(locale), content.module
    slides: list[JSON] = [{"id": s.id, "title": s.title, "markdown": s.text.strip()} for s in words.slides]
    strands: list[JSON] = [_strand(content, strand) for strand in content.strands()]
    course = words.course
    parts: list[JSON] = [_part(course, i) for i in range(len(course.parts))] if course else []
    return {
        "module": content.id,
        "version": module.version,
        "digest": content.digest,
        "kind": module.kind,
        "title": words.title,
        "summary": words.summary,
        "objective": words.objective,
        "prerequisites": [*words.prerequisites],
        "outcomes": dict(words.outcomes),
        "minutes": module.minutes,
        "tier": module.tier,
        "owner": module.owner,
        "policies": [*module.policies],
        "runbooks": [*module.runbooks],
        "scopes": [*module.scopes],
        "tags": [*module.tags],
        "trigger": [*module.trigger],
        "telemetry": [*module.telemetry],
        "locale": words.locale,
        "locales": [*content.locales],
        "slides": slides,
        "strands": strands,
        "parts": parts,
    }


def needed(content: Content, items: int) -> JSON:
    """How many items of a paper have to be right: 80 % of 4 is 4 of 4. None where items weigh differently: what each
    weighs is not for learners."""
    rules, keys = content.module.quiz, content.model("keys.yaml", Keys)
    assert rules is not None
    assert keys is not None
    if any(key.points != 1 or key.partial for key in keys.quiz.values()):
        return None
    return {"right": -(-rules.pass_mark * items // 100), "of": items}


def _strand(content: Content, strand: Strand) -> dict[str, JSON]:
    shown: dict[str, JSON] = {"strand": strand.name, "kind": strand.kind, "part": strand.part}
    if strand.kind != "quiz":
        return shown
    rules = content.module.quiz
    assert rules is not None
    return {
        **shown,
        "items": strand.draw,
        "pass_mark": rules.pass_mark,
        "needs": needed(content, strand.draw),
        "time_limit": rules.time_limit,
        "cooldown": [*rules.cooldown],
    }


def _part(course: Course, index: int) -> dict[str, JSON]:
    part = course.parts[index]
    return {
        "id": part.id,
        "kind": part.kind,
        "title": part.title,
        "minutes": part.minutes,
        "slides": [*part.slides] if part.slides else None,
        "after": [*part.after],
    }
