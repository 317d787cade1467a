"""Who is asked about is looked up as they are in the ledger, whatever is remembered of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.access.caller import Caller, operator
from engine.decide.asking import Asking
from engine.decide.facts import Seen
from ledger.cache import Cache
from ledger.model import Append, unknown_object
from ledger.sqlite import SqliteLedger
from tests.ledger.builders import ANN, BY, TENANT, activation, draft, joins, name_of, one


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqliteLedger]:
    """A log with one person."""
    opened = SqliteLedger(tmp_path / "ledger.db", free_floor=0)
    opened.submit(one(activation())).result(20)
    opened.submit(joins(ANN)).result(20)
    yield opened
    opened.close()


def test_a_person_who_was_erased_meanwhile_is_unknown(ledger: SqliteLedger) -> None:
    """A remembered ref to an object that is gone is no ref: it would be read as "not there" for ever."""
    reader = ledger.reader()
    cache = Cache(reader)  # told of nothing, like a worker that has not heard yet
    assert cache.person(TENANT, ANN) is not None
    erasure = draft("erasure", {"indices": list(reader.indices_about(TENANT, ANN)), "by": BY})
    ledger.submit(Append(tenant=TENANT, drafts=(erasure,), erases=ANN)).result(20)
    seen = Seen.none(cache, TENANT)
    assert seen.person(ANN.type, ANN.id) is None
    assert seen.reads == ((unknown_object(ANN), -1),)
    ledger.submit(joins(ANN)).result(20)
    again = Seen.none(cache, TENANT)
    assert again.person(ANN.type, ANN.id) is not None
    assert [name for name, _ in again.reads] == [name_of(ANN)]
    reader.close()


def test_a_verdict_counts_for_the_revision_that_gave_it() -> None:
    """Where another revision decides than the one that let the caller in, its policy is asked first."""
    verdicts = ["r1", "r2", "r2"]

    async def permit(_: Caller) -> str:
        return verdicts.pop(0)

    async def run() -> list[bool]:
        asking = Asking(
            caller=operator(TENANT), again=lambda: operator(TENANT), request_id="1", permit=permit, judged_by="r1"
        )
        return [await asking.may("r1"), await asking.may("r2"), await asking.may("r2"), await asking.may("r2")]

    assert asyncio.run(run()) == [True, False, True, True]
    assert verdicts == ["r2"]
