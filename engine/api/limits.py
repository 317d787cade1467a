"""Who is refused before anything is decided: callers that ask too often, and whoever comes when too much waits.

Pure: no clock and no thread. `now` is seconds of any one monotonic clock. Both belong to one worker process.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from itertools import islice
from typing import Final

BUCKETS: Final = 10_000
_LOOKED_AT: Final = 8
_ROUNDING: Final = 1e-9  # who waited as long as they were told is not refused for the last bit of a float

WAIT_SECONDS: Final = 0.25
FLOOR: Final = 64
CEILING: Final = 1024
_WINDOW_SECONDS: Final = 0.2


class RateLimits:
    """A token bucket for each caller.

    A bucket is one number: the instant at which it is full again. A full bucket carries no information, and whoever has
    not asked for longest is full unless 10,000 others asked while theirs filled; so of the eight least recently seen
    the fullest is forgotten when there is no room. A caller that is refused is seen, and not forgotten for it.
    """

    def __init__(self, rate_per_s: float, burst: int) -> None:
        """`rate_per_s` tokens come each second, `burst` fit into a bucket; a rate of 0 refuses nobody."""
        if not (math.isfinite(rate_per_s) and rate_per_s >= 0 and burst >= 1):
            raise ValueError(f"a rate of 0 or more and a burst of 1 or more, not {rate_per_s} and {burst}")
        self._interval = 1 / rate_per_s if rate_per_s else 0.0
        self._slack = (
            burst - 1
        ) * self._interval + 1e-9  # who waited as long as was said is not refused for a rounding
        # A plain dict walks over what was deleted at its front: 7 us a stranger at the bound, against 2.
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        """How many buckets are remembered."""
        return len(self._full_at)

    def allow(self, key: str, now: float) -> float:
        """Take a token: 0.0, or the seconds until there is one."""
        if not self._interval:
            return 0.0
        full_at = max(self._full_at.pop(key, now), now)
        wait = full_at - now - self._slack
        if wait > _ROUNDING:
            self._full_at[key] = full_at
            return wait
        if len(self._full_at) >= BUCKETS:
            oldest = islice(self._full_at.items(), _LOOKED_AT)
            del self._full_at[min(oldest, key=lambda bucket: bucket[1])[0]]
        self._full_at[key] = full_at + self._interval
        return 0.0


def retry_after(seconds: float) -> str:
    """The value of `Retry-After`: whole seconds, rounded up, at least one."""
    return str(max(1, math.ceil(seconds)))


class Admission:
    """Bounds the decisions under way, so that what is answered is answered soon and the rest is refused at once.

    By Little's law whoever enters as the n-th waits n / rate. So at most `rate x 0.25 s` may be under way, where the
    rate is what was answered in a second *while anything was under way*: an idle hour does not lower it. It is taken
    anew after each 0.2 s of work (the better of the last two, since a batch is answered at one instant and may fall on
    either side), and within the first of them from when a floor's worth was answered. At least 64 may be under way (a
    batch of OPA and a commit need company; below 256 a second the wait is 64 / rate), at most 1,024.
    """

    __slots__ = ("_answered", "_began", "_idle_since", "_rate", "limit", "under_way")

    def __init__(self) -> None:
        self.under_way = 0
        self.limit = FLOOR
        self._answered = 0
        self._began = self._idle_since = 0.0
        self._rate = 0.0

    def enter(self, now: float) -> bool:
        """Whether one more may begin; who is refused does not `leave`."""
        if self.under_way >= self.limit:
            return False
        if not self.under_way:
            self._began += now - self._idle_since  # idle time is no part of the window
        self.under_way += 1
        return True

    def leave(self, now: float) -> None:
        """One has ended, with whatever outcome."""
        self.under_way -= 1
        self._answered += 1
        worked = now - self._began
        if worked >= _WINDOW_SECONDS or (not self._rate and self._answered >= FLOOR and worked > 0):
            rate = self._answered / worked
            self.limit = max(FLOOR, min(CEILING, round(max(rate, self._rate) * WAIT_SECONDS)))
            if worked >= _WINDOW_SECONDS:
                self._rate, self._answered, self._began = rate, 0, now
        if not self.under_way:
            self._idle_since = now
