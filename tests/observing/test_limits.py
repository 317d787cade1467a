"""Rate limits by the clock they are given, and admission in a queue of virtual time."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.api import limits
from engine.api.limits import Admission, OwnBuckets, RateLimits, SharedBuckets, retry_after


@pytest.mark.parametrize("shared", [False, True])
def test_a_burst_passes_and_then_the_rate(shared: bool, tmp_path: Path) -> None:
    """Five at once, then two a second; who waited as long as was said passes."""
    rate = RateLimits(2, 5, SharedBuckets(tmp_path / "callers") if shared else None)
    assert [rate.allow("a", 100.0) for _ in range(5)] == [0.0] * 5
    wait = rate.allow("a", 100.0)
    assert wait == pytest.approx(0.5)
    assert rate.allow("b", 100.0) == 0.0
    assert rate.allow("a", 100.0 + wait) == 0.0
    assert rate.allow("a", 100.0 + wait) == pytest.approx(0.5)
    assert [rate.allow("a", 200.0) for _ in range(5)] == [0.0] * 5
    assert rate.allow("a", 200.0) > 0


def test_workers_share_the_buckets_of_a_file(tmp_path: Path) -> None:
    """Whichever of them is asked takes from the same bucket; each caller has their own."""
    one, two = (RateLimits(1, 4, SharedBuckets(tmp_path / "callers")) for _ in range(2))
    assert [limit.allow("a", 50.0) for limit in (one, two, two, one)] == [0.0] * 4
    assert one.allow("a", 50.0) == two.allow("a", 50.0) == pytest.approx(1.0)
    assert two.allow("b", 50.0) == 0.0
    assert two.allow("a", 51.0) == 0.0
    assert one.allow("a", 51.0) > 0


def test_a_full_table_forgets_the_fullest(tmp_path: Path) -> None:
    """Three times as many strangers as there are rows: who is out of tokens stays so, and no stranger is refused."""
    rate = RateLimits(0.001, 3, SharedBuckets(tmp_path / "callers"))
    for _ in range(3):
        assert rate.allow("empty", 1.0) == 0.0
    for n in range(3 * limits.ROWS):
        assert rate.allow(f"stranger {n}", 1.0) == 0.0
    assert rate.allow("empty", 1.0) > 0


def test_a_rate_of_zero_refuses_nobody_and_remembers_nobody() -> None:
    """Off is off."""
    buckets = OwnBuckets()
    rate = RateLimits(0, 1, buckets)
    assert [rate.allow("a", 0.0) for _ in range(1000)] == [0.0] * 1000
    assert len(buckets) == 0


@pytest.mark.parametrize(("rate", "burst"), [(-1, 1), (1, 0), (float("nan"), 1), (float("inf"), 1)])
def test_a_limit_that_means_nothing_is_refused(rate: float, burst: int) -> None:
    """Negative, empty and endless ones."""
    with pytest.raises(ValueError, match="a rate of 0 or more"):
        RateLimits(rate, burst)


@given(
    rate=st.floats(0.1, 1000),
    burst=st.integers(1, 20),
    gaps=st.lists(st.floats(0, 5), min_size=1, max_size=200),
)
def test_nobody_gets_more_than_burst_and_rate(rate: float, burst: int, gaps: Sequence[float]) -> None:
    """In any stretch of time at most burst + rate x time are allowed, and a wait that was told is true."""
    limit, now, allowed = RateLimits(rate, burst), 0.0, list[float]()
    for gap in gaps:
        now += gap
        wait = limit.allow("a", now)
        if not wait:
            allowed.append(now)
        else:
            assert 0 < wait <= 1 / rate + 1e-6
            now += wait
            assert limit.allow("a", now) == 0.0
            allowed.append(now)
    for first in range(len(allowed)):
        for last in range(first, len(allowed)):
            assert last - first + 1 <= burst + rate * (allowed[last] - allowed[first]) + 1e-3


def test_buckets_are_bounded_and_a_full_one_is_forgotten_first() -> None:
    """Twelve thousand strangers pass by, and whoever is out of tokens is still out of them."""
    buckets = OwnBuckets()
    rate = RateLimits(1, 2, buckets)
    now = 0.0
    for _ in range(3):
        rate.allow("busy", now)
    for n in range(12_000):
        now += 0.001
        assert rate.allow(f"stranger {n}", now) == 0.0
        if n % 100 == 0:
            rate.allow("busy", now)
    assert len(buckets) == limits.BUCKETS
    assert rate.allow("busy", now) == 0.0
    assert rate.allow("busy", now) > 0
    assert rate.allow("busy", now) > 0


def test_the_oldest_bucket_stays_when_a_fuller_one_is_near() -> None:
    """An empty bucket says something, a full one nothing."""
    rate = RateLimits(0.001, 3)
    for _ in range(3):
        rate.allow("empty", 0.0)
    for n in range(limits.BUCKETS + 5):
        rate.allow(f"light {n}", 1.0)
    assert rate.allow("empty", 1.0) > 0


@pytest.mark.parametrize(("seconds", "text"), [(0.01, "1"), (1.0, "1"), (1.01, "2"), (59.5, "60")])
def test_retry_after_is_whole_seconds_rounded_up(seconds: float, text: str) -> None:
    """A caller that obeys is not refused again for a fraction."""
    assert retry_after(seconds) == text


@dataclass
class Queue:
    """One server behind an admission, in virtual time. It takes up to `batch` at once and answers them together."""

    admission: Admission = field(default_factory=Admission)
    batch: int = 1
    seed: int = 1
    now: float = 0.0
    answered: list[tuple[float, float]] = field(default_factory=list)
    refused: int = 0

    def run(self, seconds: float, offered: float, capacity: Callable[[float], float]) -> Queue:
        """`offered` a second arrive by chance for so long; then what waits is answered. Counts begin anew."""
        chance = random.Random(self.seed)
        self.answered, self.refused = [], 0
        began, end, waiting, busy = self.now, self.now + seconds, list[float](), list[float]()
        events = [(began + chance.expovariate(offered), "arrives")]
        while events:
            self.now, event = heapq.heappop(events)
            if event == "arrives":
                then = self.now + chance.expovariate(offered)
                if then < end:
                    heapq.heappush(events, (then, "arrives"))
                if self.admission.enter(self.now):
                    waiting.append(self.now)
                else:
                    self.refused += 1
            else:
                for entered in busy:
                    self.admission.leave(self.now)
                    self.answered.append((entered, self.now - entered))
                busy = []
            if not busy and waiting:
                busy, waiting = waiting[: self.batch], waiting[self.batch :]
                work = len(busy) / capacity(self.now - began) * chance.uniform(0.5, 1.5)
                heapq.heappush(events, (self.now + work, "answers"))
        assert self.admission.under_way == 0
        return self

    def p99(self, since: float = 0.0) -> float:
        """Of the answered who entered since then: how long they waited, in seconds."""
        waits = sorted(wait for entered, wait in self.answered if entered >= since)
        return waits[int(len(waits) * 0.99)]


@pytest.mark.parametrize("batch", [1, 32, 128])
@pytest.mark.parametrize("capacity", [50, 400, 4000, 10_000])
def test_at_twice_the_capacity_the_rest_is_refused(capacity: int, batch: int) -> None:
    """From a cold start: at least 95 % of the capacity is answered, soon; at 0.8 of it afterwards nobody is refused."""
    queue = Queue(batch=batch)
    seconds = max(5.0, 8000 / capacity)
    queue.run(seconds, 2 * capacity, lambda _: capacity)
    assert len(queue.answered) >= 0.95 * capacity * seconds
    assert queue.refused >= 0.9 * capacity * seconds
    whole_wait = max(limits.WAIT_SECONDS, limits.FLOOR / capacity)
    assert queue.p99() <= 1.5 * whole_wait + 2 * batch / capacity
    queue.now += 60
    assert queue.run(seconds, 0.8 * capacity, lambda _: capacity).refused == 0


def test_a_cold_start_refuses_only_for_a_moment() -> None:
    """Of 200 that come at once to a service that nothing is known of, 64 begin; after them it knows what it can."""
    admission = Admission()
    assert sum(admission.enter(5.0) for _ in range(200)) == limits.FLOOR
    for n in range(limits.FLOOR):
        admission.leave(5.0 + (n + 1) / 4000)
    assert admission.limit == pytest.approx(1000, abs=2)


def test_an_idle_hour_changes_nothing() -> None:
    """The rate is that of work, not that of time."""
    admission, now = Admission(), 0.0
    for _ in range(400):
        assert admission.enter(now)
        admission.leave(now + 0.001)
        now += 0.001
    before = admission.limit
    for _ in range(400):
        now += 3600
        assert admission.enter(now)
        admission.leave(now + 0.001)
    assert admission.limit == pytest.approx(before, abs=5)
    assert before == pytest.approx(250, abs=5)


@pytest.mark.parametrize(("before", "after"), [(4000, 400), (400, 4000)])
def test_a_capacity_that_changes_tenfold_is_followed(before: int, after: int) -> None:
    """What had entered waits for as long as it must; whoever enters once that is gone waits as is promised."""
    queue = Queue(batch=8)
    queue.run(10, 2 * max(before, after), lambda at: before if at < 2 else after)
    assert len(queue.answered) >= 0.95 * (2 * before + 8 * after)
    assert queue.p99() <= 1.2 * limits.WAIT_SECONDS * max(1, before / after)
    assert queue.p99(since=6) <= 1.5 * limits.WAIT_SECONDS


def test_the_hard_cap_holds() -> None:
    """However fast it was, no more than 1,024 are under way."""
    admission = Admission()
    for n in range(20_000):
        admission.enter(n * 1e-5)
        admission.leave(n * 1e-5 + 5e-6)
    assert admission.limit == limits.CEILING
    assert sum(admission.enter(1.0) for _ in range(3000)) == limits.CEILING
    admission.leave(1.0)
    assert admission.enter(1.0)


def crowd(admission: Admission, began: float, seconds: float, *, answers: int, refusals: int) -> None:
    """So many answers and refusals a second, evenly: there is always one more than fits, where any is refused."""
    under_way = [admission.enter(began) for _ in range(10)].count(True)
    for step in range(round(seconds * answers)):
        now = began + step / answers
        for _ in range(refusals // answers + (step % answers < refusals % answers)):
            kept, admission.under_way = admission.under_way, admission.limit
            assert admission.full()
            admission.under_way = kept
        admission.leave(now)
        assert admission.enter(now)
    for _ in range(under_way):
        admission.leave(began + seconds)


def test_a_crowd_that_stays_waits_shorter() -> None:
    """While many are refused, each who is answered waits for 25 ms; once few are, or all have gone, 0.25 s again."""
    admission = Admission()
    crowd(admission, 1.0, 2, answers=10_000, refusals=0)
    assert (admission.crowded, admission.limit) == (False, limits.CEILING)
    crowd(admission, 3.0, 2, answers=10_000, refusals=10_000)
    assert admission.crowded
    assert admission.limit == pytest.approx(250, abs=5)
    crowd(admission, 5.0, 2, answers=10_000, refusals=500)
    assert (admission.crowded, admission.limit) == (False, limits.CEILING)
    crowd(admission, 7.0, 2, answers=10_000, refusals=10_000)
    assert admission.crowded
    assert admission.enter(9.3)
    assert (admission.crowded, admission.limit) == (False, limits.CEILING)


def test_a_crowd_before_a_slow_service() -> None:
    """What a batch of OPA and a commit need is let in, and never more than is answered in 0.25 s."""
    admission = Admission()
    crowd(admission, 1.0, 2, answers=2_000, refusals=2_000)
    assert admission.crowded
    assert admission.limit == limits.CROWD
    admission = Admission()
    crowd(admission, 1.0, 4, answers=300, refusals=900)
    assert admission.crowded
    assert admission.limit == pytest.approx(75, abs=2)


def test_a_crowd_that_would_fit_is_none() -> None:
    """Refused because fewer may be under way in a crowd, they would stay one for ever."""
    admission = Admission()
    crowd(admission, 1.0, 2, answers=2_000, refusals=2_000)
    admission.waiting(501)
    assert admission.crowded
    admission.waiting(300)
    assert not admission.crowded
    assert admission.limit == pytest.approx(500, abs=2)


def test_strangers_take_no_room_of_a_slow_service() -> None:
    """What is in hand may be nothing that is decided."""
    admission = Admission()
    admission.in_hand = 200
    assert not admission.full()
    admission.in_hand = 256
    assert admission.full()


def test_bursts_with_pauses_are_no_crowd() -> None:
    """Three thousand at once, twice a second: a thousand of them are answered each time, and not a few."""
    admission = Admission()
    crowd(admission, 1.0, 1, answers=10_000, refusals=0)
    for turn in range(20):
        now = 10.0 + turn / 2
        entered = [admission.enter(now) for _ in range(3000)].count(True)
        assert entered == limits.CEILING
        for n in range(entered):
            admission.leave(now + (n + 1) / 10_000)
