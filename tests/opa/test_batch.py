"""The batcher over a made-up OPA: who waits for whom, how much goes in one call, and whom a failure is charged to."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.opa import batch
from engine.opa.batch import DECISION, DECISIONS, Batcher
from engine.opa.errors import Cause, CouldNotDecide
from ledger.canonical import JSON
from tests.opa.waiting import until


@dataclass(slots=True)
class FakeOpa:
    """Answers when it is told to; an item `{"fails": cause}` breaks its call, `{"absent": true}` is undefined."""

    open: asyncio.Event = field(default_factory=asyncio.Event)
    calls: list[tuple[str, dict[str, JSON]]] = field(default_factory=list)
    running: int = 0
    most: int = 0
    change: Callable[[dict[str, JSON]], JSON] = dict

    async def query(self, entrypoint: str, body: bytes, deadline: float) -> JSON:
        """As OpaClient.query."""
        assert deadline > 0
        value = json.loads(body)
        self.calls.append((entrypoint, value))
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.open.wait()
        finally:
            self.running -= 1
        items = value["requests"] if entrypoint == DECISIONS else {"it": value}
        for item in items.values():
            if "fails" in item:
                raise CouldNotDecide(item["fails"], "told to")
        answers: dict[str, JSON] = {key: {"echo": item["key"]} for key, item in items.items() if "absent" not in item}
        if entrypoint == DECISIONS:
            return self.change(answers)
        if not answers:
            raise CouldNotDecide("undefined", "told to")
        return answers["it"]


def body(key: object, **fields: object) -> bytes:
    """An item."""
    return json.dumps({"key": key, **fields}).encode()


async def outcome(asked: Awaitable[JSON]) -> JSON:
    """The answer, or the cause of there being none."""
    try:
        return await asked
    except CouldNotDecide as exc:
        return exc.cause


def batcher(opa: FakeOpa, seconds: float = 5.0) -> Batcher:
    """A batcher over the made-up OPA."""
    return Batcher(opa.query, seconds=seconds)


def test_a_lone_request_goes_at_once_and_alone() -> None:
    """Nothing waits for company: the first two go by themselves, while they are away the rest gathers."""

    async def main() -> None:
        opa = FakeOpa()
        ours = batcher(opa)
        asked = [asyncio.create_task(ours.decide(body(n), caller="c", action="a")) for n in range(80)]
        await until(lambda: len(opa.calls) == 2)
        assert [entrypoint for entrypoint, _ in opa.calls] == [DECISION, DECISION]
        opa.open.set()
        assert await asyncio.gather(*asked) == [{"echo": n} for n in range(80)]
        together = [value["requests"] for entrypoint, value in opa.calls if entrypoint == DECISIONS]
        assert [len(requests) for requests in together if isinstance(requests, dict)] == [32, 32, 14]
        assert opa.most == 2

    asyncio.run(main())


def test_on_one_processor_a_call_waits_for_the_one_before() -> None:
    """Two would share it, and both be late; what is asked meanwhile goes together."""

    async def main() -> None:
        opa = FakeOpa()
        ours = Batcher(opa.query, seconds=5.0, processors=1)
        asked = [asyncio.create_task(ours.decide(body(n), caller="c", action="a")) for n in range(80)]
        await until(lambda: bool(opa.calls))
        opa.open.set()
        assert await asyncio.gather(*asked) == [{"echo": n} for n in range(80)]
        assert opa.most == 1
        assert len(opa.calls) == 4

    asyncio.run(main())


def test_on_one_processor_a_call_that_takes_long_is_overtaken() -> None:
    """By one, whether it waits already or comes later; a third waits for its turn."""

    async def main() -> None:
        opa = FakeOpa()
        ours = Batcher(opa.query, seconds=5.0, processors=1)
        asked = [asyncio.create_task(ours.decide(body(0), caller="c", action="a"))]
        await until(lambda: opa.running == 1)
        asked += [asyncio.create_task(ours.decide(body(1), caller="c", action="a"))]
        await until(lambda: opa.running == 2)
        asked += [asyncio.create_task(ours.decide(body(n), caller="c", action="a")) for n in (2, 3)]
        await asyncio.sleep(2.5 * batch._LONG_SECONDS)
        assert len(opa.calls) == 2
        opa.open.set()
        assert await asyncio.gather(*asked) == [{"echo": n} for n in range(4)]
        assert len(opa.calls) == 3
        assert opa.most == 2

    asyncio.run(main())


@pytest.mark.alone
@pytest.mark.parametrize("early", [0.0, 0.004])
def test_on_one_processor_who_comes_while_a_call_runs_waits_until_it_is_long(
    monkeypatch: pytest.MonkeyPatch, early: float
) -> None:
    """And not for as long from then on, nor where the loop's timers wake too early."""
    monkeypatch.setattr(batch, "_LONG_SECONDS", 0.5)

    async def main() -> None:
        loop, opa = asyncio.get_running_loop(), FakeOpa()
        call_later = loop.call_later
        monkeypatch.setattr(loop, "call_later", lambda delay, *rest: call_later(max(delay - early, 0), *rest))
        ours = Batcher(opa.query, seconds=5.0, processors=1)
        asked = [asyncio.create_task(ours.decide(body(0), caller="c", action="a"))]
        await until(lambda: opa.running == 1)
        began = time.monotonic()
        await asyncio.sleep(0.4)
        asked += [asyncio.create_task(ours.decide(body(1), caller="c", action="a"))]
        await until(lambda: opa.running == 2)
        assert time.monotonic() - began < 0.75
        opa.open.set()
        await asyncio.gather(*asked)

    asyncio.run(main())


