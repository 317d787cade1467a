"""The writer: the one thread, with the one connection, that makes the log longer.

It takes all that waits, gives each append its place in one transaction, commits once, publishes, answers. A
commit that fails by FULL or BUSY did not happen; any other failure means *unknown*: the connection is given
up, another is opened, and the same appends go in again, by ID.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias, cast

import apsw

from ledger.clock import Clock, SystemClock, Watch
from ledger.errors import Full, HomeLocked, LedgerError, NotReady, Unknown
from ledger.instants import Instant
from ledger.model import Append, Cosigned, Published, Receipt
from ledger.prepared import PreparedAppend, prepare
from ledger.sqlite import schema
from ledger.sqlite.projection import Replace, replace
from ledger.sqlite.reader import SqliteReader
from ledger.sqlite.scrub import Scrub, scrub
from ledger.sqlite.transaction import Transaction

Receipts: TypeAlias = tuple[Receipt, ...]

FREE_FLOOR: Final = 256 << 20
_MOST_WAITING: Final = 8192
_MOST_TOGETHER: Final = 1024
_ATTEMPTS: Final = 4
_PAUSE_S: Final = 0.05


Work: TypeAlias = PreparedAppend | Published | Cosigned | Scrub | Replace


@dataclass(slots=True)
class _Waiting:
    work: Work
    future: Future[Receipts]
    attempted: bool = False  # a commit with it failed in an unknown way

    @property
    def adjusts_clock(self) -> bool:
        return isinstance(self.work, PreparedAppend) and self.work.adjusts_clock


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
        self._free_bytes = free_bytes or _free_bytes
        self._owner = _take_ownership(path)
        self._db: apsw.Connection | None = None
        try:
            self._db = schema.open_writer(path, synchronous=synchronous, create=True)
            self._newest: dict[str, str] = _newest(self._db)
        except BaseException as exc:
            self._give_up()
            os.close(self._owner)
            if isinstance(exc, apsw.Error):
                raise NotReady(f"the ledger at {path} cannot be read: {exc}") from exc
            raise
        self._watch = Watch(clock or SystemClock())
        self._changed = threading.Condition()
        self._waiting: deque[_Waiting] = deque()
        self._taken: list[_Waiting] = []
        self._closing = False
        # A daemon: a process that ends without close() is no worse than one that is killed.
        self._thread = threading.Thread(target=self._run, name="ledger-writer", daemon=True)
        self._thread.start()

    def submit(self, append: Append) -> Future[Receipts]:
        """See Ledger."""
        return self._queue(lambda: prepare(append))

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
            waiting = _Waiting(prepared(), future)
            with self._changed:
                if self._closing:
                    raise NotReady("the ledger is closed")
                if len(self._waiting) >= _MOST_WAITING:
                    raise NotReady("too many appends are waiting")
                self._waiting.append(waiting)
                if len(self._waiting) == 1:
                    self._changed.notify()
        except LedgerError as refused:
            future.set_exception(refused)
        return future

    def now(self, tenant: str) -> Instant:
        """See Ledger."""
        return self._watch.now(self._newest.get(tenant))

    def reader(self) -> SqliteReader:
        """See Ledger."""
        return SqliteReader(self._path)

    def close(self) -> None:
        """See Ledger."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        try:
            while batch := self._take():
                self._taken = batch
                if entries := [waiting for waiting in batch if not isinstance(waiting.work, Scrub | Replace)]:
                    self._append(entries)
                for waiting in batch:
                    if isinstance(waiting.work, Scrub):
                        self._scrub(waiting, waiting.work)
                    elif isinstance(waiting.work, Replace):
                        self._replace(waiting, waiting.work)
                self._taken = []
        finally:
            # Also when the thread dies of a mistake of ours: nobody may wait for ever.
            with self._changed:
                self._closing = True
                left = [*self._taken, *self._waiting]
            self._refuse(left, Unknown("the ledger's writer ended before it could answer"))
            self._give_up()
            os.close(self._owner)

    def _take(self) -> list[_Waiting]:
        """All that waits, up to a bound; empty when the ledger closes and nothing is left."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            if len(self._waiting) <= _MOST_TOGETHER:
                batch = list(self._waiting)
                self._waiting.clear()
            else:
                batch = [self._waiting.popleft() for _ in range(_MOST_TOGETHER)]
            return batch

    def _append(self, batch: list[_Waiting]) -> None:
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
                    self._refuse(batch, Full("the disk is full; nothing was appended"))
                    return
            except apsw.BusyError:
                self._roll_back()
                failure = "another process holds the ledger's database"
                if not unknown:
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

    def _scrub(self, waiting: _Waiting, how: Scrub) -> None:
        try:
            scrub(self._connection(), how)
        except LedgerError as refused:
            waiting.future.set_exception(refused)
        except apsw.Error as exc:
            self._give_up()
            waiting.future.set_exception(NotReady(f"the ledger's files could not be cleaned: {exc}"))
        else:
            waiting.future.set_result(())

    def _replace(self, waiting: _Waiting, work: Replace) -> None:
        """In a transaction of its own: what is refused here has written rows already."""
        try:
            if self._free_bytes(self._path) < self._floor:
                raise Full("the disk is nearly full; nothing was replaced")
            db = self._connection()
            transaction = Transaction(db, self._watch.read(), self._watch.offset_ns)
            db.execute("BEGIN IMMEDIATE")
            receipts = replace(db, transaction, work)
            grown = transaction.finish()
            db.execute("COMMIT")
        except LedgerError as refused:
            self._roll_back()
            waiting.future.set_exception(refused)
        except apsw.Error as exc:
            self._give_up()
            waiting.future.set_exception(Unknown(f"it is not known whether the rows were replaced: {exc}"))
        else:
            self._newest = self._newest | grown
            waiting.future.set_result(receipts)

    def _commit(self, db: apsw.Connection, batch: list[_Waiting]) -> None:
        reading = self._watch.read()
        transaction = Transaction(db, reading, self._watch.offset_ns)
        outcomes: list[Receipts | LedgerError] = []
        db.execute("BEGIN IMMEDIATE")
        for waiting in batch:
            try:
                outcomes.append(_do(transaction, waiting.work))
            except LedgerError as refused:
                outcomes.append(refused)
            else:
                # One whose first commit had an unknown outcome is still this ledger's first.
                adjusts = waiting.adjusts_clock and waiting.attempted
                transaction.adjusted = transaction.adjusted or adjusts
        grown = transaction.finish()
        for waiting in batch:
            waiting.attempted = waiting.attempted or transaction.wrote
        db.execute("COMMIT")
        self._newest = self._newest | grown
        if transaction.adjusted:
            self._watch.believe(reading)
        for waiting, outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, LedgerError):
                waiting.future.set_exception(outcome)
            else:
                waiting.future.set_result(outcome)

    def _connection(self) -> apsw.Connection:
        if self._db is None:
            self._db = schema.open_writer(self._path, synchronous=self._synchronous, create=False)
            # What was committed is learnt from the database, never from what this process meant to write.
            self._newest = _newest(self._db)
        return self._db

    def _roll_back(self) -> None:
        try:
            if self._db is not None and self._db.in_transaction:
                self._db.execute("ROLLBACK")
        except apsw.Error:
            self._give_up()

    def _give_up(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            with suppress(apsw.Error):  # all that was answered is durable; what it says last adds nothing
                db.close(force=True)

    @staticmethod
    def _refuse(batch: list[_Waiting], error: LedgerError) -> None:
        for waiting in batch:
            if not waiting.future.done():
                waiting.future.set_exception(error)


def _do(transaction: Transaction, work: Work) -> Receipts:
    if isinstance(work, PreparedAppend):
        return transaction.append(work)
    if isinstance(work, Published):
        transaction.publish(work)
    elif isinstance(work, Cosigned):
        transaction.cosign(work)
    return ()


def _newest(db: apsw.Connection) -> dict[str, str]:
    rows = db.execute("SELECT tenant, newest_at FROM heads").fetchall()
    return dict(cast("list[tuple[str, str]]", rows))


def _take_ownership(path: Path) -> int:
    """Lock a file beside the database: closing any descriptor of the database itself drops SQLite's locks."""
    descriptor = os.open(f"{path}.owner", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        os.close(descriptor)
        raise HomeLocked(f"another process owns the ledger at {path}") from exc
    return descriptor


def _free_bytes(path: Path) -> int:
    stat = os.statvfs(path.parent)
    return stat.f_bavail * stat.f_frsize
