"""An alarm counts before it is an entry: a ledger that takes none does not silence it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import cast

import pytest

from engine.entries.writer import Writer
from engine.errors import Unavailable
from engine.publishing.alarms import Alarms, Fork
from ledger.model import JSON, Append, Changed
from ledger.store import Row

FORK = Fork(reason="it holds 9 entries of this log, which has 5", holds=9, ours="ours\n", theirs=None)


class _Ledger:
    """A ledger that takes nothing until it is told to; the only alarm it may know is `alarm/w`."""

    def __init__(self) -> None:
        self.ready = False
        self.state: dict[str, JSON] | None = None
        self.reader = self

    def tenants(self) -> tuple[str, ...]:
        return ("default",)

    def projected(self, tenant: str, part: str, after: Row | None) -> tuple[int, list[Row]]:
        assert (tenant, part) == ("default", "objects")
        return 1, [("alarm/w", 1, b"")] if self.state and after == ("alarm/",) else []

    def objects(self, tenant: str, names: list[str]) -> dict[str, tuple[int, JSON]]:
        assert tenant == "default"
        return dict.fromkeys(names, (1 if self.state else -1, self.state))

    def watch(self, changed: Callable[[Changed], None], missed: Callable[[], None]) -> None:
        del missed
        self.changed = changed

    async def append(self, append: Append) -> None:
        if not self.ready:
            raise Unavailable("no space left")
        (draft,) = append.drafts
        self.state = {"event": "raised", "reason": draft.payload["reason"], "since": "now", "evidence": draft.id}


def test_an_alarm_that_cannot_be_recorded_stands_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """In every list, without an entry; the next try records it, and it is one."""
    ledger = _Ledger()
    alarms = Alarms(cast(Writer, SimpleNamespace(runtime=ledger)))
    with caplog.at_level(logging.CRITICAL), pytest.raises(Unavailable):
        asyncio.run(alarms.take("default", "w", FORK))
    assert [(alarm.witness, alarm.entry) for alarm in alarms.all()] == [("w", None)]
    assert not alarms.stands("default", "w"), "it is to be tried again"
    caplog.clear()
    alarms.shout()
    assert [record.levelno for record in caplog.records] == [logging.CRITICAL]
    assert "not yet recorded" in caplog.text
    ledger.ready = True
    assert asyncio.run(alarms.take("default", "w", FORK))
    (alarm,) = alarms.all()
    assert alarm.entry is not None
    assert alarms.stands("default", "w")


def test_what_is_damaged_is_no_clearance() -> None:
    """Only the word `cleared` takes an alarm away."""
    ledger = _Ledger()
    ledger.state = {"event": "clared"}
    assert [alarm.witness for alarm in Alarms(cast(Writer, SimpleNamespace(runtime=ledger))).all()] == ["w"]


def test_what_another_worker_wrote_is_seen() -> None:
    """An alarm raised or cleared elsewhere: the commit that moved it makes this one read it again."""
    ledger = _Ledger()
    alarms = Alarms(cast(Writer, SimpleNamespace(runtime=ledger)))
    ledger.state = {"event": "raised", "reason": "r", "since": "s", "evidence": "e"}
    assert alarms.stands("default", "w")
    ledger.state = {**ledger.state, "event": "cleared"}
    assert alarms.stands("default", "w"), "nothing was told"
    ledger.changed(Changed(tenant="default", objects=frozenset({"alarm/w"}), revision=None))
    assert not alarms.stands("default", "w")
