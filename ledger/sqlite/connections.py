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
        """Close all of them; what a thread is just reading is broken off. Raises NotReady where one does not end."""
        self._closed = True
        with self._lock:
            for db in list(self._open):
                self._end(db)

    def _end(self, db: apsw.Connection) -> None:
        until = time.monotonic() + _END_SECONDS
        while True:
            try:
                db.close()
            except apsw.ThreadingViolationError as exc:  # another thread is in a statement, which is its last one
                if time.monotonic() > until:
                    raise NotReady(f"the ledger at {self._path} is still being read") from exc
                db.interrupt()
                time.sleep(0.001)  # that thread needs Python's lock to come out of it, and nothing tells when it has
            else:
                return

    def _gone(self) -> NotReady:
        return NotReady("the ledger's reader is closed")
