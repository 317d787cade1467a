"""What waits for the writer, and how it is answered: where it is, or in the event loop that it came from."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TypeAlias

from ledger.errors import LedgerError
from ledger.model import Cosigned, Published, Receipt
from ledger.prepared import PreparedAppend
from ledger.sqlite.projection import Replace
from ledger.sqlite.scrub import Scrub

Receipts: TypeAlias = tuple[Receipt, ...]
Outcome: TypeAlias = Receipts | LedgerError
Work: TypeAlias = PreparedAppend | Published | Cosigned | Scrub | Replace


@dataclass(slots=True)
class Waiting:
    """Work that was submitted; with a `loop` the future is that loop's, and touched only there."""

    work: Work
    future: Future[Receipts] | asyncio.Future[Receipts]
    loop: asyncio.AbstractEventLoop | None = None
    attempted: bool = False  # a commit with it failed in an unknown way

    @property
    def adjusts_clock(self) -> bool:
        """Whether it is an append that adjusts the clock."""
        return isinstance(self.work, PreparedAppend) and self.work.adjusts_clock


def answer(outcomes: Iterable[tuple[Waiting, Outcome]]) -> None:
    """Answer from the writer's thread. Each loop is woken once for all that is its own."""
    loops: dict[asyncio.AbstractEventLoop, list[tuple[Future[Receipts] | asyncio.Future[Receipts], Outcome]]] = {}
    for waiting, outcome in outcomes:
        if waiting.loop is None:
            resolve([(waiting.future, outcome)])
        elif waiting.loop in loops:
            loops[waiting.loop].append((waiting.future, outcome))
        else:
            loops[waiting.loop] = [(waiting.future, outcome)]
    for loop, answers in loops.items():
        try:
            loop.call_soon_threadsafe(resolve, answers)
        except RuntimeError:
            if not loop.is_closed():  # whoever waited in a loop that is closed is gone
                raise


def resolve(answers: list[tuple[Future[Receipts] | asyncio.Future[Receipts], Outcome]]) -> None:
    """Resolve futures, but for those that are resolved, or were cancelled, already."""
    for future, outcome in answers:
        if future.done():
            continue
        if isinstance(outcome, LedgerError):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
