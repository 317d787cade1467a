"""Who is refused before anything is decided: callers that ask too often, and whoever comes when too much waits.

No clock and no thread: `now` is seconds of any one monotonic clock. Admission belongs to one worker; the buckets of
callers are shared by all workers of a service.
"""

from __future__ import annotations

import math
import mmap
import os
from collections import OrderedDict
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Final, Protocol

BUCKETS: Final = 10_000
ROWS: Final = 16_384
_LOOKED_AT: Final = 8
_ROUNDING: Final = 1e-9  # who waited as long as they were told is not refused for the last bit of a float

WAIT_SECONDS: Final = 0.25
CROWDED_SECONDS: Final = 0.025
CROWD: Final = 128
FLOOR: Final = 64
CEILING: Final = 1024
_WINDOW_SECONDS: Final = 0.2
_MANY: Final = 0.1
_IN_HAND: Final = 256
"""So many may be in hand in any case: strangers, whom nothing is decided for, take no room of a slow service."""


class Buckets(Protocol):
    """The instant at which each caller's bucket is full again. A full bucket carries no information."""

    def get(self, key: str) -> float | None:
        """None where nothing is known."""

    def put(self, key: str, full_at: float) -> None:
        """Remember; where there is no room the fullest of eight is forgotten."""


class OwnBuckets:
    """Of one process. Whoever has not asked for longest is full unless 10,000 others asked while theirs filled."""

    def __init__(self) -> None:
        # A plain dict walks over what was deleted at its front: 7 us a stranger at the bound, against 2.
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        """How many are remembered."""
        return len(self._full_at)

    def get(self, key: str) -> float | None:
        """See Buckets."""
        return self._full_at.get(key)

    def put(self, key: str, full_at: float) -> None:
        """See Buckets; whoever asks, refused or not, was seen last."""
        if key not in self._full_at and len(self._full_at) >= BUCKETS:
            oldest = islice(self._full_at.items(), _LOOKED_AT)
            del self._full_at[min(oldest, key=lambda bucket: bucket[1])[0]]
        self._full_at[key] = full_at
        self._full_at.move_to_end(key)


class SharedBuckets:
    """Of all workers of a service: a table in a file that each of them maps.

    A row is 16 bytes: a hash of the key, and the instant. There is no lock, so that a worker which hangs stops nobody:
    two who take a token at the very same moment may take one for two.
    """

    def __init__(self, path: Path) -> None:
        """Make the file where nobody has yet; raises OSError."""
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.ftruncate(file, 16 * ROWS)  # of a file that has this size already it changes nothing
            table = memoryview(mmap.mmap(file, 16 * ROWS))
        finally:
            os.close(file)
        self._hashes, self._instants = table.cast("Q"), table.cast("d")

    def get(self, key: str) -> float | None:
        """See Buckets."""
        hashed = _hash(key)
        row = self._row(hashed)
        return self._instants[row + 1] if self._hashes[row] == hashed else None

    def put(self, key: str, full_at: float) -> None:
        """See Buckets."""
        hashed = _hash(key)
        row = self._row(hashed)
        self._hashes[row], self._instants[row + 1] = hashed, full_at

    def _row(self, hashed: int) -> int:
        """Where a key is; or else the fullest of the places that it may have."""
        rows = [2 * ((hashed + step) % ROWS) for step in range(_LOOKED_AT)]
        for row in rows:
            if self._hashes[row] == hashed:
                return row
        return min(rows, key=lambda row: self._instants[row + 1])


def _hash(key: str) -> int:
    return int.from_bytes(blake2b(key.encode(), digest_size=8).digest())


class RateLimits:
    """A token bucket for each caller. A caller that is refused is seen, and not forgotten for it."""

    def __init__(self, rate_per_s: float, burst: int, buckets: Buckets | None = None) -> None:
        """`rate_per_s` tokens come each second, `burst` fit into a bucket; a rate of 0 refuses nobody."""
        if not (math.isfinite(rate_per_s) and rate_per_s >= 0 and burst >= 1):
            raise ValueError(f"a rate of 0 or more and a burst of 1 or more, not {rate_per_s} and {burst}")
        self._interval = 1 / rate_per_s if rate_per_s else 0.0
        self._slack = (burst - 1) * self._interval
        self._buckets = OwnBuckets() if buckets is None else buckets

    def allow(self, key: str, now: float) -> float:
        """Take a token: 0.0, or the seconds until there is one."""
        if not self._interval:
            return 0.0
        full_at = max(self._buckets.get(key) or now, now)
        wait = full_at - now - self._slack
        refused = wait > _ROUNDING
        self._buckets.put(key, full_at if refused else full_at + self._interval)
        return wait if refused else 0.0


