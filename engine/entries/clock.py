"""A clock that moved, believed again: two principals say so, and it stands in the log.

While the clock is not believed nothing else can be written, so this is the one request whose tokens are judged by the
wall clock as it is.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from engine.access import tokens
from engine.access.caller import Caller
from engine.entries.writer import Writer
from engine.errors import Conflict
from ledger import instants
from ledger.ids import uuid7
from ledger.model import JSON, Append, Draft, Receipt


def wall_clock() -> str:
    """The host's clock, unjudged."""
    return instants.now_from(time.time_ns())


@dataclass(frozen=True, slots=True)
class ClockAdjustments:
    """Records clock adjustments."""

    writer: Writer

    def authenticate(self, token: str) -> Caller:
        """Who holds a token, by the wall clock; raises Unauthenticated."""
        return tokens.authenticate(self.writer.runtime.reader, token, wall_clock())

    async def adjust(self, first: Caller, second: Caller, reason: str) -> Receipt:
        """Believe the clock from here on; raises Conflict unless two principals of one tenant ask for it."""
        if first.tenant != second.tenant or first.principal == second.principal:
            raise Conflict("a clock adjustment takes two different principals of one tenant")
        head = self.writer.runtime.reader.head(first.tenant)
        payload: dict[str, JSON] = {
            "reason": reason,
            "by": [self.writer.by(first), self.writer.by(second)],
            "from": head.newest_at,
            "to": wall_clock(),
        }
        draft = Draft(id=uuid7(), kind="clock.adjusted", payload=payload)
        (receipt,) = await self.writer.runtime.append(Append(tenant=first.tenant, drafts=(draft,)))
        return receipt
