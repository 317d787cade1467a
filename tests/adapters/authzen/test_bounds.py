"""The pure parts of a search: where a page ends, and what a token is bound to."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.adapters.authzen import pages, reading, search
from engine.adapters.authzen.pages import Position, Tokens
from engine.adapters.authzen.search import MOST_CANDIDATES, MOST_RESULTS, TOGETHER, Found
from engine.decide.request import Request
from engine.errors import BadRequest, Overloaded, Undecided
from ledger import canonical, strict
from ledger.model import JSON

ASKED = reading.search(
    "subject",
    {"subject": {"type": "user"}, "action": {"name": "read"}, "resource": {"type": "record", "id": "1"}},
)


def everybody(count: int) -> list[str]:
    """So many candidates, in order."""
    return [f"u{n:05}" for n in range(count)]


def found(
    candidates: list[str],
    permitted: Callable[[str], bool],
    *,
    limit: int | None = None,
    after: str = "",
    clock: Callable[[], float] = lambda: 0.0,
    room: Callable[[int], AbstractContextManager[None]] = lambda _: nullcontext(),
) -> Found:
    """One page of these candidates."""

    async def look(request: Request) -> bool:
        return permitted(request.subject.id)

    left: Iterator[str] = (name for name in candidates if name > after)
    made = search.page(ASKED, left, after=after, limit=limit, look=look, room=room, clock=clock)
    return asyncio.run(made)


@given(
    st.lists(st.booleans(), max_size=60).map(lambda flags: [f"u{n:02}" for n, yes in enumerate(flags) if yes]),
    st.integers(0, 60),
    st.integers(1, 20),
)
def test_pages_have_everybody_once(permitted: list[str], count: int, limit: int) -> None:
    """Whoever is permitted is on exactly one page, in order; and the last page says that it is the last."""
    candidates, names, after = [f"u{n:02}" for n in range(count)], list[str](), ""
    for _ in range(count + 2):
        page = found(candidates, set(permitted).__contains__, limit=limit, after=after)
        names += page.names
        assert len(page.names) <= limit
        if page.after is None:
            break
        after = page.after
    assert names == [name for name in candidates if name in permitted]
    assert page.after is None


def test_a_page_looks_at_so_many_and_no_more() -> None:
    """Where nobody is permitted, a page ends after 512 candidates, with nobody and a position."""
    page = found(everybody(5000), lambda _: False)
    assert (page.names, page.after, page.candidates) == ((), "u00511", MOST_CANDIDATES)


def test_a_page_ends_when_its_time_is_over() -> None:
    """After half a second nothing more is begun with; what was asked is given."""
    times = itertools.count(0, 0.3)
    page = found(everybody(5000), lambda _: True, clock=lambda: next(times))
    assert 0 < page.candidates < 4 * TOGETHER
    assert page.after == page.names[-1]


def test_a_page_has_so_many_results_and_no_more() -> None:
    """100 where nobody says, 256 at the most."""
    assert len(found(everybody(5000), lambda _: True).names) == 100
    assert len(found(everybody(5000), lambda _: True, limit=10**6).names) == MOST_RESULTS


def test_nobody_behind_the_last_result_means_the_end() -> None:
    """A page that is full and has all says so; one behind which somebody comes does not know who may."""
    assert found(everybody(4), lambda _: True, limit=4).after is None
    assert found(everybody(5), lambda name: name < "u00004", limit=4).after == "u00003"


def test_without_room_there_is_no_page() -> None:
    """Refused where not even the first can be asked; later on, the page ends where the room did."""
    places = iter([True, True, False])

    @contextmanager
    def room(_: int) -> Iterator[None]:
        if not next(places):
            raise Overloaded("full")
        yield

    page = found(everybody(500), lambda _: True, room=room)
    assert (page.candidates, page.after) == (2 * TOGETHER, page.names[-1])
    places = iter([False])
    with pytest.raises(Overloaded):
        found(everybody(500), lambda _: True, room=room)


def test_one_undecided_is_no_page() -> None:
    """And it is raised only when nothing is under way any more."""
    under_way = 0

    async def look(request: Request) -> bool:
        nonlocal under_way
        under_way += 1
        await asyncio.sleep(0)
        under_way -= 1
        if request.subject.id == "u00001":
            raise Undecided("timeout", "late")
        await asyncio.sleep(0)
        return True

    made = search.page(
        ASKED, iter(everybody(9)), after="", limit=None, look=look, room=lambda _: nullcontext(), clock=lambda: 0.0
    )
    with pytest.raises(Undecided):
        asyncio.run(made)
    assert under_way == 0


def test_the_longest_id_fits_into_a_token() -> None:
    """A token of the longest position is a text that the strict reader takes."""
    position = Position(after="x" * (pages.LONGEST_ID - 2), limit=2**53 - 1, properties="f" * 64)
    assert len(canonical.encode(position.after)) == pages.LONGEST_ID
    tokens = Tokens(b"k" * 32)
    token = tokens.sealed(position, "default", ASKED)
    assert strict.read(canonical.encode(token)) == token


def test_a_token_of_another_home() -> None:
    """Another key opens nothing."""
    body: dict[str, JSON] = {
        "subject": {"type": "user"},
        "action": {"name": "read"},
        "resource": {"type": "record", "id": "1"},
    }
    token = Tokens(b"k" * 32).sealed(Position(after="a", limit=None, properties=None), "default", ASKED)
    going_on = reading.search("subject", {**body, "page": {"token": token}})
    assert Tokens(b"k" * 32).position("default", going_on).after == "a"
    with pytest.raises(BadRequest):
        Tokens(b"j" * 32).position("default", going_on)
