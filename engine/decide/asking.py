"""Who asks, and what they are answered: what every way to a decision hands in and gets back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from engine.access.caller import Caller
from engine.errors import Undecided
from engine.observing import stages as at
from engine.observing.stages import Stages
from ledger import instants
from ledger.model import JSON

_SECOND_MS: Final = 1000
Outcome: TypeAlias = Literal["miss", "stale", "forbidden"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lend:
    """How long a gateway may keep an allow whose gate lets it: `most_ms`, and never past `until_ms` (since 1970)."""

    most_ms: int
    until_ms: int | None

    def until(self, now: str, valid_until: JSON) -> str | None:
        """The instant from which it is to ask again; None where it may not keep the answer for one second."""
        now_ms = instants.parse(now)
        ends = [now_ms + self.most_ms]
        ends += [self.until_ms] if self.until_ms is not None else []
        ends += [instants.parse(valid_until)] if isinstance(valid_until, str) else []
        return instants.from_ms(min(ends)) if min(ends) - now_ms >= _SECOND_MS else None


class Outdated(Exception):
    """Another revision is active by now than the one by whose routes a request was read: it is to be read anew."""


@dataclass(slots=True, kw_only=True)
class Asking:
    """Who asks, in which request; and what is noted on the way for whoever explains a slow answer.

    `again` says anew who asks, where something that said so before has moved; it raises Unauthenticated.
    """

    caller: Caller
    again: Callable[[], Caller]
    request_id: str
    permit: Callable[[Caller], Awaitable[str]] | None = None
    """Asks whether a caller may ask this: the revision whose access policy says so; raises Forbidden.

    It is handed the caller, and holds nothing of this object: what refers to itself is freed only by the collector.
    """
    judged_by: str | None = None
    paid: bool = False
    """Whether its caller has paid for it by their rate: what is read anew, or proves to be no question, is one ask."""
    read_by: str | None = None
    """The revision by whose profiles and routes the request was read, where a gateway asks: no other answers it."""
    stages: Stages = field(default_factory=Stages)
    batch: int | None = None
    leases: list[Outcome] = field(default_factory=list)
    """What became of looking for a lease, each time; that there was one is told by the answer."""
    via: dict[str, JSON] | None = None
    """For the record, where a gateway asks."""
    lend: Lend | None = None
    """For a gateway that could keep an answer."""
    lent_until: str | None = None
    """Until when it may, as the answer's record says."""
    until: float | None = None
    """When it is too late to evaluate, by the loop's clock; what then could not be decided is recorded."""

    async def may(self, revision: str) -> bool:
        """Whether the caller may ask under this revision; False where another one has become active meanwhile."""
        if self.permit is not None and self.judged_by != revision:
            self.judged_by = await self.permitted()
        return self.permit is None or self.judged_by == revision

    async def permitted(self) -> str:
        """The revision whose policy lets the caller ask; raises Forbidden, and Undecided where it cannot say so, or
        not in time."""
        assert self.permit is not None
        if self.until is None:
            return await self.permit(self.caller)
        try:
            async with asyncio.timeout_at(self.until):
                return await self.permit(self.caller)
        except TimeoutError as exc:
            raise Undecided("timeout", "there was no time left to say whether the caller may ask") from exc

    def told(self) -> dict[str, JSON] | None:
        """What the record says of the gateway that asks, and of how long it may keep the answer."""
        return self.via if self.lent_until is None or self.via is None else {**self.via, "lent_until": self.lent_until}

    def sent(self, together: int) -> None:
        """OPA is being asked now, for so many at once."""
        self.stages.mark(at.OPA_QUEUE)
        self.batch = together


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """What a gateway asks about that is no question to a gate: why, by which route, and about which request.

    `unknowable`: why not even that can be decided, as where it cannot be told now who is asking: (cause, detail).
    """

    gateway: str
    reason: str
    detail: str
    route: dict[str, JSON] | None
    asked: dict[str, JSON]
    unknowable: tuple[str, str] | None = None


@dataclass(slots=True, kw_only=True)
class Decided:
    """An answer whose record is durable: `decision_id` is its entry's ID. It is never changed.

    (Not frozen: to make a frozen one takes three times as long.)
    """

    decision_id: str
    index: int
    at: str
    revision: str
    now: str
    result: dict[str, JSON]
    leased: bool = False
    rendered: bytes | None = None
    """The members of the result as JSON, where they have been written already."""
