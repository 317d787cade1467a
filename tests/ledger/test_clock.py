"""The watch: what `now` answers without judging is what judging would have answered."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from ledger import instants
from ledger.clock import BEHIND_MS, DRIFT_NS, SystemClock, Watch, judge
from ledger.errors import NotReady
from tests.ledger.builders import START, FakeClock

_NEAR_MS = st.none() | st.integers(-BEHIND_MS - 2, BEHIND_MS + 2)
_EDGES_NS = [0, 1, 1_000_000, DRIFT_NS, DRIFT_NS + 1]
_MOVES_NS = st.sampled_from(_EDGES_NS + [-edge for edge in _EDGES_NS])


def _told(ask: Callable[[], str]) -> str:
    try:
        return ask()
    except NotReady as refused:
        return f"refused: {refused}"


@given(st.lists(st.tuples(_MOVES_NS, _MOVES_NS, _NEAR_MS), max_size=5))
def test_now_is_what_judging_says(steps: list[tuple[int, int, int | None]]) -> None:
    """However both clocks move, and whatever is the newest instant: the same instant, or the same sentence."""
    clock = FakeClock()
    watch = Watch(clock)
    for wall, boot, newest_ms in steps:
        clock.wall += wall
        clock.boot += boot
        newest = None if newest_ms is None else instants.from_ms(clock.wall // 1_000_000 + newest_ms)
        assert _told(lambda newest=newest: watch.now(newest)) == _told(  # type: ignore[misc]
            lambda newest=newest: judge(watch.read(), newest, watch.offset_ns)  # type: ignore[misc]
        )


def test_a_watch_follows_its_clock() -> None:
    """Within a millisecond it is one instant, in the next one another."""
    clock = FakeClock()
    watch = Watch(clock)
    clock.run(0.000_999)
    assert watch.now(None) == START
    clock.run(0.000_001)
    assert watch.now(None) == instants.from_ms(instants.parse(START) + 1)


def test_the_hosts_clocks_are_the_hosts() -> None:
    """The wall clock gives this year's instants, and the boot clock runs on."""
    clock = SystemClock()
    assert instants.now_from(clock.wall_ns()) > "2026-01-01T00:00:00.000Z"
    assert 0 < clock.boot_ns() <= clock.boot_ns()
