"""A runtime that is closed gives back all that it has taken, whatever of it fails."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from engine.runtime import Runtime
from ledger.errors import NotReady


def test_what_does_not_end_keeps_nothing_else_open() -> None:
    """An OPA and a reader that fail: the other OPA, the ledger and the lock are given back, and the failure is told."""
    ended: list[str] = []

    def ends(name: str, failure: Exception | None = None) -> None:
        ended.append(name)
        if failure is not None:
            raise failure

    async def stop(name: str, failure: Exception | None = None) -> None:
        ends(name, failure)

    async def run() -> None:
        own = Runtime(settings=cast(Any, None), home=cast(Any, None), opa=cast(Any, None))
        own.reader = cast(Any, SimpleNamespace(close=lambda: ends("reader", NotReady("still being read"))))
        own.ledger = cast(Any, SimpleNamespace(close=lambda: ends("ledger")))
        own._lock = cast(Any, SimpleNamespace(release=lambda: ends("lock")))
        for name, failure in (("a", None), ("b", OSError("gone")), ("c", None)):
            evaluator = SimpleNamespace(stop=lambda name=name, failure=failure: stop(name, failure))
            own._loaded[name] = cast(Any, SimpleNamespace(evaluator=evaluator))
        await own._close()

    with pytest.raises(NotReady, match="still being read"):
        asyncio.run(run())
    assert ended == ["c", "b", "a", "reader", "ledger", "lock"]
