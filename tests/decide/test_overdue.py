"""What waits is given up in time, and only what waits."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from engine import runtime
from engine.errors import Unavailable
from engine.runtime import Runtime
from ledger.model import Append
from ledger.overdue import Overdue


def test_what_is_not_answered_in_time_is_given_up() -> None:
    """The late ones alone: what was answered, what nobody waits for and what came later stay as they are."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        overdue = Overdue(0.1, lambda: TimeoutError("late"))
        late, answered, forgotten = (loop.create_future() for _ in range(3))
        for each in (late, answered, forgotten):
            overdue.add(each)
        answered.set_result(1)
        overdue.discard(forgotten)
        await asyncio.sleep(0.08)
        later = loop.create_future()
        overdue.add(later)
        await asyncio.sleep(0.06)
        with pytest.raises(TimeoutError, match="late"):
            await late
        assert answered.result() == 1
        assert not forgotten.done()
        assert not later.done()
        assert len(overdue) == 3
        with pytest.raises(TimeoutError):
            await later

    asyncio.run(run())


def test_it_looks_again_after_it_had_nothing_to_do() -> None:
    """The one timer ends when nobody waits, and begins with the next."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        overdue = Overdue(0.05, TimeoutError)
        for _ in range(2):
            future = loop.create_future()
            overdue.add(future)
            with pytest.raises(TimeoutError):
                await future
            overdue.discard(future)
            await asyncio.sleep(0.02)

    asyncio.run(run())


def test_all_that_wait_can_be_told_at_once() -> None:
    """As when what would have answered is stopped."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        overdue = Overdue(60, TimeoutError)
        waiting = [loop.create_future() for _ in range(3)]
        for each in waiting:
            overdue.add(each)
        waiting[0].set_result(None)
        overdue.fail(lambda: ConnectionError("stopped"))
        assert waiting[0].result() is None
        for each in waiting[1:]:
            with pytest.raises(ConnectionError):
                await each

    asyncio.run(run())


def test_a_ledger_that_hangs_does_not_hang_who_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is answered then, and nobody waits longer than they were promised."""
    monkeypatch.setattr(runtime, "_APPEND_SECONDS", 0.05)
    own = Runtime(settings=cast(Any, None), home=cast(Any, None), opa=cast(Any, None))

    async def run() -> None:
        hung = asyncio.get_running_loop().create_future()
        own.ledger = cast(Any, SimpleNamespace(append=lambda _: hung))
        with pytest.raises(Unavailable, match="not known whether it was recorded"):
            await own.append(Append(tenant="default", drafts=()))
        assert not len(own._appends)

    asyncio.run(run())
