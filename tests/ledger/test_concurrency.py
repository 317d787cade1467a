"""Decisions and facts from several threads: the `reads` check is what keeps them in order."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import apsw
import pytest

from ledger.errors import NotReady, Stale
from ledger.sqlite import SqliteLedger, connections, schema
from ledger.sqlite.transaction import Transaction
from ledger.verify import Report, verify
from tests.ledger.builders import ANN, TENANT, activation, decision, joins, name_of, one, result

_FACTS, _RECORDED, _WRITERS, _DECIDERS = 500, 50, 2, 4


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqliteLedger]:
    """A ledger that knows Ann."""
    ledger = SqliteLedger(tmp_path / "ledger.db")
    ledger.submit(one(activation())).result(timeout=20)
    ledger.submit(joins(ANN)).result(timeout=20)
    yield ledger
    ledger.close()


def _race(ledger: SqliteLedger) -> tuple[int, int, Report]:
    """Decide about Ann while facts about her change; answers (recorded, stale, report)."""
    reader = ledger.reader()
    finished = threading.Event()
    counts = {"recorded": 0, "stale": 0}
    decided = threading.Condition()

    def write() -> None:
        for _ in range(_FACTS):
            ledger.submit(one(result(ANN))).result(timeout=20)
            with decided:  # facts that follow each other at once would leave no decision a chance
                enough = sum(counts.values()) + _DECIDERS
                decided.wait_for(lambda enough=enough: sum(counts.values()) >= enough, timeout=20)  # type: ignore[misc]

    def decide() -> None:
        while not finished.is_set():
            version, _state = reader.objects(TENANT, [name_of(ANN)])[name_of(ANN)]
            append = decision(ANN, now=ledger.now(TENANT), reads=((name_of(ANN), version),))
            try:
                ledger.submit(append).result(timeout=20)
                outcome = "recorded"
            except Stale:
                outcome = "stale"
            with decided:
                counts[outcome] += 1
                decided.notify_all()

    writers = [threading.Thread(target=write) for _ in range(_WRITERS)]
    deciders = [threading.Thread(target=decide) for _ in range(_DECIDERS)]
    for thread in writers + deciders:
        thread.start()
    for thread in writers:
        thread.join()
    finished.set()
    for thread in deciders:
        thread.join()
    report = verify(reader, TENANT)
    reader.close()
    return counts["recorded"], counts["stale"], report


def test_no_decision_stands_behind_a_fact_it_had_not_seen(ledger: SqliteLedger) -> None:
    """Thousands of facts later, some records were refused as stale and every recorded one is right."""
    recorded, stale, report = _race(ledger)
    assert recorded >= _RECORDED
    assert stale > 0
    assert report.ok, report.findings[:3]


def test_without_the_check_decisions_stand_behind_unseen_facts(
    ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same race with the `reads` check taken out leaves records that the verifier names."""
    monkeypatch.setattr(Transaction, "_check_reads", lambda _self, _append: None)
    recorded, stale, report = _race(ledger)
    assert (recorded >= _RECORDED, stale) == (True, 0)
    assert {finding.check for finding in report.findings} == {"reads"}


def test_a_reader_is_closed_while_others_read(ledger: SqliteLedger) -> None:
    """Whoever is in the middle of a long statement is told; nobody waits for its end, and no connection is left."""
    reader, reading, told = ledger.reader(), threading.Semaphore(0), list[str]()
    long = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"

    def read() -> None:
        reader.head(TENANT)
        reading.release()
        try:
            reader._rows(long)  # never ends by itself
        except NotReady as exc:
            told.append(str(exc))

    threads = [threading.Thread(target=read, daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
        assert reading.acquire(timeout=20)
    reader.close()
    for thread in threads:
        thread.join(20)
    assert len(told) == 3
    with pytest.raises(NotReady, match="closed"):
        reader.head(TENANT)


def test_one_that_does_not_end_keeps_no_other_open(
    ledger: SqliteLedger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are closed, and then it is told."""
    monkeypatch.setattr(connections, "_END_SECONDS", 0.05)
    reader, inside, enough = ledger.reader(), threading.Event(), threading.Event()
    stuck, other = (schema.open_reader(tmp_path / "ledger.db") for _ in range(2))

    def hang(*_: object) -> int:
        inside.set()
        enough.wait(20)
        return 0

    def read() -> None:
        with suppress(apsw.InterruptError):
            stuck.execute("SELECT hang()").fetchall()

    stuck.create_scalar_function("hang", hang)
    thread = threading.Thread(target=read)
    thread.start()
    assert inside.wait(20)
    monkeypatch.setattr(reader._connections, "_open", cast(Any, [stuck, other]))
    with pytest.raises(NotReady, match="still being read"):
        reader.close()
    with pytest.raises(apsw.ConnectionClosedError):
        other.execute("SELECT 1")
    enough.set()
    thread.join(20)
    stuck.close()
