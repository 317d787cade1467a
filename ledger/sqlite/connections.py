"""Connections that only read a database: one for each thread that asks, closed together from any of them."""

from __future__ import annotations

import threading
import time
import weakref
from pathlib import Path
from typing import Final

import apsw

from ledger.errors import NotReady
from ledger.sqlite import schema

_END_SECONDS: Final = 10.0


class Connections:
    """Those to one database. A thread's goes with it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()
        self._open: weakref.WeakSet[apsw.Connection] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._closed = False

    def here(self) -> apsw.Connection:
        """This thread's; raises NotReady where there is none to be had."""
        if self._closed:
            raise self._gone()
        db: apsw.Connection | None = getattr(self._local, "db", None)
        if db is None:
            db = schema.open_reader(self._path)
            with self._lock:
                if self._closed:
                    db.close()
                    raise self._gone()
                self._open.add(db)
            self._local.db = db
        return db

    def close(self) -> None:
        """Close all of them; what a thread is just reading is broken off. Raises NotReady where one does not end, once
        the others are closed."""
        self._closed = True
        until = time.monotonic() + _END_SECONDS
        with self._lock:
            left = list(self._open)
            while left := [db for db in left if not self._ended(db)]:
                if time.monotonic() > until:
                    raise NotReady(f"the ledger at {self._path} is still being read")
                time.sleep(0.001)  # who reads needs Python's lock to come out of it, and nothing tells when it has

    @staticmethod
    def _ended(db: apsw.Connection) -> bool:
        try:
            db.close()
        except apsw.ThreadingViolationError:  # another thread is in a statement, which is its last one
            db.interrupt()
            return False
        return True

    def _gone(self) -> NotReady:
        return NotReady("the ledger's reader is closed")
