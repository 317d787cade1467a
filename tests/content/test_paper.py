"""A quiz's paper: the draw can be rebuilt, every policy is asked, and points are whole numbers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.content import paper
from engine.content.models import Item, Key


def pool(size: int, policies: int = 2) -> dict[str, Item]:
    """A pool of so many items over so many policies."""
    return {
        f"item-{n}": Item(
            policy=f"POL-{n % policies}",
            outcome="one",
            slide="one",
            ask="What?",
            options={o: f"Option {o}" for o in "abcd"},
        )
        for n in range(size)
    }


def keys(size: int, **more: Any) -> dict[str, Key]:
    """A key for each item of a pool: `b` is right."""
    return {f"item-{n}": Key(right=["b"], say=dict.fromkeys("abcd", "Because."), **more) for n in range(size)}


@given(seed=st.text(max_size=40), size=st.integers(4, 20), count=st.integers(2, 4), seen=st.integers(0, 20))
def test_the_draw(seed: str, size: int, count: int, seen: int) -> None:
    """As many as asked, none twice, each policy once at least, the same again by the same seed."""
    items = pool(size)
    before = {f"item-{n}" for n in range(min(seen, size))}
    drawn = paper.draw(items, count, seed, before)
    assert len({d.id for d in drawn}) == count
    assert {items[d.id].policy for d in drawn} == {"POL-0", "POL-1"}
    assert paper.draw(items, count, seed, before) == drawn
    assert all(sorted(d.options) == ["a", "b", "c", "d"] for d in drawn)
    unseen = [i for i in items if i not in before]
    if all(sum(items[i].policy == p for i in unseen) >= count for p in ("POL-0", "POL-1")):
        assert not {d.id for d in drawn} & before, "unseen items first"


@given(seed=st.text(max_size=20))
def test_what_counts_as_seen_begins_anew_once_all_were_seen(seed: str) -> None:
    """Papers of four of eight: after the second all were seen, and the second counts alone."""
    items = pool(8)
    first = paper.draw(items, 4, seed, ())
    seen = paper.seen_after(items, (), first)
    second = paper.draw(items, 4, seed + "x", seen)
    assert not {d.id for d in first} & {d.id for d in second}
    assert set(paper.seen_after(items, seen, second)) == {d.id for d in second}


@given(wrong=st.integers(0, 10), size=st.integers(1, 10), mark=st.integers(1, 100))
def test_passed_iff_the_points_are_enough(wrong: int, size: int, mark: int) -> None:
    """100 x points >= pass mark x max, in whole numbers."""
    items = [f"item-{n}" for n in range(size)]
    answers = {i: ["a" if n < wrong else "b"] for n, i in enumerate(items)}
    score = paper.grade(keys(size), items, answers, mark)
    points = size - min(wrong, size)
    assert (score.points, score.max) == (points, size)
    assert score.passed is (100 * points >= mark * size)


@pytest.mark.parametrize(
    ("size", "wrong", "passed"), [(4, 0, True), (4, 1, False), (5, 1, True), (5, 2, False), (3, 1, False)]
)
def test_eighty_percent_in_items(size: int, wrong: int, passed: bool) -> None:
    """80 % of 4 items is 4, of 5 items 4, of 3 items 3."""
    items = [f"item-{n}" for n in range(size)]
    answers = {i: ["a" if n < wrong else "b"] for n, i in enumerate(items)}
    assert paper.grade(keys(size), items, answers, 80).passed is passed


def test_a_critical_item_fails_whatever_the_score() -> None:
    """Nine of ten right, and the one that matters wrong."""
    own = keys(10)
    own["item-0"] = own["item-0"].model_copy(update={"critical": True})
    items = list(own)
    answers = {i: ["b"] for i in items} | {"item-0": ["a"]}
    score = paper.grade(own, items, answers, 80)
    assert score.points == 9
    assert not score.passed
    assert paper.grade(own, items, answers, 80, void={"item-0"}).passed, "void, it fails nobody"


@pytest.mark.parametrize(
    ("answer", "partial", "points"),
    [
        (["a", "b", "c", "d"], False, 0), (["a", "b"], False, 4), (["a"], False, 0), ([], False, 0),
        (["a", "b"], True, 4), (["a"], True, 2), (["a", "c"], True, 0), (["c", "d"], True, 0), ([], True, 0),
    ],
)  # fmt: skip
def test_several_right_options(answer: list[str], partial: bool, points: int) -> None:
    """All or nothing; with `partial`, right ones less wrong ones, of what is right, never below nothing."""
    own = {"item-0": Key(right=["a", "b"], say=dict.fromkeys("abcd", "x"), points=4, partial=partial)}
    assert paper.grade(own, ["item-0"], {"item-0": answer}, 80).points == points


def test_a_paper_whose_items_are_all_void_is_no_pass() -> None:
    """Nothing counted is nothing passed."""
    score = paper.grade(keys(4), list(keys(4)), {i: ["b"] for i in keys(4)}, 80, void=set(keys(4)))
    assert (score.points, score.max, score.passed) == (0, 0, False)
