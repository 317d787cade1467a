"""A module on one page, for those who write and review it: as a learner sees it, with every key, or as plain text.

Made as Markdown from the folder as it is now; a preview records nothing and proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from engine.content import editorial
from engine.content.models import Key, Walkthrough
from engine.content.module import Content, Words

Audience = Literal["learner", "reviewer", "text"]


def page(content: Content, locale: str | None, audience: Audience) -> str:
    """The whole module as Markdown; keys are in it for a reviewer only."""
    words = content.words(locale)
    return "\n\n".join(part for part in _page(content, words, keys=audience == "reviewer") if part) + "\n"


def _page(content: Content, words: Words, *, keys: bool) -> Iterator[str]:
    module = content.module
    yield f"# {words.title}"
    facts = (
        module.kind,
        f"{module.minutes} minutes",
        f"version {module.version}",
        f"proves {module.tier}",
        words.locale,
    )
    yield f"*{', '.join(facts)}*"
    yield words.summary
    yield f"**You can afterwards:** {words.objective}"
    if words.prerequisites:
        yield "**Before you begin:**\n\n" + _list(words.prerequisites)
    yield "**Outcomes:**\n\n" + _list(words.outcomes.values())
    yield "\n".join(f"> {line}" for line in editorial.needs(content))
    if keys:
        named = [*module.policies, *module.runbooks]
        scopes = ", ".join(module.scopes) or "none"
        yield f"Owner {module.owner}; {', '.join(named)}; scopes {scopes}; digest `{content.digest}`"
    if words.course is not None:
        yield "## The course\n\n" + _list(
            f"{p.title} ({p.kind}, {p.minutes} min)" + (f", after {', '.join(p.after)}" if p.after else "")
            for p in words.course.parts
        )
    for slide in words.slides:
        yield f"## {slide.title}\n\n{slide.text}"
    yield from _quiz(words, keys=keys)
    yield from _scenario(words, keys=keys)
    if words.walkthrough is not None:
        yield from _walkthrough(words.walkthrough, keys=keys)


def _quiz(words: Words, *, keys: bool) -> Iterator[str]:
    if words.quiz is None:
        return
    yield f"## The pool: {len(words.quiz.items)} items"
    for name, item in words.quiz.items.items():
        key = words.keys.quiz.get(name) if words.keys is not None and keys else None
        yield f"### {item.ask}"
        yield _list(_option(o, text, key) for o, text in item.options.items())
        if key is not None:
            critical = ", critical" if key.critical else ""
            weight = f"{key.points} point(s){critical}"
            yield f"`{name}`: {item.policy}, outcome {item.outcome}, rereads #{item.slide}, {weight}"


def _option(name: str, text: str, key: Key | None) -> str:
    if key is None:
        return text
    mark = "**right**" if name in key.right else "wrong"
    return f"{text} ({mark}: {key.say.get(name, '')})"


def _scenario(words: Words, *, keys: bool) -> Iterator[str]:
    graph = words.scenario
    if graph is None:
        return
    shown = graph.states if keys else {graph.start: graph.states[graph.start]}
    yield "## The scenario" if keys else "## The scenario: its first situation"
    for name, state in shown.items():
        yield (f"### `{name}` ({state.outcome})\n\n" if keys else "") + state.say
        yield _list(c.text + (f" → `{c.to}`" if keys else "") for c in state.choices.values())
    for name, end in graph.ends.items() if keys else ():
        yield f"### `{name}`: {'passed' if end.passed else 'failed'}\n\n{end.say}"


def _walkthrough(walkthrough: Walkthrough, *, keys: bool) -> Iterator[str]:
    yield f"## The walkthrough ({walkthrough.counts_as}, at {walkthrough.needs.route})"
    for number, step in enumerate(walkthrough.steps, start=1):
        exercise = step.exercise
        yield f"{number}. {step.say}"
        yield f"{exercise.label}: " + (" / ".join(exercise.options.values()) if exercise.options else "a text")
        if keys:
            yield f"takes {exercise.accept or exercise.pattern}; otherwise: {exercise.hint}"
    if keys:
        rule = walkthrough.verify
        without = f", without {', '.join(rule.no)}" if rule.no else ""
        yield f"In the product: `{rule.event}` with {', '.join(rule.has)}{without}"


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
