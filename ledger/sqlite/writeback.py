"""Copies SQLite's log of writes into the database beside the writer, so that hardly a commit waits for it.

A round copies what was committed when it began, in a thread of its own. What is committed meanwhile is little, and the
writer copies that itself when the round is over: SQLite begins the log anew only where all of it was copied, so without
this it would grow for as long as somebody writes. No answer leans on a copy: the log of writes is as durable.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

import apsw

from ledger.errors import LedgerError
from ledger.sqlite import schema

PAGES: Final = 1_000
"""A round begins when so many pages were written: 4 MB."""


class WriteBack:
    """The rounds of one writer, in whose thread all of this is called."""

    def __init__(self, path: Path, synchronous: schema.Synchronous) -> None:
        self._path = path
        self._synchronous = synchronous
        self._db: apsw.Connection | None = None  # of the rounds
        self._round: threading.Thread | None = None
        self._copied = 0  # of the pages that the writer's connection has written, those that a copy was made behind

    def anew(self) -> None:
        """The writer takes another connection: no round is under way, and its pages count from nought."""
        self.rest()
        self._copied = 0

    def behind(self, db: apsw.Connection) -> None:
        """Behind a commit of the writer's connection: copy, or have copied, what is to be."""
        if self._round is not None and self._round.is_alive():
            return
        written, _ = db.status(apsw.SQLITE_DBSTATUS_CACHE_WRITE)
        if self._round is not None:
            self._round, self._copied = None, written
            with suppress(apsw.Error):  # it stands in the log of writes, and the next round copies it anew
                db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        elif written - self._copied >= PAGES:
            self._copied = written
            begun = threading.Thread(target=self._copy, name="ledger-write-back", daemon=True)
            with suppress(RuntimeError):  # there is no thread to be had: after as many pages it is tried again
                begun.start()
                self._round = begun

    def rest(self) -> None:
        """Wait until no round is under way: while one is, SQLite lets nobody empty the log of writes."""
        if (under_way := self._round) is not None:
            under_way.join()

    def close(self) -> None:
        """Give the connection back."""
        self.rest()
        self._give_up()

    def _copy(self) -> None:
        try:
            if self._db is None:
                self._db = schema.open_write_back(self._path, synchronous=self._synchronous)
            self._db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except (apsw.Error, LedgerError):  # the same
            self._give_up()

    def _give_up(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            with suppress(apsw.Error):
                db.close(force=True)
