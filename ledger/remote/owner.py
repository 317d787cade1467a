"""The owner of the file, as the ledger's process has it: takes work that a worker has prepared, and tells of itself."""

from __future__ import annotations

import asyncio
from typing import cast

from ledger.errors import LedgerError
from ledger.sqlite.waiting import Outcome, Receipts, Waiting, Work
from ledger.sqlite.writer import SqliteLedger


class Asked:
    """What stands for a future where nobody waits for one: it tells its outcome at once, in the loop.

    A future would schedule a callback for each answer, and a commit has hundreds. A question is one of these.
    """

    __slots__ = ()

    def told(self, outcome: Outcome) -> None:
        """What came of it."""
        raise NotImplementedError

    def done(self) -> bool:
        """Nobody cancels it."""
        return False

    def set_result(self, receipts: Receipts) -> None:
        """It was done."""
        self.told(receipts)

    def set_exception(self, error: LedgerError) -> None:
        """It was refused."""
        self.told(error)


class OwnedLedger(SqliteLedger):
    """A SqliteLedger that others append to."""

    def put(self, work: Work, asked: Asked, loop: asyncio.AbstractEventLoop) -> None:
        """`submit`, of what is prepared already; its outcome is told in the loop, with all else of its commit."""
        try:
            self._put(
                Waiting(work, cast("asyncio.Future[Receipts]", asked), loop)
            )  # the rest of its frame goes with it
        except LedgerError as refused:
            asked.told(refused)

    @property
    def offset_ns(self) -> int:
        """How far the wall clock is from the boot clock where it is believed."""
        return self._watch.offset_ns

    @property
    def newest(self) -> dict[str, str]:
        """The newest `at` of every tenant."""
        return self._newest

    @property
    def alive(self) -> bool:
        """Whether the writer's thread goes on."""
        return self._thread.is_alive()
