"""Appends from an event loop: answered in it, by one wake-up for all that a commit answers."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ledger import errors
from ledger.model import Receipt
from ledger.sqlite import SqliteLedger
from ledger.sqlite.transaction import Transaction
from tests.ledger.builders import ANN, TENANT, activation, decision, joins, name_of, one, result


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqliteLedger]:
    """A ledger that knows Ann."""
    ledger = SqliteLedger(tmp_path / "ledger.db")
    ledger.submit(one(activation())).result(20)
    ledger.submit(joins(ANN)).result(20)
    yield ledger
    ledger.close()


def _counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts how often another thread wakes the running loop."""
    loop = asyncio.get_running_loop()
    real, woken = loop.call_soon_threadsafe, [0]

    def call(callback: Callable[..., object], *args: Any, context: Any = None) -> asyncio.Handle:
        woken[0] += 1
        return real(callback, *args, context=context)

    monkeypatch.setattr(loop, "call_soon_threadsafe", call)
    return woken


def test_a_commit_wakes_the_loop_once(ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred appends of one commit, some of them refused, are answered by one call into the loop."""

    async def run() -> tuple[list[object], int]:
        woken = _counted(monkeypatch)
        with ledger._entering:  # the writer takes nothing until all wait
            stale = one(result(ANN), reads=((name_of(ANN), 0),))
            futures = [ledger.append(decision(ANN, now=ledger.now(TENANT))) for _ in range(99)]
            futures.append(ledger.append(stale))
        return await asyncio.gather(*futures, return_exceptions=True), woken[0]

    outcomes, woken = asyncio.run(run())
    assert woken == 1
    assert [each[0].index for each in outcomes[:-1] if isinstance(each, tuple)] == list(range(2, 101))
    assert isinstance(outcomes[-1], errors.Stale)


def test_what_one_turn_of_the_loop_appends_goes_in_together(ledger: SqliteLedger) -> None:
    """Fifty tasks that append in the same turn share one commit, without any of them waiting for another turn."""
    commits: list[int] = []
    ledger._free_bytes = lambda _: commits.append(1) or 1 << 40  # type: ignore[func-returns-value]

    async def run() -> list[tuple[Receipt, ...]]:
        async def append() -> tuple[Receipt, ...]:
            return await ledger.append(decision(ANN, now=ledger.now(TENANT)))

        return await asyncio.gather(*[append() for _ in range(50)])

    assert [each[0].index for each in asyncio.run(run())] == list(range(2, 52))
    assert len(commits) == 1


def test_refusals_come_through_the_future(ledger: SqliteLedger) -> None:
    """What is malformed, what is stale, and what comes after the end is raised where it is awaited."""

    async def run() -> list[object]:
        futures = [ledger.append(one()), ledger.append(one(result(ANN), reads=((name_of(ANN), 0),)))]
        outcomes = await asyncio.gather(*futures, return_exceptions=True)
        ledger.close()
        return [*outcomes, *await asyncio.gather(ledger.append(one(result(ANN))), return_exceptions=True)]

    assert [type(each) for each in asyncio.run(run())] == [errors.Malformed, errors.Stale, errors.NotReady]


def test_what_is_there_already_hinders_nobody(ledger: SqliteLedger) -> None:
    """Beside what is new: what is in the log, what leans on what has moved, a twin, an ID with another payload."""
    there, leaning = one(result(ANN)), one(result(ANN), reads=((name_of(ANN), 1),))
    first = ledger.submit(leaning).result(20), ledger.submit(there).result(20)
    new, stale = one(result(ANN)), one(result(ANN), reads=((name_of(ANN), 1),))
    other = one(replace(there.drafts[0], payload={**there.drafts[0].payload, "more": True}))

    async def run() -> list[object]:
        futures = [ledger.append(each) for each in (new, leaning, there, stale, new, other, one(result(ANN)))]
        return await asyncio.gather(*futures, return_exceptions=True)

    added, leant, again, refused, twin, conflict, last = asyncio.run(run())
    assert [leant, again] == [tuple(replace(each, duplicate=True) for each in receipts) for receipts in first]
    assert (type(refused), type(conflict)) == (errors.Stale, errors.Conflict)
    assert isinstance(added, tuple)
    assert isinstance(twin, tuple)
    assert isinstance(last, tuple)
    assert (added[0].index, last[0].index) == (4, 5)
    assert twin == (replace(added[0], duplicate=True),)


def test_a_cancelled_future_hinders_nobody(ledger: SqliteLedger) -> None:
    """Its append commits all the same, and those beside it are answered."""

    async def run() -> list[object]:
        with ledger._entering:
            futures = [ledger.append(one(result(ANN))) for _ in range(3)]
            futures[1].cancel()
        return await asyncio.gather(*futures, return_exceptions=True)

    first, cancelled, last = asyncio.run(run())
    assert isinstance(cancelled, asyncio.CancelledError)
    assert isinstance(first, tuple)
    assert isinstance(last, tuple)
    assert (first[0].index, last[0].index) == (2, 4)


def test_a_loop_that_is_gone_hinders_nobody(ledger: SqliteLedger) -> None:
    """What a loop appended and did not wait for commits, and the writer goes on."""

    async def run() -> None:
        with ledger._entering:
            ledger.append(one(result(ANN)))

    with ledger._entering:
        asyncio.run(run())
    assert ledger.submit(one(result(ANN))).result(20)[0].index == 3


def test_nobody_waits_for_anothers_turn(ledger: SqliteLedger) -> None:
    """What a thread submits goes in although the loop that appended before it never comes to an end of its turn."""
    loop = asyncio.new_event_loop()

    def appends() -> None:
        ledger.append(one(result(ANN)))
        assert ledger.submit(one(result(ANN))).result(20)[0].index == 3
        ledger.append(one(result(ANN)))
        loop.stop()

    loop.call_soon(appends)
    loop.run_forever()
    loop.close()
    assert ledger.submit(one(result(ANN))).result(20)[0].index == 5


def test_the_end_commits_what_a_loop_appended(ledger: SqliteLedger, tmp_path: Path) -> None:
    """What was appended in the very turn that ends the ledger is in it."""

    async def run() -> None:
        ledger.append(one(result(ANN)))
        ledger.close()

    asyncio.run(run())
    again = SqliteLedger(tmp_path / "ledger.db")
    assert again.submit(one(result(ANN))).result(20)[0].index == 3
    again.close()


def test_every_loop_gets_its_own(ledger: SqliteLedger) -> None:
    """Loops of several threads that append at once each get their own receipts, every index once."""
    indices: list[int] = []

    async def append() -> None:
        for _ in range(20):
            receipts = await asyncio.gather(*[ledger.append(one(result(ANN))) for _ in range(5)])
            indices.extend(each[0].index for each in receipts)

    threads = [threading.Thread(target=lambda: asyncio.run(append())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(indices) == list(range(2, 302))


def test_what_is_refused_is_freed_at_once(ledger: SqliteLedger) -> None:
    """A refusal that held its transaction, which holds it, would be freed by the collector alone."""
    stale = one(result(ANN), reads=((name_of(ANN), 5),))
    gc.collect()
    gc.disable()
    try:
        for _ in range(20):
            with pytest.raises(errors.Stale):
                ledger.submit(stale).result(20)
        left = sum(isinstance(each, Transaction) for each in gc.get_objects())
    finally:
        gc.enable()
    assert left <= 1
