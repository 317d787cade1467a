"""Company: whoever asks what the same caller has just asked waits for that answer, and takes the lease that it brings.

Many ask about the same person at once, and when a fact of theirs moves their leases go together: without this each of
them would be evaluated. Only the same caller's are company, so nobody waits for a question that fails, or is kept
waiting, for what another caller has done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, TypeAlias

PATIENCE_SECONDS: Final = 1.0
"""As long as an evaluation may take: who has waited for that long in all asks for itself."""

Key: TypeAlias = tuple[str, str]
"""Who asks, and the key of the question's lease."""


class Company:
    """The questions of one event loop that are being evaluated."""

    def __init__(self) -> None:
        self._first: dict[Key, asyncio.Future[None]] = {}

    @staticmethod
    def patience(until: float | None) -> float:
        """Until when to wait, by the loop's clock; who has a deadline keeps half of their time for themselves."""
        now = asyncio.get_running_loop().time()
        return now + (PATIENCE_SECONDS if until is None else min(PATIENCE_SECONDS, (until - now) / 2))

    async def waited(self, key: Key, patience: float) -> bool:
        """Wait while this is being evaluated; False where there is nothing to wait for, or no patience left.

        Whoever has waited puts the question again: what it leans on may have moved, and then so it has for the first.
        """
        first = self._first.get(key)
        left = 0.0 if first is None else patience - first.get_loop().time()
        if first is None or left <= 0:
            return False
        await asyncio.wait({first}, timeout=left)
        return True

    @contextmanager
    def first(self, key: Key) -> Iterator[None]:
        """It is being evaluated, until the answer is there or has failed."""
        if key in self._first:  # who has lost patience
            yield
            return
        self._first[key] = first = asyncio.get_running_loop().create_future()
        try:
            yield
        finally:
            del self._first[key]
            first.set_result(None)
