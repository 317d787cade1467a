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
"""As long as an evaluation may take: who has waited for that long asks for itself."""

Key: TypeAlias = tuple[str, str]
"""Who asks, and the key of the question's lease."""


class Company:
    """The questions of one event loop that are being evaluated."""

    def __init__(self) -> None:
        self._first: dict[Key, asyncio.Future[None]] = {}

    async def waited(self, key: Key, until: float | None) -> bool:
        """Wait while this is being evaluated, not behind `until` (of the loop's clock); whether there was any wait."""
        first = self._first.get(key)
        if first is None:
            return False
        patience = PATIENCE_SECONDS if until is None else min(PATIENCE_SECONDS, until - first.get_loop().time())
        await asyncio.wait({first}, timeout=max(patience, 0))
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