@pytest.mark.alone
def test_on_one_processor_who_waits_behind_a_second_call_waits_until_that_is_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever the first one was waited for."""
    monkeypatch.setattr(batch, "_LONG_SECONDS", 0.5)

    async def main() -> None:
        opa = FakeOpa()
        ours = Batcher(opa.query, seconds=5.0, processors=1)
        asked = [asyncio.create_task(ours.decide(body(n), caller="c", action="a")) for n in range(2)]
        await until(lambda: opa.running == 1)
        await asyncio.sleep(0.1)
        opa.open.set()  # for the first alone: the second is asked when that has ended
        opa.open.clear()
        await until(lambda: len(opa.calls) == 2)
        began = time.monotonic()
        asked += [asyncio.create_task(ours.decide(body(2), caller="c", action="a"))]
        await until(lambda: opa.running == 2)
        assert 0.45 < time.monotonic() - began < 0.75
        opa.open.set()
        assert await asyncio.gather(*asked) == [{"echo": n} for n in range(3)]

    asyncio.run(main())


def test_a_batch_is_bounded_in_bytes() -> None:
    """Long items do not add up to a call that OPA would refuse for its length."""

    async def main() -> None:
        opa = FakeOpa()
        ours = batcher(opa)
        long = "x" * 200_000
        asked = [asyncio.create_task(ours.decide(body(n, pad=long), caller="c", action="a")) for n in range(8)]
        await until(lambda: len(opa.calls) == 2)
        opa.open.set()
        await asyncio.gather(*asked)
        assert max(len(json.dumps(value)) for _, value in opa.calls) < 512 * 1024

    asyncio.run(main())


@pytest.mark.within
def test_the_queue_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound a question is refused at once, and those before it are answered."""
    monkeypatch.setattr(batch, "_UNANSWERED", 12)

    async def main() -> None:
        opa = FakeOpa()
        ours = batcher(opa)
        asked = [asyncio.create_task(outcome(ours.decide(body(n), caller="c", action="a"))) for n in range(20)]
        await until(lambda: sum(task.done() for task in asked) == 8)
        opa.open.set()
        got = await asyncio.gather(*asked)
        assert got == [*({"echo": n} for n in range(12)), *["overloaded"] * 8]

    asyncio.run(main())


@pytest.mark.parametrize(
    "change",
    [lambda answers: {**answers, "stranger": {}}, lambda answers: list(answers.values()), lambda _: None],
    ids=["extra-key", "array", "null"],
)
def test_an_answer_that_makes_no_sense_fails_the_whole_call(change: Callable[[dict[str, JSON]], JSON]) -> None:
    """From a batch answered with a strange key, or with no object, nothing is believed: each item is asked alone."""

    async def main() -> None:
        opa = FakeOpa(change=change)
        ours = batcher(opa)
        asked = [asyncio.create_task(ours.decide(body(n), caller="c", action="a")) for n in range(10)]
        await until(lambda: len(opa.calls) == 2)
        opa.open.set()
        assert await asyncio.gather(*asked) == [{"echo": n} for n in range(10)]
        assert ours.counts.broken_batches == 1
        assert ours.counts.alone == 10
        assert not ours.counts.failed_alone

    asyncio.run(main())


@pytest.mark.parametrize("cause", ["opa-down", "wrong-revision"])
def test_what_is_no_items_fault_is_not_repeated(cause: Cause) -> None:
    """When OPA is away or serves another revision, all are told at once, nobody is blamed, nothing is asked again."""

    async def main() -> None:
        opa = FakeOpa()
        ours = batcher(opa)
        asked = [
            asyncio.create_task(outcome(ours.decide(body(n, fails=cause), caller="c", action="a"))) for n in range(10)
        ]
        await until(lambda: len(opa.calls) == 2)
        opa.open.set()
        assert await asyncio.gather(*asked) == [cause] * 10
        assert len(opa.calls) == 3
        assert not ours.counts.failed_alone

    asyncio.run(main())