def retry_after(seconds: float) -> str:
    """The value of `Retry-After`: whole seconds, rounded up, at least one."""
    return str(max(1, math.ceil(seconds)))


class Admission:
    """Bounds what is under way, so that what is answered is answered soon and the rest is refused at once.

    By Little's law whoever enters as the n-th waits n / rate. So at most `rate x 0.25 s` may be under way, where the
    rate is what was answered in a second *while anything was under way*: an idle hour does not lower it. It is taken
    anew after each 0.2 s of work (the better of the last two, since a batch is answered at one instant and may fall on
    either side), and within the first of them from when a floor's worth was answered. At least 64 may be under way (a
    batch of OPA and a commit need company; below 256 a second the wait is 64 / rate), at most 1,024.

    That is for a burst, which is over when it has been answered. A crowd stays: more than a tenth of what came within
    0.2 s was refused, and there was hardly a pause. Then everybody who is answered would wait for 0.25 s, and each of a
    thousand decisions that are under way finds what it needs in no cache any more. So at most `rate x 0.025 s` may be,
    or 128.
    """

    __slots__ = (
        "_answered",
        "_began",
        "_burst",
        "_idle_since",
        "_idled",
        "_rate",
        "_refused",
        "crowded",
        "in_hand",
        "limit",
        "under_way",
    )

    def __init__(self) -> None:
        self.under_way = 0
        self.in_hand = 0
        """Requests that were read, and whose answer has not begun: what they ask for may not be under way yet."""
        self.limit = self._burst = FLOOR
        self.crowded = False
        self._answered = self._refused = 0
        self._began = self._idle_since = self._idled = 0.0
        self._rate = 0.0

    def full(self) -> bool:
        """Whether there is no room for a request. It is refused then, and neither enters nor leaves."""
        if self.under_way < self.limit and self.in_hand < max(self.limit, _IN_HAND):
            return False
        self._refused += 1
        return True

    def enter(self, now: float) -> bool:
        """Whether one more may begin; who is refused does not `leave`."""
        if self.under_way >= self.limit:
            self._refused += 1
            return False
        if not self.under_way:
            self._paused(now - self._idle_since)
        self.under_way += 1
        return True

    def _paused(self, seconds: float) -> None:
        self._began += seconds  # idle time is no part of the window
        self._idled += seconds
        if self.crowded and seconds >= _WINDOW_SECONDS:
            self.crowded = False
            self._bound(self._rate)

    def leave(self, now: float) -> None:
        """One has ended, with whatever outcome."""
        self.under_way -= 1
        self._answered += 1
        worked = now - self._began
        if worked >= _WINDOW_SECONDS or (not self._rate and self._answered >= FLOOR and worked > 0):
            rate = self._answered / worked
            best = max(rate, self._rate)
            if worked >= _WINDOW_SECONDS:
                self.crowded = self._refused > _MANY * (self._refused + self._answered) and self._idled < worked
                self._rate, self._answered, self._began = rate, 0, now
                self._refused, self._idled = 0, 0.0
            self._bound(best)
        if not self.under_way:
            self._idle_since = now

    def waiting(self, many: int) -> None:
        """So many were refused, and ask again. If they would be answered in a burst's time they are no crowd."""
        if self.crowded and max(self.in_hand, self.under_way) + many <= self._burst:
            self.crowded = False
            self.limit = self._burst

    def _bound(self, rate: float) -> None:
        self.limit = self._burst = max(FLOOR, min(CEILING, round(rate * WAIT_SECONDS)))
        if self.crowded:
            self.limit = min(self.limit, max(CROWD, round(rate * CROWDED_SECONDS)))
