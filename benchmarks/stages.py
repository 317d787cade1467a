"""What a cold decision costs in Python, stage by stage, in CPU time: a number that a busy machine changes little.

The hot lane is called in this process, over the real ledger and its writer; OPA's part is one of its own answers, read
and checked as ever. What is told is the least that any of many batches took, in microseconds of one decision: by stage,
of the thread with the event loop, one decision after the other; and of the whole process, with 1 and with 64 at once.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
import time
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path
from typing import Any, Final

import orjson
import uvloop

from benchmarks import workload
from benchmarks.bench import Bench, arguments, ran
from benchmarks.load import STAMP
from benchmarks.profile import STAGES
from benchmarks.servers import environment
from benchmarks.table import progress
from engine.api.gateway import Gateways
from engine.api.hot import HotLane
from engine.api.services import Services
from engine.home import Home
from engine.observing import stages
from engine.opa import answers, binary
from engine.opa.batch import DECISIONS
from engine.runtime import DEFAULT_TENANT, Runtime
from engine.settings import load
from ledger.canonical import JSON

_ROOM: Final = 1 << 30
_KEY: Final = re.compile(rb'[{,]"(r\d+)":\{"action":')
_AT_ONCE: Final = (1, 64)
_BATCH: Final = 256


class Inside:
    """A service without a server: its lane, and whom to ask about."""

    def __init__(self, runtime: Runtime, token: str, names: list[str]) -> None:
        found = Services.of(runtime)
        self._lane = HotLane(_nowhere, found, Gateways.of(found))
        self._metrics = found.metrics
        self._headers = [
            (b"host", b"muster"),
            (b"authorization", b"Bearer " + token.encode()),
            (b"content-type", b"application/json"),
        ]
        self._bodies = [orjson.dumps(workload.asked(name)) for name in names]
        self._numbers = count(1)

    async def ask(self) -> None:
        """One decision that nobody has asked for before; raises where it is none."""
        number = next(self._numbers)
        body = self._bodies[number % len(self._bodies)].replace(STAMP.encode(), b"%012d" % number)
        scope = {
            "type": "http",
            "method": "POST",
            "raw_path": b"/v1/decisions",
            "query_string": b"",
            "headers": self._headers,
        }

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            if message.get("status", 200) != 200:
                raise AssertionError(f"answered {message}")

        await self._lane(scope, receive, send)

    def stages(self) -> dict[str, int]:
        """Nanoseconds by stage, of all decisions so far."""
        totals = dict.fromkeys(STAGES, 0)
        for series in self._metrics._numbers.own():
            if series.name == "muster_decision_stage_seconds" and series.values:
                totals[series.labels[0]] = series.values[-1]
        return totals


async def _nowhere(*_: object) -> None:
    raise AssertionError("a question that is not for the hot lane")


def canned(answer: bytes, provenance: bytes) -> Callable[[str, bytes, float], Awaitable[JSON]]:
    """What OPA would say, for whatever is asked: read as its answers are."""

    async def query(entrypoint: str, body: bytes, _deadline: float) -> JSON:
        await asyncio.sleep(0)
        result = answer
        if entrypoint == DECISIONS:
            result = b"{%b}" % b",".join(b'"%b":%b' % (key, answer) for key in _KEY.findall(body))
        return answers.read(b'{"provenance":%b,"result":%b}' % (provenance, result))["result"]

    return query


def measured(bench: Bench, subjects: int, rounds: int) -> None:
    """Set up, and measure."""
    progress(f"a home of {subjects:,} people")
    world = workload.make(bench.folder, subjects, cores=bench.cores, trained_of_ten=10)
    settings = load(environment(world.home, "127.0.0.1:0"))

    async def run() -> None:
        opa = binary.find(settings.opa_bin, settings.cache)
        async with Runtime(settings=settings, home=Home(Path(world.home)), opa=opa) as runtime:
            inside = Inside(runtime, world.gateway, world.names)
            await inside.ask()  # also has the real OPA say who may ask
            await _pretend(runtime, inside)
            for at_once in _AT_ONCE:
                await _case(bench, inside, at_once, rounds)

    uvloop.run(run())


async def _pretend(runtime: Runtime, inside: Inside) -> None:
    """Put one of OPA's own answers in its place."""
    batcher = runtime.active(DEFAULT_TENANT).evaluator._batcher
    heard: list[JSON] = []
    real = batcher._query

    async def listening(entrypoint: str, body: bytes, deadline: float) -> JSON:
        heard.append(await real(entrypoint, body, deadline))
        return heard[-1]

    batcher._query = listening
    await inside.ask()
    provenance = orjson.dumps({"version": runtime.opa.version, "bundles": {"bundle": {"revision": "0" * 64}}})
    batcher._query = canned(orjson.dumps(heard[0]), provenance)


async def _case(bench: Bench, inside: Inside, at_once: int, rounds: int) -> None:
    """So many batches; the least of each number is kept."""
    least: dict[str, float] = {}
    # One decision after the other: between two marks no other one takes any of this thread's time.
    setattr(stages, "perf_counter_ns", time.thread_time_ns if at_once == 1 else time.perf_counter_ns)  # noqa: B010

    async def asker(asks: Any) -> None:
        for _ in asks:
            await inside.ask()

    for _ in range(rounds):
        before, loop, whole = inside.stages(), time.thread_time_ns(), time.process_time_ns()
        asks = iter(range(_BATCH))
        await asyncio.gather(*(asker(asks) for _ in range(at_once)))
        loop, whole = time.thread_time_ns() - loop, time.process_time_ns() - whole
        found = {"the loop's thread": loop, "the writer's thread and others": whole - loop, "all": whole}
        if at_once == 1:
            found |= {name: value - before[name] for name, value in inside.stages().items()}
        for name, nanoseconds in found.items():
            least[name] = min(least.get(name, float("inf")), nanoseconds / _BATCH / 1000)
    plural = "s" if at_once > 1 else ""
    for name in (*(STAGES if at_once == 1 else ()), "the loop's thread", "the writer's thread and others", "all"):
        bench.add(f"{at_once} decision{plural} at once: {name}", "us", [least[name]])


def main() -> int:
    """Measure and print."""
    options = _options()
    return ran(options, "stages", _ROOM, lambda run: measured(run, options.subjects, options.rounds))[0]


def _options() -> argparse.Namespace:
    parser = arguments("stages", __doc__ or "")
    parser.add_argument("--rounds", type=int, default=60, help=f"of {_BATCH} decisions each")
    options = parser.parse_args()
    if options.rounds < 1 or options.subjects < 10:
        parser.error("--rounds is more than 0, --subjects at least 10")
    return options


if __name__ == "__main__":
    sys.exit(main())
