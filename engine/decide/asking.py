"""Who asks, and what they are answered: what every way to a decision hands in and gets back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from engine.access.caller import Caller
from engine.observing import stages as at
from engine.observing.stages import Stages
from ledger.model import JSON

Outcome: TypeAlias = Literal["miss", "stale", "forbidden"]


@dataclass(slots=True, kw_only=True)
class Asking:
    """Who asks, in which request; and what is noted on the way for whoever explains a slow answer.

    `again` says anew who asks, where something that said so before has moved; it raises Unauthenticated.
    """

    caller: Caller
    again: Callable[[], Caller]
    request_id: str
    permit: Callable[[], Awaitable[str]] | None = None
    """Asks whether this caller may ask this: the revision whose access policy says so; raises Forbidden."""
    judged_by: str | None = None
    stages: Stages = field(default_factory=Stages)
    batch: int | None = None
    leases: list[Outcome] = field(default_factory=list)
    """What became of looking for a lease, each time; that there was one is told by the answer."""
    via: dict[str, JSON] | None = None
    """For the record, where a gateway asks."""
    until: float | None = None
    """When it is too late to evaluate, by the loop's clock; what then could not be decided is recorded."""

    async def may(self, revision: str) -> bool:
        """Whether the caller may ask under this revision; False where another one has become active meanwhile."""
        if self.permit is not None and self.judged_by != revision:
            self.judged_by = await self.permit()
        return self.permit is None or self.judged_by == revision

    def sent(self, together: int) -> None:
        """OPA is being asked now, for so many at once."""
        self.stages.mark(at.OPA_QUEUE)
        self.batch = together


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """What a gateway asks about that is no question to a gate: why, by which route, and about which request.

    `unknowable`: why it cannot be told now who is asking, so that not even that can be decided.
    """

    gateway: str
    reason: str
    detail: str
    route: dict[str, JSON] | None
    asked: dict[str, JSON]
    unknowable: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """An answer whose record is durable: `decision_id` is its entry's ID."""

    decision_id: str
    index: int
    at: str
    revision: str
    now: str
    result: dict[str, JSON]
    leased: bool = False
    rendered: bytes | None = None
    """The members of the result as JSON, where they have been written already."""
