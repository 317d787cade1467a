"""The writer: the one thread, with the one connection, that makes the log longer.

It takes all that waits, gives each append its place in one transaction, commits once, tells who watches, publishes,
answers, and then has the log of writes copied into the database where that has become long (`writeback`). A commit
that fails by FULL or BUSY did not happen; any other failure means *unknown*: the connection is given up, another is
opened, and the same appends go in again, by ID.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Final, cast

import apsw

from ledger.clock import Clock, Reading, SystemClock, Watch
from ledger.errors import Full, LedgerError, NotReady, Unknown
from ledger.instants import Instant
from ledger.model import Append, Changed, Cosigned, Published
from ledger.prepared import PreparedAppend, prepare
from ledger.sqlite import schema
from ledger.sqlite.memory import Memory
from ledger.sqlite.owning import Room, take_ownership
from ledger.sqlite.projection import Replace, replace
from ledger.sqlite.reader import SqliteReader
from ledger.sqlite.rows import Db
from ledger.sqlite.scrub import Scrub, scrub
from ledger.sqlite.signing import cosign, publish
from ledger.sqlite.telling import Watchers
from ledger.sqlite.transaction import Transaction
from ledger.sqlite.waiting import Outcome, Receipts, Waiting, Work, answer
from ledger.sqlite.writeback import WriteBack

__all__ = ["SqliteLedger", "Work"]

FREE_FLOOR: Final = 256 << 20
_MOST_WAITING: Final = 8192
_MOST_TOGETHER: Final = 1024
_ATTEMPTS: Final = 4
_PAUSE_S: Final = 0.05


class SqliteLedger:
    """See ledger.store.Ledger. `path` is the database; `path` + ".owner" is locked while this lives."""

    def __init__(
        self,
        path: Path,
        *,
        clock: Clock | None = None,
        synchronous: schema.Synchronous = "FULL",
        free_floor: int = FREE_FLOOR,
        free_bytes: Callable[[Path], int] | None = None,
    ) -> None:
        self._path = path
        self._synchronous = synchronous
        self._floor = free_floor
        self._free_bytes = free_bytes or Room()
        self._owner = take_ownership(path)
        self._db: apsw.Connection | None = None
        self._newest: dict[str, str] = {}
        self._memory = Memory()
        self._watchers = Watchers()
        self.measured: Callable[[int], None] | None = None
        """Told how many each commit made durable, in the writer's thread."""
        self._back = WriteBack(path, synchronous)
        try:
            self._open(create=True)
        except BaseException as exc:
            self._give_up()
            os.close(self._owner)
            if isinstance(exc, apsw.Error):
                raise NotReady(f"the ledger at {path} cannot be read: {exc}") from exc
            raise
        self._watch = Watch(clock or SystemClock())
        self._entering = threading.RLock()  # held by whoever looks at, or changes, what waits
        self._waiting: deque[Waiting] = deque()
        self._bell = threading.Lock()  # held until it is rung: a Condition takes 10 us more for the same
        self._bell.acquire()
        self._rung = False
        self._turning: set[asyncio.AbstractEventLoop] = set()  # loops that will wake the writer
        self._taken: list[Waiting] = []
        self._closing = False
        # A daemon: a process that ends without close() is no worse than one that is killed.
        self._thread = threading.Thread(target=self._run, name="ledger-writer", daemon=True)
        self._thread.start()

    def submit(self, append: Append) -> Future[Receipts]:
        """See Ledger."""
        return self._queue(lambda: prepare(append))

    def append(self, append: Append) -> asyncio.Future[Receipts]:
        """See Ledger."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Receipts] = loop.create_future()
        try:
            self._put(Waiting(prepare(append), future, loop))
        except LedgerError as refused:
            future.set_exception(refused)
        return future

    def watch(self, changed: Callable[[Changed], None]) -> None:
        """See Ledger."""
        self._watchers.watch(changed)

    def keep(self, signed: Published | Cosigned) -> Future[Receipts]:
        """See Ledger."""
        return self._queue(lambda: signed)

    def scrub(self, *, rewrite: bool) -> Future[Receipts]:
        """See Ledger."""
        return self._queue(lambda: Scrub(rewrite))

    def replace(self, work: Replace) -> Future[Receipts]:
        """Put rebuilt rows in the place of those that differ, and append the entry that says so, or neither.

        Answered by no receipts where nothing differs; raises Stale where the rebuild has to catch up first.
        """
        return self._queue(lambda: work)

    def _queue(self, prepared: Callable[[], Work]) -> Future[Receipts]:
        future: Future[Receipts] = Future()
        future.set_running_or_notify_cancel()  # what is queued cannot be taken back
        try:
            self._put(Waiting(prepared(), future))
        except LedgerError as refused:
            future.set_exception(refused)
        return future

    def _put(self, waiting: Waiting) -> None:
        """Have work wait, and the writer woken for it; raises NotReady. What has a loop is put in that loop."""
        with self._entering:
            if self._closing:
                raise NotReady("the ledger is closed")
            if len(self._waiting) >= _MOST_WAITING:
                raise NotReady("too many appends are waiting")
            self._waiting.append(waiting)
            if waiting.loop is None:
                self._ring()
            elif waiting.loop not in self._turning:
                self._turning.add(waiting.loop)
                waiting.loop.call_soon(self._turned, waiting.loop)

    def _turned(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wake the writer at the end of a loop's turn, so that all that is appended in one turn goes in together."""
        with self._entering:
            self._turning.discard(loop)
            self._ring()

    def _ring(self) -> None:
        """Have the writer look at what waits; by whoever holds `_entering`."""
        if not self._rung:
            self._rung = True
            self._bell.release()

    def now(self, tenant: str) -> Instant:
        """See Ledger; raises NotReady also once nothing can be written any more."""
        if self._closing:
            raise NotReady("the ledger is closed")
        return self._watch.now(self._newest.get(tenant))

    def reader(self) -> SqliteReader:
        """See Ledger."""
        return SqliteReader(self._path)

    def close(self) -> None:
        """See Ledger."""
        with self._entering:
            self._closing = True
            self._ring()
        self._thread.join()

    def _run(self) -> None:
        try:
            while batch := self._take():
                self._taken = batch
                alone = [waiting for waiting in batch if type(waiting.work) in (Scrub, Replace)]
                if alone:
                    batch = [waiting for waiting in batch if type(waiting.work) not in (Scrub, Replace)]
                if batch:
                    self._append(batch)
                for waiting in alone:
                    if isinstance(waiting.work, Scrub):
                        self._scrub(waiting, waiting.work)
                    elif isinstance(waiting.work, Replace):
                        self._replace(waiting, waiting.work)
                if self._db is not None:
                    self._back.behind(self._db)
                self._taken = []
        finally:
            # Also when the thread dies of a mistake of ours: nobody may wait for ever.
            with self._entering:
                self._closing = True
                left = [*self._taken, *self._waiting]
            self._refuse(left, Unknown("the ledger's writer ended before it could answer"))
            self._back.close()
            self._give_up()
            os.close(self._owner)

    def _take(self) -> list[Waiting]:
        """All that waits, up to a bound; empty when the ledger closes and nothing is left."""
        while True:
            with self._entering:
                if len(self._waiting) > _MOST_TOGETHER:
                    return [self._waiting.popleft() for _ in range(_MOST_TOGETHER)]
                if self._waiting or self._closing:
                    batch = list(self._waiting)
                    self._waiting.clear()
                    return batch
            self._bell.acquire()
            self._rung = False  # before it looks again: what is rung for from here on is a ring of its own

    def _append(self, batch: list[Waiting]) -> None:
        if self._free_bytes(self._path) < self._floor:
            self._refuse(batch, Full("the disk is nearly full; nothing is appended until there is space"))
            return
        failure, unknown = "", False
        for attempt in range(_ATTEMPTS):
            if attempt:
                time.sleep(_PAUSE_S * attempt)
            try:
                self._commit(self._connection(), batch)
            except apsw.FullError:
                self._roll_back()
                failure = "the disk is full"
                if not unknown:
                    self._watchers.refused()
                    self._refuse(batch, Full("the disk is full; nothing was appended"))
                    return
            except apsw.BusyError:
                self._roll_back()
                failure = "another process holds the ledger's database"
                if not unknown:
                    self._watchers.refused()
                    self._refuse(batch, NotReady(failure))
                    return
            except (apsw.Error, LedgerError) as exc:  # a LedgerError is one of opening again
                failure = str(exc)
                unknown = any(waiting.attempted for waiting in batch)
                self._give_up()
            else:
                return
        if unknown:
            self._refuse(batch, Unknown(f"the commit failed and its outcome is unknown: {failure}"))
        else:
            self._refuse(batch, NotReady(f"the ledger's database cannot be opened: {failure}"))

    def _scrub(self, waiting: Waiting, how: Scrub) -> None:
        self._memory.forget()
        self._back.rest()
        try:
            scrub(self._connection(), how)
        except LedgerError as refused:
            answer([(waiting, refused)])
        except apsw.Error as exc:
            self._give_up()
            answer([(waiting, NotReady(f"the ledger's files could not be cleaned: {exc}"))])
        else:
            answer([(waiting, ())])

    def _replace(self, waiting: Waiting, work: Replace) -> None:
        """In a transaction of its own: what is refused here has written rows already."""
        self._memory.forget()
        try:
            if self._free_bytes(self._path) < self._floor:
                raise Full("the disk is nearly full; nothing was replaced")
            db = self._connection()
            transaction = Transaction(db, Memory(), self._watch.read(), self._watch.offset_ns)
            db.execute("BEGIN IMMEDIATE")
            receipts = replace(db, transaction, work)
            grown = transaction.finish()
            self._watchers.expect(transaction.moved)
            db.execute("COMMIT")
        except LedgerError as refused:
            self._roll_back()
            answer([(waiting, refused)])
        except apsw.Error as exc:
            self._give_up()
            answer([(waiting, Unknown(f"it is not known whether the rows were replaced: {exc}"))])
        else:
            self._newest |= grown
            self._watchers.tell()
            answer([(waiting, receipts)])

    def _commit(self, db: apsw.Connection, batch: list[Waiting]) -> None:
        reading, cursor = self._watch.read(), db.cursor()
        try:
            transaction, outcomes, grown = self._sequence(cursor, batch, reading, asks=False)
        except apsw.ConstraintError:
            # An ID of these is in the log already. That is rare, so only now each of them is looked up first.
            self._roll_back()
            transaction, outcomes, grown = self._sequence(cursor, batch, reading, asks=True)
        if transaction.wrote:
            for waiting in batch:
                waiting.attempted = True
        self._watchers.expect(transaction.moved)
        cursor.execute("COMMIT")
        transaction.committed()
        self._newest |= grown
        if transaction.adjusted:
            self._watch.believe(reading)
        self._watchers.tell()
        if self.measured is not None:
            self.measured(len(batch))
        answer(zip(batch, outcomes, strict=True))

    def _sequence(
        self, cursor: apsw.Cursor, batch: list[Waiting], reading: Reading, *, asks: bool
    ) -> tuple[Transaction, list[Outcome], dict[str, str]]:
        """Have a transaction that holds all of a batch that is not refused; answers also what comes of each."""
        transaction = Transaction(cursor, self._memory, reading, self._watch.offset_ns, asks=asks)
        outcomes: list[Outcome] = []
        cursor.execute("BEGIN IMMEDIATE")
        transaction.expect([waiting.work for waiting in batch if type(waiting.work) is PreparedAppend])
        for waiting in batch:
            try:
                outcomes.append(_do(cursor, transaction, waiting.work))
            except LedgerError as refused:
                outcomes.append(refused.with_traceback(None))  # which holds all of the transaction
            else:
                # One whose first commit had an unknown outcome is still this ledger's first.
                if waiting.attempted and waiting.adjusts_clock:
                    transaction.adjusted = True
        return transaction, outcomes, transaction.finish()

    def _open(self, *, create: bool) -> apsw.Connection:
        self._memory.forget()
        self._back.anew()
        self._db = db = schema.open_writer(self._path, synchronous=self._synchronous, create=create)
        db.wal_autocheckpoint(0)  # in a commit everybody would wait for it: see `WriteBack`
        # What was committed is learnt from the database, never from what this process meant to write.
        self._newest = _newest(db)
        return db

    def _connection(self) -> apsw.Connection:
        if self._db is not None:
            return self._db
        db = self._open(create=False)
        self._watchers.tell()  # what was tried with the connection before this one can be read from now on
        return db

    def _roll_back(self) -> None:
        self._memory.forget()
        try:
            if self._db is not None and self._db.in_transaction:
                self._db.execute("ROLLBACK")
        except apsw.Error:
            self._give_up()

    def _give_up(self) -> None:
        self._memory.forget()
        db, self._db = self._db, None
        if db is not None:
            with suppress(apsw.Error):  # all that was answered is durable; what it says last adds nothing
                db.close(force=True)

    @staticmethod
    def _refuse(batch: list[Waiting], error: LedgerError) -> None:
        answer([(waiting, error) for waiting in batch])


def _do(db: Db, transaction: Transaction, work: Work) -> Receipts:
    if type(work) is PreparedAppend:
        return transaction.append(work)
    if isinstance(work, Published):
        publish(db, transaction, work)
    elif isinstance(work, Cosigned):
        cosign(db, transaction, work)
    return ()


def _newest(db: apsw.Connection) -> dict[str, str]:
    rows = db.execute("SELECT tenant, newest_at FROM heads").fetchall()
    return dict(cast("list[tuple[str, str]]", rows))
