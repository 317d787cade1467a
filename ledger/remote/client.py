"""The ledger of another process, as a worker has it: `ledger.store.Ledger` over a Unix socket.

Everything happens in one event loop: what waits in one of its rounds goes in one frame, and what one commit answers
comes in one. Where the ledger's process dies, what it had not answered is sent again, by the same IDs, to the one that
takes its place: whether it was written or not, it then is, once. After `PATIENCE_S` without one it is `Unknown`. While
there is none, everything new is refused with NotReady.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from ledger.clock import Clock, SystemClock, Watch
from ledger.errors import LedgerError, NotReady, Unknown
from ledger.instants import Instant
from ledger.model import JSON, Append, Changed, Cosigned, Published, Receipt
from ledger.prepared import PreparedAppend, prepare
from ledger.remote import answers, questions
from ledger.remote.connection import Connection
from ledger.remote.frames import BadFrame, frame
from ledger.remote.handover import Handover
from ledger.remote.questions import Item, Question
from ledger.sqlite.projection import Projection
from ledger.sqlite.reader import SqliteReader
from ledger.sqlite.scrub import Scrub

PATIENCE_S: Final = 5.0
_AGAIN_S: Final = 0.05
_SILENT_S: Final = 2.0
_MOST_WAITING: Final = 8192
_MOST_BYTES: Final = 128 << 20
_FRAME_BYTES: Final = 4 << 20

_log = logging.getLogger(__name__)

Receipts = tuple[Receipt, ...]


@dataclass(slots=True)
class _Sent:
    """A question without an answer yet. `ids` are None where the answer names its entries itself."""

    item: Item
    ids: tuple[str, ...] | None
    future: asyncio.Future[Receipts] | Future[Receipts]
    since: float
    until: float | None = None  # set when the ledger's process died under it
    again: bool = True

    def refuse(self, error: LedgerError) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class RemoteLedger:
    """See ledger.store.Ledger; made by `connect`, in the loop that it lives in. `database` is only read here."""

    def __init__(self, database: Path, socket: Path, clock: Clock) -> None:
        self._database = database
        self._socket = socket
        self._watch = Watch(clock)
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._newest: dict[str, str] = {}
        self._watching: list[Callable[[Changed], None]] = []
        self._gaps: list[Callable[[], None]] = []
        self._sent: dict[int, _Sent] = {}
        self._bytes = 0
        self._number = 0
        self._outgoing: list[Item] = []
        self._connection: Connection | None = None
        self._connected = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._closing = False
        self._connecting = asyncio.create_task(self._connect())

    @classmethod
    async def connect(
        cls, database: Path, socket: Path, *, clock: Clock | None = None, within: float = PATIENCE_S
    ) -> Self:
        """A ledger that has heard from its process; raises NotReady."""
        ledger = cls(database, socket, clock or SystemClock())
        try:
            async with asyncio.timeout(within):
                await ledger._connected.wait()
        except TimeoutError:
            await ledger.aclose()
            raise NotReady(f"the ledger's process does not answer at {socket}") from None
        return ledger

    def submit(self, append: Append) -> Future[Receipts]:
        """See Ledger; from any thread."""
        return self._from_anywhere(lambda: prepare(append))

    def keep(self, signed: Published | Cosigned) -> Future[Receipts]:
        """See Ledger."""
        return self._from_anywhere(lambda: signed)

    def scrub(self, *, rewrite: bool) -> Future[Receipts]:
        """See Ledger."""
        return self._from_anywhere(lambda: Scrub(rewrite))

    def replace(self, made: Projection, payload: dict[str, JSON]) -> Future[Receipts]:
        """Put rebuilt rows in the place of those that differ; see handover.rebuilt, and SqliteLedger.replace."""
        return self._from_anywhere(lambda: Handover.of(made, payload))

    def append(self, append: Append) -> asyncio.Future[Receipts]:
        """See Ledger; in this ledger's loop."""
        future: asyncio.Future[Receipts] = self._loop.create_future()
        try:
            self._put(prepare(append), future)
        except LedgerError as refused:
            future.set_exception(refused)
        return future

    def watch(self, changed: Callable[[Changed], None]) -> None:
        """See Ledger; called in this ledger's loop. What was missed is told by `gap`."""
        self._watching.append(changed)

    def gap(self, missed: Callable[[], None]) -> None:
        """Have told, in this ledger's loop, that commits may have gone by untold: whoever remembers must forget all."""
        self._gaps.append(missed)

    def now(self, tenant: str) -> Instant:
        """See Ledger."""
        return self._watch.now(self._newest.get(tenant))

    @property
    def away(self) -> bool:
        """Whether the ledger's process is not there now, or has not answered for seconds."""
        if self._connection is None:
            return True
        oldest = next(iter(self._sent.values()), None)
        return oldest is not None and oldest.since + _SILENT_S < self._loop.time()

    def reader(self) -> SqliteReader:
        """See Ledger."""
        return SqliteReader(self._database)

    def close(self) -> None:
        """See Ledger. In the ledger's own loop what is under way cannot be waited for: see `aclose`."""
        if threading.get_ident() != self._thread:
            asyncio.run_coroutine_threadsafe(self.aclose(), self._loop).result()
        else:
            self._end()

    async def aclose(self) -> None:
        """Wait for what was submitted, then end."""
        self._closing = True
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                await self._idle.wait()
        self._end()
        await asyncio.gather(self._connecting, return_exceptions=True)

    def _end(self) -> None:
        self._closing = True
        self._connecting.cancel()
        self._give_up(lambda _: True, "the ledger was closed")
        if self._connection is not None:
            self._connection.close()

    # Out.

    def _from_anywhere(self, made: Callable[[], Question]) -> Future[Receipts]:
        future: Future[Receipts] = Future()
        future.set_running_or_notify_cancel()  # what is queued cannot be taken back
        try:
            asked = made()
            if threading.get_ident() == self._thread:
                self._put(asked, future)
            else:
                self._loop.call_soon_threadsafe(self._put_or_refuse, asked, future)
        except RuntimeError:  # the loop has ended
            future.set_exception(NotReady("the ledger is closed"))
        except LedgerError as refused:
            future.set_exception(refused)
        return future

    def _put_or_refuse(self, asked: Question, future: Future[Receipts]) -> None:
        try:
            self._put(asked, future)
        except LedgerError as refused:
            future.set_exception(refused)

    def _put(self, asked: Question, future: asyncio.Future[Receipts] | Future[Receipts]) -> None:
        if self._connection is None or self._closing:
            raise NotReady("the ledger is closed" if self._closing else "the ledger's process is starting again")
        if len(self._sent) >= _MOST_WAITING or self._bytes >= _MOST_BYTES:
            raise NotReady("too many appends are waiting")
        self._number += 1
        item = questions.item(self._number, asked)
        ids: tuple[str, ...] | None = ()
        if type(asked) is PreparedAppend:
            ids = (asked.drafts[0].id,) if len(asked.drafts) == 1 else tuple([draft.id for draft in asked.drafts])
        elif isinstance(asked, Handover):
            ids = None
        self._sent[self._number] = _Sent(item, ids, future, self._loop.time(), again=ids is not None)
        self._bytes += item.size
        self._idle.clear()
        if not self._outgoing:
            self._loop.call_soon(self._flush)
        self._outgoing.append(item)

    def _flush(self) -> None:
        """Send what has gathered; while the other side does not read, it gathers on."""
        if self._connection is None or self._connection.full:
            return
        items, self._outgoing = self._outgoing, []
        while items:
            size, count = 0, 0
            while count < len(items) and (not count or size + items[count].size < _FRAME_BYTES):
                size += items[count].size
                count += 1
            group, items = items[:count], items[count:]
            try:
                self._connection.write(
                    frame(questions.head(group), *[payload for item in group for payload in item.payloads])
                )
            except BadFrame as exc:
                self._refuse_items(group, str(exc))

    def _refuse_items(self, group: list[Item], why: str) -> None:
        given = {id(item) for item in group}
        for number, sent in list(self._sent.items()):
            if id(sent.item) in given:
                self._forget(number)
                sent.refuse(NotReady(f"it is too large for the ledger's process: {why}"))

    def _forget(self, number: int) -> _Sent | None:
        sent = self._sent.pop(number, None)
        if sent is not None:
            self._bytes -= sent.item.size
            if not self._sent:
                self._idle.set()
        return sent

    # In.

    def _received(self, told: Any, _: bytes) -> None:
        """A frame of the ledger's process; raises BadFrame."""
        try:
            if "offset" in told:
                self._watch.offset_ns = int(told["offset"])
            if "newest" in told:
                self._newest |= told["newest"]
            if "version" in told:
                self._welcomed(told)
            for given in told.get("changed", ()):
                changed = answers.read_changed(given)
                for watching in self._watching:
                    watching(changed)
            for answer in told.get("answers", ()):
                sent = self._forget(answer[0])
                if sent is None or sent.future.done():
                    continue
                found = answers.outcome(answer, sent.ids)
                if isinstance(found, LedgerError):
                    sent.future.set_exception(found)
                else:
                    sent.future.set_result(found)
        except (TypeError, ValueError, LookupError) as exc:
            raise BadFrame(f"an answer that cannot be read: {exc}") from exc

    def _welcomed(self, told: dict[str, Any]) -> None:
        if told["version"] != answers.VERSION:
            raise BadFrame(f"the ledger's process speaks version {told['version']}, this worker {answers.VERSION}")
        assert self._welcome is not None
        self._connection, self._welcome = self._welcome, None
        self._newest = dict(told["newest"])
        self._connected.set()
        for missed in self._gaps:
            missed()
        self._outgoing = [sent.item for sent in self._sent.values()]
        for sent in self._sent.values():
            sent.until = None
        self._flush()

    # The connection.

    _welcome: Connection | None = None
    """A connection that was made and has not been welcomed yet."""

    async def _connect(self) -> None:
        """Connect for ever."""
        while True:
            ended = asyncio.Event()
            connection = self._welcome = Connection(self._received, ended.set, self._flush)
            try:
                await self._loop.create_unix_connection(lambda made=connection: made, str(self._socket))  # type: ignore[misc]
            except OSError:
                await asyncio.sleep(_AGAIN_S)
                continue
            try:
                await ended.wait()
            finally:
                if self._welcome is not None:
                    self._welcome.close()
            if self._connection is not None:
                self._lost()
            self._welcome = None
            await asyncio.sleep(_AGAIN_S)

    def _lost(self) -> None:
        self._connection = None
        self._connected.clear()
        self._outgoing = []
        if not self._closing:
            _log.warning("the ledger's process is gone; %d appends wait for the next one", len(self._sent))
        until = time.monotonic() + PATIENCE_S
        for sent in self._sent.values():
            sent.until = sent.until or until
        self._give_up(lambda sent: not sent.again, "the ledger's process ended before it could answer")
        self._loop.call_later(PATIENCE_S, self._give_up_late)

    def _give_up_late(self) -> None:
        now = time.monotonic()
        self._give_up(
            lambda sent: sent.until is not None and sent.until <= now + _AGAIN_S,
            "the ledger's process ended before it could answer, and no other has taken its place",
        )

    def _give_up(self, which: Callable[[_Sent], bool], why: str) -> None:
        for number in [number for number, sent in self._sent.items() if which(sent)]:
            sent = self._forget(number)
            if sent is not None:
                sent.refuse(Unknown(why))
