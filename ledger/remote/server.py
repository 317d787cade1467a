"""The ledger's process: takes what workers send to the one writer, and tells each what came of it.

The writer's thread wakes the loop once for all that a commit answers, and what it answers to one worker goes in one
frame. What a commit moved is sent to every worker before any answer of that commit is sent to anybody.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from pathlib import Path
from typing import Any, Final

import orjson

from ledger.errors import LedgerError
from ledger.model import Changed
from ledger.prepared import PreparedAppend
from ledger.remote import answers
from ledger.remote.connection import Connection
from ledger.remote.frames import frame
from ledger.remote.handover import Handover, rebuilt
from ledger.remote.owner import Asked, OwnedLedger
from ledger.remote.questions import Question, questions
from ledger.sqlite.projection import Projection
from ledger.sqlite.waiting import Outcome

_TELL_S: Final = 0.1
"""How soon a worker that nobody asks anything of learns how far the log has come."""

_log = logging.getLogger(__name__)


class LedgerServer:
    """Serves one ledger in the running loop; rebuilt rows are taken from folders of `home` only."""

    def __init__(self, ledger: OwnedLedger, home: Path) -> None:
        self.ledger = ledger
        self._home = home
        self._loop = asyncio.get_running_loop()
        self._workers: set[_Worker] = set()
        self._server: asyncio.Server | None = None
        self._grown: dict[str, str] = {}
        self._telling: asyncio.TimerHandle | None = None
        # From the writer's thread, and before the answers: those come by the same way.
        ledger.watch(self._committed)

    async def start(self, listener: socket.socket) -> None:
        """Take connections of a bound Unix socket from now on."""
        self._server = await self._loop.create_unix_server(lambda: _Worker(self), sock=listener)

    async def stop(self) -> None:
        """Answer what has been asked, and end."""
        if self._server is not None:
            self._server.close()
        await asyncio.to_thread(self.ledger.close)
        self._spread()
        await asyncio.sleep(0)  # what the writer answered last stands behind this in the loop's queue
        if self._telling is not None:
            self._telling.cancel()
        for worker in list(self._workers):
            worker.flush()
            worker.close()

    def joined(self, worker: _Worker) -> None:
        """Welcome a worker: from here on it is told what changes."""
        self._workers.add(worker)
        worker.tell({"version": answers.VERSION, "offset": self.ledger.offset_ns, "newest": dict(self.ledger.newest)})

    def left(self, worker: _Worker) -> None:
        """A worker is gone; what it has asked is done all the same."""
        self._workers.discard(worker)

    def take(self, worker: _Worker, number: int, asked: Question | LedgerError) -> None:
        """Hand one question to the writer."""
        if type(asked) is PreparedAppend:
            self.ledger.put(asked, _Append(worker, number, self, asked), self._loop)
        elif isinstance(asked, LedgerError):
            _log.error("a worker asked for what it should have refused itself: %s", asked)
            worker.answer(answers.told(number, asked))
        elif isinstance(asked, Handover):
            try:
                made = asked.opened(self._home)
            except LedgerError as refused:
                worker.answer(answers.told(number, refused))
            else:
                self.ledger.put(rebuilt(made, asked.payload), _Replacement(worker, number, made), self._loop)
        else:
            self.ledger.put(asked, _Asked(worker, number), self._loop)

    def grown(self, tenant: str, at: str) -> None:
        """A log has become longer."""
        if not self._grown:
            self._loop.call_soon(self._spread)
        self._grown[tenant] = at

    def adjusted(self) -> None:
        """The clock is believed again."""
        self._everybody({"offset": self.ledger.offset_ns})

    def _spread(self) -> None:
        """Have every worker told how far the logs have come, with what it is told next."""
        grown, self._grown = self._grown, {}
        for worker in self._workers:
            worker.untold |= grown
        if self._telling is None:
            self._telling = self._loop.call_later(_TELL_S, self._tell)

    def _committed(self, changed: Changed) -> None:
        self._loop.call_soon_threadsafe(self._changed, changed)

    def _changed(self, changed: Changed) -> None:
        self._everybody({"changed": [answers.changed(changed)]})

    def _everybody(self, news: dict[str, Any]) -> None:
        for worker in self._workers:
            worker.tell(dict(news))

    def _tell(self) -> None:
        self._telling = None
        for worker in self._workers:
            if worker.untold:
                worker.tell({})


class _Worker(Connection):
    """One worker: what it has asked is answered here, and it hears what every commit moved."""

    def __init__(self, server: LedgerServer) -> None:
        super().__init__(self._asked, lambda: server.left(self), lambda: None)
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._answers: list[tuple[Any, ...]] = []
        self.untold: dict[str, str] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        super().connection_made(transport)
        self._server.joined(self)

    def _asked(self, told: Any, behind: bytes) -> None:
        for number, asked in questions(told, behind):
            self._server.take(self, number, asked)

    def answer(self, answer: tuple[Any, ...]) -> None:
        """Answer one question, with all that is answered in this round of the loop."""
        if not self._answers:
            self._loop.call_soon(self.flush)
        self._answers.append(answer)

    def flush(self) -> None:
        """Send the answers that have gathered."""
        if self._answers:
            given, self._answers = self._answers, []
            self.tell({"answers": given})

    def tell(self, told: dict[str, Any]) -> None:
        """Send one frame, with what has not been told."""
        if self.untold:
            told.setdefault("newest", self.untold)
            self.untold = {}
        self.write(frame(orjson.dumps(told)))


class _Asked(Asked):
    """A question of a worker's."""

    __slots__ = ("_number", "_worker")

    def __init__(self, worker: _Worker, number: int) -> None:
        self._worker = worker
        self._number = number

    def told(self, outcome: Outcome) -> None:
        """Answer it."""
        self._worker.answer(answers.told(self._number, outcome))


class _Append(_Asked):
    """An append: its log is longer for all."""

    __slots__ = ("_append", "_server")

    def __init__(self, worker: _Worker, number: int, server: LedgerServer, append: PreparedAppend) -> None:
        self._worker = worker
        self._number = number
        self._server = server
        self._append = append

    def told(self, outcome: Outcome) -> None:
        """Answer it."""
        if not isinstance(outcome, LedgerError):
            if not outcome[-1].duplicate:
                self._server.grown(self._append.tenant, outcome[-1].at)
            if self._append.adjusts_clock:
                self._server.adjusted()
        self._worker.answer(answers.told(self._number, outcome))


class _Replacement(_Asked):
    """Rebuilt rows: whoever made them takes them back."""

    __slots__ = ("_made",)

    def __init__(self, worker: _Worker, number: int, made: Projection) -> None:
        super().__init__(worker, number)
        self._made = made

    def told(self, outcome: Outcome) -> None:
        """Answer it."""
        self._made.tables.db.close()
        self._worker.answer(answers.told(self._number, outcome, named=True))