@pytest.mark.within
def test_a_quarantined_caller_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Questions of a quarantined caller go two at a time, a bounded number wait, and others do not notice."""
    monkeypatch.setattr(batch, "_QUARANTINED_A_CALLER", 6)

    async def main() -> None:
        opa = FakeOpa()
        opa.open.set()
        ours = batcher(opa)
        assert await outcome(ours.decide(body("v", fails="timeout"), caller="villain", action="a")) == "timeout"
        opa.open.clear()
        asked = [asyncio.create_task(outcome(ours.decide(body(n), caller="villain", action="a"))) for n in range(10)]
        await until(lambda: opa.running == 2)
        other = asyncio.create_task(ours.decide(body("o"), caller="villain", action="b"))
        await until(lambda: opa.running == 3)
        opa.open.set()
        assert await asyncio.gather(*asked) == [*({"echo": n} for n in range(6)), *["overloaded"] * 4]
        assert await other == {"echo": "o"}

    asyncio.run(main())


@pytest.mark.within
def test_quarantine_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """After its time a caller's questions go with the others again."""
    monkeypatch.setattr(batch, "_QUARANTINE_SECONDS", 0.0)

    async def main() -> None:
        opa = FakeOpa()
        opa.open.set()
        ours = batcher(opa)
        assert await outcome(ours.decide(body("v", fails="timeout"), caller="c", action="a")) == "timeout"
        asked = [ours.decide(body(n), caller="c", action="a") for n in range(10)]
        assert await asyncio.gather(*asked) == [{"echo": n} for n in range(10)]
        assert ours.counts.batched == 8

    asyncio.run(main())


def test_an_asker_that_goes_away_is_not_asked_for() -> None:
    """A question whose asker was cancelled before its turn never reaches OPA, and nothing else is disturbed."""

    async def main() -> None:
        opa = FakeOpa()
        ours = batcher(opa)
        asked = [asyncio.create_task(ours.decide(body(n), caller="c", action="a")) for n in range(10)]
        await until(lambda: len(opa.calls) == 2)
        for task in asked[5:]:
            task.cancel()
        opa.open.set()
        got = await asyncio.gather(*asked, return_exceptions=True)
        assert got[:5] == [{"echo": n} for n in range(5)]
        assert all(isinstance(error, asyncio.CancelledError) for error in got[5:])
        assert [len(v["requests"]) for e, v in opa.calls if e == DECISIONS and isinstance(v["requests"], dict)] == [3]

    asyncio.run(main())


def test_closing_tells_everybody() -> None:
    """Those whose call is under way, those who wait for one, and those who come later get `opa-down`."""

    async def main() -> None:
        opa = FakeOpa()
        ours = batcher(opa)
        asked = [asyncio.create_task(outcome(ours.decide(body(n), caller="c", action="a"))) for n in range(50)]
        await until(lambda: len(opa.calls) == 2)
        await ours.close()
        assert await asyncio.gather(*asked) == ["opa-down"] * 50
        assert opa.running == 0
        assert await outcome(ours.decide(body("late"), caller="c", action="a")) == "opa-down"

    asyncio.run(main())


@pytest.mark.within
def test_counting_callers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many callers fail, only so many have a counter of their own."""
    monkeypatch.setattr(batch, "_CALLERS_COUNTED", 3)
    counts = batch.Counts()
    for n in range(10):
        counts.blame(f"c{n}")
    assert dict(counts.failed_alone) == {"c0": 1, "c1": 1, "c2": 1, "other": 7}


ITEMS = st.lists(
    st.tuples(st.sampled_from(["good", "opa-error", "timeout", "bad-shape", "absent"]), st.sampled_from("abc")),
    min_size=1,
    max_size=60,
)


@settings(max_examples=60, deadline=None)
@given(ITEMS)
def test_each_item_gets_what_it_would_get_alone(items: list[tuple[str, str]]) -> None:
    """Whatever stands beside it in a batch, and whatever failed before, an item's outcome is its own."""

    async def main() -> None:
        opa = FakeOpa()
        opa.open.set()
        ours = batcher(opa)
        asked = []
        for n, (kind, caller) in enumerate(items):
            fields = {} if kind == "good" else {"absent": True} if kind == "absent" else {"fails": kind}
            asked.append(outcome(ours.decide(body(n, **fields), caller=caller, action="act")))
        expected = [
            {"echo": n} if kind == "good" else "undefined" if kind == "absent" else kind
            for n, (kind, _) in enumerate(items)
        ]
        assert await asyncio.gather(*asked) == expected
        await ours.close()

    asyncio.run(main())


def test_an_asker_is_told_when_its_call_is_sent() -> None:
    """Once, with the number of items in the first call that carries it; not again when it is asked for alone."""

    async def main() -> None:
        opa = FakeOpa()
        ours = batcher(opa)
        told: list[tuple[int, int]] = []

        def ask(n: int, **fields: object) -> Awaitable[JSON | str]:
            asked = ours.decide(body(n, **fields), caller="c", action="a", asked=lambda size: told.append((n, size)))
            return asyncio.create_task(outcome(asked))

        first = [ask(0), ask(1), ask(2), ask(3, fails="opa-error"), ask(4)]
        await until(lambda: len(opa.calls) == 2)
        assert told == [(0, 1), (1, 1)]
        opa.open.set()
        await asyncio.gather(*first)
        assert ours.counts.broken_batches == 1
        assert told == [(0, 1), (1, 1), (2, 3), (3, 3), (4, 3)]
        await ask(5)
        assert told[5:] == [(5, 1)]

    asyncio.run(main())
