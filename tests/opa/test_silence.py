"""An OPA that lives and does not answer: it is noticed, killed, and another one answers."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from engine.opa import watch
from engine.opa.errors import CouldNotDecide
from engine.opa.evaluator import Evaluator
from ledger.canonical import JSON, encode
from tests.opa.waiting import gone, until

SLOW: JSON = [str(n) for n in range(20_000)]


async def _cause(evaluator: Evaluator, **fields: JSON) -> str | None:
    """Why there was no decision; None if there was one."""
    try:
        await evaluator.decide(encode({"key": "k", **fields}), caller=str(id(fields)), action="act")
    except CouldNotDecide as exc:
        return exc.cause
    return None


def test_one_that_is_stopped_is_replaced(evaluator: Evaluator, monkeypatch: pytest.MonkeyPatch) -> None:
    """After SIGSTOP questions get no answer, never a wrong one; then it is not ready, and then another one answers."""
    monkeypatch.setattr(watch, "_DOUBT_SECONDS", 0.3)
    causes: set[str | None] = set()
    readiness: list[bool] = []

    async def asker() -> None:
        while evaluator.restarts == 0 or not evaluator.ready:
            causes.add(await _cause(evaluator))
            await asyncio.sleep(0.01)

    async def main() -> None:
        async with evaluator:
            assert await _cause(evaluator) is None
            pid = evaluator.pid
            assert pid is not None
            os.kill(pid, signal.SIGSTOP)
            askers = [asyncio.create_task(asker()) for _ in range(4)]

            def replaced() -> bool:
                readiness.append(evaluator.ready)
                return evaluator.restarts == 1 and evaluator.ready

            seconds = await until(replaced)
            await asyncio.gather(*askers)
            assert seconds < 6.0
            assert gone(pid)
            assert evaluator.pid != pid
            assert await _cause(evaluator) is None

    asyncio.run(main())
    assert "timeout" in causes
    assert causes <= {"timeout", "opa-down", None}
    assert False in readiness


def test_slow_questions_are_no_silence(evaluator: Evaluator) -> None:
    """However many questions in a row run too long, an OPA that answers its canary stays."""

    async def main() -> None:
        async with evaluator:
            pid = evaluator.pid
            assert [await _cause(evaluator, list=SLOW) for _ in range(watch._TIMEOUTS + 1)] == ["timeout"] * 4
            assert await _cause(evaluator) is None
            assert (evaluator.pid, evaluator.restarts) == (pid, 0)

    asyncio.run(main())
