"""Searches: asks, candidate after candidate, what an evaluation would ask, until a page is full.

It is bounded three ways: by results, by candidates, and by time. Where a bound is reached before the end, the page says
where to go on; a page may be empty and not the last. What one candidate is told stands for nobody else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final, TypeAlias

from engine.adapters.authzen.reading import Kind, Search
from engine.decide.request import Request
from engine.errors import Overloaded

MOST_RESULTS: Final = 256
USUAL_RESULTS: Final = 100
MOST_CANDIDATES: Final = 512
TOGETHER: Final = 16
"""So many are asked at once: a page must not take the room of the decisions beside it."""
_LEAST: Final = 4
"""At first, where few results are asked for: the first candidates may be those."""
SECONDS: Final = 0.5
"""After so long no further candidates are begun with."""

Look: TypeAlias = Callable[[Request], Awaitable[bool]]
"""Whether this would be permitted now. It is shown and not recorded."""
Room: TypeAlias = Callable[[int], AbstractContextManager[None]]
"""Room for so many looks; raises Overloaded where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A page: who was permitted, in order, and behind which candidate the next one begins (None: there is none)."""

    names: tuple[str, ...]
    after: str | None
    candidates: int


def question(search: Search, name: str) -> Request:
    """What an evaluation of this candidate would ask."""
    asked, kind = search.question, search.kind
    if kind == "subject":
        return replace(asked, subject=replace(asked.subject, id=name))
    if kind == "resource":
        return replace(asked, resource=replace(asked.resource, id=name))
    return replace(asked, action=name)


def searched_type(kind: Kind, asked: Request) -> str:
    """The type of what is searched for; actions have none."""
    return {"subject": asked.subject.type, "resource": asked.resource.type, "action": ""}[kind]


async def page(
    search: Search,
    candidates: Iterator[str],
    *,
    after: str,
    limit: int | None,
    look: Look,
    room: Room,
    clock: Callable[[], float],
) -> Found:
    """The next page. `candidates` come in the order of their IDs, from behind `after` on.

    Raises what `look` raises, for whichever candidate: a page in which somebody is undecided is no page. Raises
    Overloaded where not even its first candidates can be asked.
    """
    until, names, asked = clock() + SECONDS, list[str](), 0
    most = min(USUAL_RESULTS if limit is None else limit, MOST_RESULTS)
    while len(names) < most:
        if asked and (asked >= MOST_CANDIDATES or clock() >= until):
            return Found(names=tuple(names), after=after, candidates=asked)
        chunk = list(islice(candidates, TOGETHER if asked else min(TOGETHER, max(_LEAST, most))))
        if not chunk:
            return Found(names=tuple(names), after=None, candidates=asked)
        try:
            with room(len(chunk)):
                told = await _all([look(question(search, name)) for name in chunk])
        except Overloaded:
            if not asked:
                raise
            return Found(names=tuple(names), after=after, candidates=asked)
        asked += len(chunk)
        for at, (name, permitted) in enumerate(zip(chunk, told, strict=True), 1):
            after = name
            if permitted:
                names.append(name)
            if len(names) == most and at < len(chunk):
                return Found(names=tuple(names), after=after, candidates=asked)
    more = next(candidates, None) is not None
    return Found(names=tuple(names), after=after if more else None, candidates=asked)


async def _all(looks: list[Awaitable[bool]]) -> list[bool]:
    """Every answer, or the first failure once none of them is under way any more."""
    told = await asyncio.gather(*looks, return_exceptions=True)
    for each in told:
        if isinstance(each, BaseException):
            raise each
    return [each is True for each in told]
