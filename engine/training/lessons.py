"""A module as a learner may see it before taking it: words, rules, and what can be taken; no question, no answer."""

from __future__ import annotations

from engine.content.models import Course, Keys
from engine.content.module import Content, Strand
from ledger.model import JSON


def described(content: Content, locale: str | None) -> dict[str, JSON]:
    """The lesson in a language, and the module's strands with what they ask."""
    words, module = content.words(locale), content.module
    slides: list[JSON] = [{"id": s.id, "title": s.title, "markdown": s.text} for s in words.slides]
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


def needs(content: Content, strand: Strand) -> tuple[int, int]:
    """How many items of a quiz have to be right, of how many; where items weigh differently, the least that can do."""
    rules = content.module.quiz
    assert rules is not None
    keys = content.model("keys.yaml", Keys)
    assert keys is not None
    return -(-rules.pass_mark * strand.draw // 100), strand.draw


def _strand(content: Content, strand: Strand) -> dict[str, JSON]:
    shown: dict[str, JSON] = {"strand": strand.name, "kind": strand.kind, "part": strand.part}
    if strand.kind != "quiz":
        return shown
    rules = content.module.quiz
    assert rules is not None
    points, most = needs(content, strand)
    return {
        **shown,
        "items": strand.draw,
        "pass_mark": rules.pass_mark,
        "needs": {"right": points, "of": most},
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
