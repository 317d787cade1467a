"""The ledger of another process passes the suite of every store."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from ledger.store import Ledger, Reader
from tests.ledger.builders import FakeClock, Store
from tests.ledger.store_machine import StoreMachine
from tests.ledger.store_suite import *  # noqa: F403  the suite is its test functions
from tests.serving.hosting import hosted


def _opened(path: Path) -> Store:
    clock = FakeClock()

    def opened() -> tuple[Ledger, Reader]:
        return hosted(path, clock)

    return Store(*opened(), clock, opened)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty ledger behind a socket, under a clock that stands still."""
    store = _opened(tmp_path / "ledger.db")
    yield store
    store.close()


def test_a_random_walk_agrees_with_the_model(tmp_path: Path) -> None:
    """Whatever is appended in whatever order, the store holds what the simplest model holds."""
    numbers = itertools.count()

    class Machine(StoreMachine):
        open = staticmethod(lambda: _opened(tmp_path / f"{next(numbers)}.db"))

    run_state_machine_as_test(Machine, settings=settings(max_examples=10, stateful_step_count=25, deadline=None))
