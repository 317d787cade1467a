"""Who asks the same as somebody before them waits for it, and never for long."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from engine.decide import company
from engine.decide.company import Company

KEY = ("default system:edge", "a" * 64)


def run(test: Callable[[], Awaitable[None]]) -> None:
    """In a loop."""
    asyncio.run(asyncio.wait_for(_only(test), 10))


async def _only(test: Callable[[], Awaitable[None]]) -> None:
    await test()


def test_all_wait_until_the_first_has_ended_however() -> None:
    """By an answer, by an error, by a client that has gone."""

    async def test() -> None:
        for ends in (None, ValueError(), asyncio.CancelledError()):
            asked, go = Company(), asyncio.Event()

            async def first(asked: Company = asked, go: asyncio.Event = go, ends: BaseException | None = ends) -> None:
                with asked.first(KEY):
                    await go.wait()
                    if ends is not None:
                        raise ends

            leader = asyncio.create_task(first())
            await asyncio.sleep(0)
            waiting = [asyncio.create_task(asked.waited(KEY, Company.patience(None))) for _ in range(3)]
            await asyncio.sleep(0.01)
            assert not any(task.done() for task in waiting)
            go.set()
            assert await asyncio.gather(*waiting) == [True] * 3
            await asyncio.gather(leader, return_exceptions=True)
            assert await asked.waited(KEY, Company.patience(None)) is False

    run(test)


def test_nobody_waits_for_another_question_or_another_caller() -> None:
    """Only who asks the same, and is the same."""

    async def test() -> None:
        asked = Company()
        with asked.first(KEY):
            assert await asked.waited((KEY[0], "b" * 64), Company.patience(None)) is False
            assert await asked.waited(("default system:other", KEY[1]), Company.patience(None)) is False

    run(test)


def test_who_has_waited_long_enough_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patience ends, and so does a gateway's deadline; who then asks for themselves is in nobody's way."""
    monkeypatch.setattr(company, "PATIENCE_SECONDS", 0.05)

    async def test() -> None:
        loop, asked = asyncio.get_running_loop(), Company()
        with asked.first(KEY):
            began = loop.time()
            assert await asked.waited(KEY, Company.patience(None)) is True
            assert loop.time() - began >= 0.05
            with asked.first(KEY):
                pass
            assert await asked.waited(KEY, loop.time()) is False
        assert await asked.waited(KEY, Company.patience(None)) is False

    run(test)


def test_who_has_a_deadline_keeps_half_of_the_time() -> None:
    """To ask for themselves, where the first one hangs."""

    async def test() -> None:
        now = asyncio.get_running_loop().time()
        assert now + 0.19 <= Company.patience(now + 0.4) <= now + 0.21
        assert Company.patience(now + 60) <= now + company.PATIENCE_SECONDS + 0.01
        assert await Company().waited(KEY, now + 1) is False

    run(test)


def test_one_who_gives_up_leaves_the_others_waiting() -> None:
    """A client that goes away takes nothing with it."""

    async def test() -> None:
        asked = Company()
        with asked.first(KEY):
            waiting = [asyncio.create_task(asked.waited(KEY, Company.patience(None))) for _ in range(2)]
            await asyncio.sleep(0)
            waiting[0].cancel()
            await asyncio.sleep(0.01)
            assert waiting[0].cancelled()
            assert not waiting[1].done()
        assert await waiting[1] is True

    run(test)
