"""A quiz's paper: drawn from the pool by a seed, and graded by counting. Pure functions over content.

Drawn by blueprint: at least one item of each policy, unseen items first, the rest by chance. Chance is SHA-256 over the
seed and an item's ID, so the paper can be rebuilt in any language for ever.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from engine.content.models import Item, Key

SECONDS_AN_ITEM = 3
"""Whoever is faster than this has hardly read the item: a flag for a reviewer, never a failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """One item of a paper: its options in the order in which they are shown."""

    id: str
    options: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What was counted: whole points, item by item. `passed` iff 100 * points >= pass_mark * max and nothing critical
    was missed."""

    points: int
    max: int
    passed: bool
    items: Mapping[str, tuple[int, int]]

    @property
    def percent(self) -> int:
        """Rounded down, for people: the verdict never uses it."""
        return 100 * self.points // self.max if self.max else 0


def draw(pool: Mapping[str, Item], count: int, seed: str, seen: Collection[str]) -> tuple[Drawn, ...]:
    """A paper of `count` items."""
    first = sorted(pool, key=lambda i: (i in seen, _chance(seed, "draw", i)))
    chosen: list[str] = []
    for policy in dict.fromkeys(item.policy for item in pool.values()):
        if len(chosen) < count:
            chosen.append(next(i for i in first if pool[i].policy == policy))
    chosen += [i for i in first if i not in chosen][: count - len(chosen)]
    order = sorted(chosen, key=lambda i: _chance(seed, "order", i))
    return tuple(shuffled(seed, i, pool[i].options) for i in order)


def shuffled(seed: str, item: str, options: Iterable[str]) -> Drawn:
    """An item's options in the order of chance."""
    return Drawn(id=item, options=tuple(sorted(options, key=lambda o: _chance(seed, item, o))))


def seen_after(pool: Iterable[str], before: Collection[str], drawn: Sequence[Drawn]) -> list[str]:
    """What counts as seen after a paper: everything so far, or only this paper once the pool is through."""
    now = {d.id for d in drawn}
    every = set(before) | now
    return sorted(now if set(pool) <= every else every)


def grade(
    keys: Mapping[str, Key],
    items: Sequence[str],
    answers: Mapping[str, Collection[str]],
    pass_mark: int,
    void: Collection[str] = (),
) -> Score:
    """Count the points of a paper's items, void ones left out."""
    counted = [i for i in items if i not in void]
    points = {i: (_points(keys[i], answers.get(i, ())), keys[i].points) for i in counted}
    total, most = sum(p for p, _ in points.values()), sum(m for _, m in points.values())
    missed = any(keys[i].critical and points[i][0] < points[i][1] for i in counted)
    passed = most > 0 and 100 * total >= pass_mark * most and not missed
    return Score(points=total, max=most, passed=passed, items=points)


def _points(key: Key, answer: Collection[str]) -> int:
    right, given = set(key.right), set(answer)
    if not key.partial:
        return key.points if given == right else 0
    share = max(0, len(given & right) - len(given - right))
    return key.points * share // len(right)


def _chance(*parts: str) -> bytes:
    return hashlib.sha256("\0".join(parts).encode()).digest()
