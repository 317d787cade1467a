"""Asks for many decisions in one call without letting one item touch another.

What waits goes together to `muster/gate/decisions`, under keys chosen here; nothing waits for company. On a single
processor a call waits for the one before it, as two would only share it, but not for one that takes long. An item that
breaks a batch (a builtin error, a conflict, a rule that runs too long) breaks it for all, so each is then asked alone,
once. What fails alone is quarantined by (caller, action) for some seconds: it is asked alone, a few at a time, and
counts against its caller. Nothing is repeated when OPA itself is away, or serves another revision.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from engine.opa.errors import CouldNotDecide
from ledger.canonical import JSON
from ledger.overdue import Overdue

DECISION: Final = "muster/gate/decision"
DECISIONS: Final = "muster/gate/decisions"

Query: TypeAlias = Callable[[str, bytes, float], Awaitable[JSON]]
"""(entrypoint, body, deadline in seconds) -> result; raises CouldNotDecide."""

Asked: TypeAlias = Callable[[int], None]
"""Told, once, how many items go in the call that first carries this one, when that call is sent."""

_CALLS_AT_ONCE: Final = 2
_LONG_SECONDS: Final = 0.1
"""A batch takes 10 to 40 ms of a processor: what takes longer has a slow item in it, for which nobody else waits."""
_EARLY_SECONDS: Final = 0.002
"""How much sooner than it was set a timer may wake: those of uvloop have whole milliseconds."""
_BATCH: Final = 32
_BATCH_BYTES: Final = 512 * 1024
_UNANSWERED: Final = 1024
_ALONE_AT_ONCE: Final = 4
_QUARANTINE_SECONDS: Final = 5.0
_QUARANTINED_AT_ONCE: Final = 2
_QUARANTINED_A_CALLER: Final = 32
_CALLERS_COUNTED: Final = 1000
_NOBODYS_FAULT: Final = frozenset({"opa-down", "wrong-revision"})


@dataclass(slots=True)
class Counts:
    """Grows only. `failed_alone` counts by caller; beyond a thousand callers, the rest is the caller `other`."""

    batches: int = 0
    batched: int = 0
    alone: int = 0
    broken_batches: int = 0
    failed_alone: Counter[str] = field(default_factory=Counter)

    def blame(self, caller: str) -> None:
        """Count a failure against its caller."""
        known = caller in self.failed_alone or len(self.failed_alone) < _CALLERS_COUNTED
        self.failed_alone[caller if known else "other"] += 1


@dataclass(slots=True, eq=False)
class _Item:
    body: bytes
    caller: str
    action: str
    expires: float
    answer: asyncio.Future[JSON]
    asked: Asked | None

    def sent(self, together: int) -> None:
        """Tell the asker that its call goes out; of a second call it is not told."""
        asked, self.asked = self.asked, None
        if asked is not None:
            asked(together)

    def settle(self, outcome: JSON | CouldNotDecide) -> None:
        """Hand over the outcome, unless the asker has gone."""
        if self.answer.done():
            return
        if isinstance(outcome, CouldNotDecide):
            self.answer.set_exception(outcome)
        else:
            self.answer.set_result(outcome)


class Batcher:
    """Batches of decisions over one `query`; belongs to one event loop."""

    def __init__(self, query: Query, *, seconds: float, processors: int = _CALLS_AT_ONCE) -> None:
        """`seconds`: how long one decision may take in OPA, and a third of how long it may wait to be asked.

        `processors`: how many OPA has.
        """
        self.counts = Counts()
        self._query = query
        self._seconds = seconds
        # Every way through here ends sooner, by deadlines of its own; an asker must not hang on a mistake in them.
        late = 5 * seconds
        self._unanswered = Overdue(late, lambda: CouldNotDecide("timeout", f"no answer within {late:g} s"))
        self._waiting: deque[_Item] = deque()
        self._side_by_side = min(processors, _CALLS_AT_ONCE)
        self._calls: dict[asyncio.Task[None], float] = {}  # since when
        self._look: asyncio.TimerHandle | None = None
        self._retries: set[asyncio.Task[None]] = set()
        self._alone = asyncio.Semaphore(_ALONE_AT_ONCE)
        self._confined = asyncio.Semaphore(_QUARANTINED_AT_ONCE)
        self._confined_by: Counter[str] = Counter()
        self._quarantine: dict[tuple[str, str], float] = {}
        self._keys = itertools.count()
        self._closed = False

    async def decide(self, body: bytes, *, caller: str, action: str, asked: Asked | None = None) -> JSON:
        """The decision for one canonical input; raises CouldNotDecide. `asked` must not raise."""
        if self._closed:
            raise CouldNotDecide("opa-down", "OPA was stopped")
        loop = asyncio.get_running_loop()
        if len(self._unanswered) >= _UNANSWERED:
            raise CouldNotDecide("overloaded", f"{_UNANSWERED} decisions wait already")
        item = _Item(body, caller, action, time.monotonic() + 3 * self._seconds, loop.create_future(), asked)
        self._unanswered.add(item.answer)
        try:
            if self._quarantined(item):
                with self._within_limit(caller):
                    self._retry(item, self._confined)
                    return await item.answer
            self._waiting.append(item)
            self._pump()
            return await item.answer
        finally:
            self._unanswered.discard(item.answer)

    async def close(self) -> None:
        """Tell everybody who waits that there will be no answer."""
        self._closed = True
        under_way = [*self._calls, *self._retries]
        for task in under_way:
            task.cancel()
        if under_way:
            await asyncio.wait(under_way)
        self._waiting.clear()
        if self._look is not None:
            self._look.cancel()
        self._unanswered.fail(lambda: CouldNotDecide("opa-down", "OPA was stopped"))

    def _pump(self) -> None:
        while self._may_call() and not self._closed:
            batch = list(self._take())
            if not batch:
                return
            task = asyncio.create_task(self._call(batch))
            self._calls[task] = time.monotonic()
            task.add_done_callback(self._called)
        if self._look is None and self._waiting and len(self._calls) < _CALLS_AT_ONCE and not self._closed:
            # It stays set when that call ends: of the next one it wakes too soon, and is then set for what is left.
            seconds = max(self._calls.values()) + _LONG_SECONDS - time.monotonic()
            self._look = asyncio.get_running_loop().call_later(max(seconds, 0) + _EARLY_SECONDS, self._look_again)

    def _may_call(self) -> bool:
        if len(self._calls) < self._side_by_side:
            return True
        late = time.monotonic() - _LONG_SECONDS
        return len(self._calls) < _CALLS_AT_ONCE and all(since <= late for since in self._calls.values())

    def _look_again(self) -> None:
        self._look = None
        self._pump()

    def _called(self, task: asyncio.Task[None]) -> None:
        del self._calls[task]
        self._pump()

    def _take(self) -> Iterator[_Item]:
        """What goes into the next call: as much as waits and fits, but what is quarantined goes by itself."""
        size = count = 0
        while self._waiting and count < _BATCH:
            item = self._waiting[0]
            if count and size + len(item.body) > _BATCH_BYTES:
                return
            self._waiting.popleft()
            if item.answer.done():
                continue  # its asker has gone
            if time.monotonic() >= item.expires:
                item.settle(CouldNotDecide("overloaded", "it waited too long to be asked"))
            elif self._quarantined(item):  # since it began to wait
                self._retry(item, self._confined)
            else:
                size, count = size + len(item.body), count + 1
                yield item

    async def _call(self, batch: list[_Item]) -> None:
        if len(batch) == 1:
            await self._settle_alone(batch[0])
        else:
            await self._settle_together(batch)

    async def _settle_together(self, batch: list[_Item]) -> None:
        items = {f"r{next(self._keys)}": item for item in batch}
        self.counts.batches += 1
        self.counts.batched += len(batch)
        for item in batch:
            item.sent(len(batch))
        try:
            # Half of the time: a batch of 32 takes a few ms, and whoever shares it with a slow item waits for both.
            answers = _by_key(await self._query(DECISIONS, _together(items), self._seconds / 2), items)
        except CouldNotDecide as exc:
            self.counts.broken_batches += 1
            for item in batch:
                if exc.cause in _NOBODYS_FAULT:
                    item.settle(CouldNotDecide(exc.cause, exc.detail))  # each asker raises one of its own
                else:
                    self._retry(item, self._alone)
            return
        for key, item in items.items():
            if key in answers:
                item.settle(answers[key])
            else:
                item.settle(CouldNotDecide("undefined", f"{DECISION} is undefined for this input"))

    def _retry(self, item: _Item, turns: asyncio.Semaphore) -> None:
        task = asyncio.create_task(self._ask_alone(item, turns))
        self._retries.add(task)
        task.add_done_callback(self._retries.discard)

    async def _ask_alone(self, item: _Item, turns: asyncio.Semaphore) -> None:
        """Ask for one item, when its turn comes; its answer is settled on return."""
        try:
            async with asyncio.timeout(max(item.expires - time.monotonic(), 0)):
                await turns.acquire()
        except TimeoutError:
            item.settle(CouldNotDecide("overloaded", "it waited too long to be asked alone"))
            return
        try:
            if not item.answer.done():
                await self._settle_alone(item)
        finally:
            turns.release()

    async def _settle_alone(self, item: _Item) -> None:
        self.counts.alone += 1
        item.sent(1)
        try:
            item.settle(await self._query(DECISION, item.body, self._seconds))
        except CouldNotDecide as exc:
            if exc.cause not in _NOBODYS_FAULT:
                self.counts.blame(item.caller)
                if exc.cause != "undefined":  # an undefined item harms no other
                    self._quarantine.pop((item.caller, item.action), None)  # so that the oldest stays first
                    self._quarantine[item.caller, item.action] = time.monotonic() + _QUARANTINE_SECONDS
            item.settle(exc)

    def _quarantined(self, item: _Item) -> bool:
        while self._quarantine:
            first = next(iter(self._quarantine))
            if self._quarantine[first] > time.monotonic():
                break
            del self._quarantine[first]
        return (item.caller, item.action) in self._quarantine

    @contextmanager
    def _within_limit(self, caller: str) -> Iterator[None]:
        if self._confined_by[caller] >= _QUARANTINED_A_CALLER:
            raise CouldNotDecide("overloaded", "too many questions of a caller whose questions fail wait already")
        self._confined_by[caller] += 1
        try:
            yield
        finally:
            self._confined_by[caller] -= 1
            if not self._confined_by[caller]:
                del self._confined_by[caller]


def _together(items: Mapping[str, _Item]) -> bytes:
    """The batch's input, put together from bytes: no item is parsed or written anew."""
    return b'{"requests":{%b}}' % b",".join(b'"%b":%b' % (key.encode(), item.body) for key, item in items.items())


def _by_key(result: JSON, items: Mapping[str, _Item]) -> dict[str, JSON]:
    if not isinstance(result, dict):
        raise CouldNotDecide("bad-shape", f"{DECISIONS} did not answer an object")
    if not result.keys() <= items.keys():
        raise CouldNotDecide("bad-shape", f"{DECISIONS} answered for what nobody asked")
    return result
