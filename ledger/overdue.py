"""Answers that are waited for, and not for ever: one timer for all of them.

A timer for each costs 3 us, asyncio.timeout 9: more than the rest of the wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

_LOOKS: Final = 10
"""So often it is looked while one may wait: who waits is told a tenth too late at the most."""


class Overdue:
    """Futures of one event loop; one that is not answered within `seconds` is answered with `failure`."""

    def __init__(self, seconds: float, failure: Callable[[], Exception]) -> None:
        self._seconds = seconds
        self._failure = failure
        self._since: dict[asyncio.Future[Any], float] = {}  # the oldest first
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """How many are waited for."""
        return len(self._since)

    def add(self, future: asyncio.Future[Any]) -> None:
        """Wait for one more."""
        loop = future.get_loop()
        self._since[future] = loop.time()
        if self._timer is None:
            self._timer = loop.call_later(self._seconds / _LOOKS, self._look, loop)

    def discard(self, future: asyncio.Future[Any]) -> None:
        """Nobody waits for it any more."""
        self._since.pop(future, None)

    def fail(self, failure: Callable[[], Exception]) -> None:
        """Answer all that wait with this, now."""
        for future in self._since:
            if not future.done():
                future.set_exception(failure())
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        late = loop.time() - self._seconds
        for future, since in self._since.items():
            if since > late:
                break
            if not future.done():
                future.set_exception(self._failure())
        self._timer = loop.call_later(self._seconds / _LOOKS, self._look, loop) if self._since else None
