"""SQLite's log of writes is copied into the database beside the writer: it stays short, and no answer waits for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from ledger.sqlite import SqliteLedger
from tests.ledger.builders import ANN, activation, draft, joins, one, result, settle, window
from tests.ledger.faults import FaultyVFS, size_of


@pytest.fixture
def ledger(tmp_path: Path, vfs: FaultyVFS) -> Iterator[SqliteLedger]:
    """A ledger that knows Ann, on the faulty VFS."""
    assert vfs.syncs == 0
    ledger = SqliteLedger(tmp_path / "ledger.db")
    ledger.submit(one(activation())).result(timeout=20)
    ledger.submit(joins(ANN)).result(timeout=20)
    yield ledger
    ledger.close()


@pytest.fixture
def path(tmp_path: Path, ledger: SqliteLedger) -> Path:
    """Where that ledger's database is."""
    assert ledger
    return tmp_path / "ledger.db"


def test_the_log_of_writes_stays_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is copied into the database again and again, behind the answers, and so begins anew before it is long."""
    monkeypatch.setattr("ledger.sqlite.writeback.PAGES", 50)
    ledger, log = SqliteLedger(tmp_path / "ledger.db"), tmp_path / "ledger.db-wal"
    ledger.submit(one(activation())).result(timeout=20)
    longest = 0
    for _ in range(200):
        ledger.submit(one(draft("change_window", window()))).result(timeout=20)
        longest = max(longest, log.stat().st_size)
    settle(ledger)
    written = ledger._db.status(apsw.SQLITE_DBSTATUS_CACHE_WRITE)[0] if ledger._db else 0
    assert written > 1_000
    assert longest < 150 * 4_200
    ledger.close()


def test_a_commit_does_not_wait_for_a_copy(ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the log of writes is being copied, appends are made durable and answered; then it begins anew. What empties
    it waits for the copy."""
    under_way, go_on = threading.Event(), threading.Event()
    real = ledger._back._copy

    def slow() -> None:
        under_way.set()
        assert go_on.wait(20)
        real()

    monkeypatch.setattr(ledger._back, "_copy", slow)
    settle(ledger)
    ledger._back._copied = -1_000  # a round is due
    ledger.submit(one(result(ANN))).result(timeout=20)
    assert under_way.wait(20)
    for index in (3, 4, 5):
        assert ledger.submit(one(result(ANN))).result(timeout=20)[0].index == index
    scrub = ledger.scrub(rewrite=False)
    go_on.set()
    assert scrub.result(timeout=20) == ()


def test_a_checkpoint_that_fails_hinders_nobody(ledger: SqliteLedger, path: Path, vfs: FaultyVFS) -> None:
    """Behind the answers the database cannot be synced, in a round or behind it: appends go in, and are copied yet."""

    def append_and_copy() -> int:
        settle(ledger)
        ledger._back._copied = -1_000  # a round is due
        [receipt] = ledger.submit(one(result(ANN))).result(timeout=20)
        settle(ledger)
        return receipt.index

    before = vfs.database_syncs
    for index in (2, 3, 4):
        vfs.failing["database"] = 1
        assert append_and_copy() == index
        assert (vfs.failing["database"], vfs.database_syncs) == (0, before)
    assert append_and_copy() == 5
    assert vfs.database_syncs > before
    assert size_of(path) == 6
