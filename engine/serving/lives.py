"""How long the processes of a service have lived: when the next one is started, and when no other would do better."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

LASTING_SECONDS: Final = 30.0
"""Who has lived for so long has shown that it can: the application behind the decisions is loaded by then."""
TRIES: Final = 5
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 5.0


class Lives:
    """Of processes that stand in for each other: the workers, or the ledger's process alone."""

    def __init__(self, names: Iterable[str]) -> None:
        self._short = dict.fromkeys(names, 0)
        """How many short lives each has had in a row."""
        self._under_way: dict[str, float] = {}
        """Since when."""
        self._longest = 0.0
        """Of the short ones."""
        self._lasted = False

    def began(self, name: str, at: float) -> None:
        """One of them was started: `at` is seconds of any one clock."""
        self._under_way[name] = at

    def ended(self, name: str, at: float) -> None:
        """One of them has ended."""
        seconds = at - self._under_way.pop(name)
        if seconds >= LASTING_SECONDS:
            self._lasted = True
            self._short[name] = 0
        else:
            self._short[name] += 1
            self._longest = max(self._longest, seconds)

    def pause(self, name: str) -> float:
        """Seconds until the next one of this name is started: none at first, and longer each time it does not last."""
        again = min(self._short[name] - 2, 10)
        return 0.0 if again < 0 else min(_FIRST_PAUSE * 2**again, _LONGEST_PAUSE)

    def hopeless(self, now: float) -> bool:
        """Whether each of them has ended soon too often in a row, and none has ever lasted, or has just now lived
        longer than what ended: that one may be serving."""
        tried = not self._lasted and min(self._short.values()) >= TRIES
        return tried and all(now - began <= self._longest for began in self._under_way.values())
