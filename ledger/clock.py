"""The clock that gives `at`: the wall clock, watched by the one that nobody can set.

A wall clock that is behind the newest `at`, or that moved against CLOCK_BOOTTIME (which a suspend does not
stop), gives no instant at all. Only a `clock.adjusted` entry makes the watch believe it again.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Final, NamedTuple, Protocol

from ledger import instants
from ledger.errors import NotReady
from ledger.instants import Instant

BEHIND_MS: Final = 2_000
DRIFT_NS: Final = 5_000_000_000


class Clock(Protocol):
    """Where time comes from; a test brings its own."""

    def wall_ns(self) -> int:
        """Nanoseconds since 1970, as the host believes."""

    def boot_ns(self) -> int:
        """Nanoseconds since some fixed moment, never set, running during suspend."""


class SystemClock:
    """The host's clocks."""

    wall_ns = staticmethod(time.time_ns)
    boot_ns = staticmethod(partial(time.clock_gettime_ns, time.CLOCK_BOOTTIME))


class Reading(NamedTuple):
    """One look at both clocks."""

    instant: Instant
    offset_ns: int  # wall minus boot: constant while nobody sets the clock


class Watch:
    """Judges readings against the offset at the start, or at the last adjustment."""

    def __init__(self, clock: Clock) -> None:
        self._wall_ns, self._boot_ns = clock.wall_ns, clock.boot_ns
        self._latest = (-1, Instant(""))  # many ask within one millisecond
        self.offset_ns = self.read().offset_ns

    def read(self) -> Reading:
        """Both clocks now, unjudged."""
        wall = self._wall_ns()
        return Reading(self._instant(wall // 1_000_000), wall - self._boot_ns())

    def now(self, newest_at: str | None) -> Instant:
        """max(clock, newest `at`); raises NotReady."""
        wall = self._wall_ns()
        millisecond, instant = self._latest
        if millisecond != wall // 1_000_000:
            instant = self._instant(wall // 1_000_000)
        offset_ns = wall - self._boot_ns()
        # As `judge` does it where nothing is wrong: it is asked twice a decision.
        if -DRIFT_NS <= offset_ns - self.offset_ns <= DRIFT_NS and (newest_at is None or instant >= newest_at):
            return instant
        return judge(Reading(instant, offset_ns), newest_at, self.offset_ns)

    def _instant(self, millisecond: int) -> Instant:
        latest = self._latest
        if latest[0] != millisecond:
            self._latest = latest = (millisecond, instants.from_ms(millisecond))
        return latest[1]

    def believe(self, reading: Reading) -> None:
        """Take the clock as it was read for right, from now on."""
        self.offset_ns = reading.offset_ns


def judge(reading: Reading, newest_at: str | None, offset_ns: int) -> Instant:
    """The instant that may be given out for a reading; raises NotReady."""
    moved = reading.offset_ns - offset_ns
    if abs(moved) > DRIFT_NS:
        raise NotReady(
            f"the clock was moved by {moved / 1e9:+.1f} s while the ledger ran; set it right, "
            "or record a clock adjustment by two people"
        )
    if newest_at is None or reading.instant >= newest_at:
        return reading.instant
    behind = instants.parse(newest_at) - instants.parse(reading.instant)
    if behind > BEHIND_MS:
        raise NotReady(
            f"the clock says {reading.instant}, {behind / 1000:.1f} s before the newest entry ({newest_at}); "
            "set it right, or record a clock adjustment by two people"
        )
    return Instant(newest_at)
