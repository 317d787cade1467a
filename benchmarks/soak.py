"""`make soak`: ten minutes at 80 % of capacity while facts change, then twice the capacity for half a minute.

It says whether memory and descriptors stay as they are, whether p99 grows, and what an overload does.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import linear_regression, median
from typing import Final

from benchmarks import page, workload
from benchmarks.bench import BUILD, PAGE, Bench, arguments, ran
from benchmarks.load import OR_REFUSED, Found, Target
from benchmarks.machine import Refused
from benchmarks.processes import Taken
from benchmarks.servers import Muster, decisions
from benchmarks.table import Goal, progress
from ledger.canonical import JSON

_ROOM: Final = 12 << 30
_EVERY_S: Final = 10.0
_SETTLED: Final = 0.2
"""The share of the samples that is left out where a trend is asked for: caches fill, Python's memory grows once."""
_FLAT_MEMORY: Final = Goal(0.05, at_least=False)
_FLAT_TAIL: Final = Goal(1.5, at_least=False)
_FLAT_FILES: Final = Goal(8, at_least=False)
_BACK_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One window of the soak, and what the processes had at its end; WAL in bytes."""

    at_s: float
    found: Found
    taken: dict[str, Taken]
    wal: int

    def described(self) -> dict[str, JSON]:
        """As JSON."""
        return {
            "at_s": self.at_s,
            "rate": self.found.rate,
            "p99_ms": self.found.p99,
            "statuses": dict(self.found.statuses.items()),
            "failed": self.found.failed,
            "wal": self.wal,
            "pss": {name: taken.pss for name, taken in self.taken.items()},
            "rss": {name: taken.rss for name, taken in self.taken.items()},
            "descriptors": {name: taken.descriptors for name, taken in self.taken.items()},
        }


@dataclass(slots=True)
class Soak:
    """The service that is soaked."""

    bench: Bench
    world: workload.World
    muster: Muster
    target: Target
    samples: list[Sample] = field(default_factory=list)

    def capacity(self, connections: int, seconds: float) -> float:
        """Answers a second in a closed loop, facts changing."""
        progress("capacity, in a closed loop")
        with workload.changing(self.world, self.muster):
            run = self.bench.generator.run
            return run(self.target, connections=connections, seconds=seconds, warm_up=3, accept=OR_REFUSED).rate

    def steady(self, rate: float, minutes: float, connections: int) -> Found:
        """At a fixed rate, with a sample every ten seconds."""
        progress(f"{minutes:g} minutes at {rate:,.0f} a second")
        begun, wal = time.monotonic(), Path(f"{self.world.home / 'ledger.db'}-wal")

        def told(window: Found) -> None:
            taken = self.muster.server.taken()
            size = wal.stat().st_size if wal.exists() else 0
            sample = Sample(time.monotonic() - begun, window, taken, size)
            self.samples.append(sample)
            memory = ", ".join(f"{name} {one.pss / 1e6:,.0f} MB, {one.descriptors} fds" for name, one in taken.items())
            progress(
                f"  {sample.at_s:5.0f} s  {window.rate:7,.0f}/s  p99 {window.p99:8.2f} ms  {window.statuses}  "
                f"{memory}  WAL {size / 1e6:.1f} MB"
            )

        with workload.changing(self.world, self.muster) as changes:
            found = self.bench.generator.run(
                self.target,
                connections=connections,
                seconds=minutes * 60,
                rate=rate,
                every=min(_EVERY_S, minutes * 6),
                told=told,
                accept=None,
            )
        if changes.failures:
            self.bench.notes.append(f"{len(changes.failures)} facts could not be changed: {changes.failures[0]}")
        return found

    def overload(self, rate: float, seconds: float, connections: int) -> tuple[Found, float]:
        """More than it can answer; and the seconds behind its end until ten answers in a row are as fast as before."""
        usual = self._usual_ms()
        progress(f"overload: {rate:,.0f} a second for {seconds:g} s on {connections:,} connections")
        found = self.bench.generator.run(
            self.target, connections=connections, seconds=seconds, warm_up=0, rate=rate, accept=None
        )
        over = time.monotonic()
        while time.monotonic() - over < _BACK_S:
            begun = time.monotonic()
            if self._usual_ms() <= 2 * usual + 1:
                return found, begun - over
        return found, float("inf")

    def _usual_ms(self) -> float:
        """The median of ten answers, one after the other; infinite where one is refused."""
        found = self.bench.generator.run(self.target, connections=1, seconds=5, warm_up=0, once=10, accept=None)
        return found.p50 if found.requests == 10 else float("inf")


def measured(bench: Bench, options: argparse.Namespace) -> None:
    """Everything, in the order of the table."""
    progress(f"a home of {options.subjects:,} people")
    world = workload.make(bench.folder, options.subjects, cores=bench.cores)
    muster = bench.start(world.home)
    soak = Soak(bench, world, muster, decisions(muster.address, world.bodies, world.gateway))
    workload.record_all(world, muster, bench.generator)
    capacity = soak.capacity(options.connections, options.capacity_seconds)
    bench.add("capacity, closed loop, facts changing", "a second", [capacity])
    rate = options.share * capacity
    found = soak.steady(rate, options.minutes, options.connections)
    if len(soak.samples) < 3:
        raise Refused("too short to say anything: give more --minutes")
    bench.add(f"asked for, {options.minutes:g} minutes", "a second", [rate])
    bench.add("  answered", "a second", [found.rate])
    bench.add("  median", "ms", [found.p50])
    bench.add("  p99", "ms", [found.p99])
    bench.add("  p99 of a window", "ms", [sample.found.p99 for sample in soak.samples])
    bench.add("  not answered with 200, or not as expected", "", [_unanswered(found)], Goal(0, at_least=False))
    bench.add("WAL", "MB", [sample.wal / 1e6 for sample in soak.samples])
    flat(bench, soak.samples)
    before = soak.capacity(options.connections, min(options.capacity_seconds, options.overload_seconds))
    bench.add("capacity right before the overload", "a second", [before])
    _overloaded(soak, before, options.overload_seconds, options.overload_connections)
    soak.muster.server.alive()
    bench.extra = {"samples": [sample.described() for sample in soak.samples]}


def _unanswered(found: Found) -> int:
    return found.failed + sum(count for status, count in found.statuses.items() if status != "200")


def flat(bench: Bench, samples: Sequence[Sample]) -> None:
    """What grew, by a line through the samples; the first fifth is left out."""
    settled = samples[int(_SETTLED * len(samples)) :]
    times = [sample.at_s for sample in settled]
    for name in sorted(set.intersection(*(set(sample.taken) for sample in settled))):
        memory = [sample.taken[name].pss / 1e6 for sample in settled]
        bench.add(f"PSS of {name}", "MB", memory)
        bench.add("  grew by, of its median", "", [growth(times, memory) / median(memory)], _FLAT_MEMORY)
        files = [float(sample.taken[name].descriptors) for sample in settled]
        bench.add(f"open descriptors of {name}", "", files)
        bench.add("  grew by", "", [growth(times, files)], _FLAT_FILES)
    third = max(1, len(settled) // 3)
    first, last = ([sample.found.p99 for sample in part] for part in (settled[:third], settled[-third:]))
    bench.add("p99 of the last third against the first", "times", [median(last) / median(first)], _FLAT_TAIL)


def growth(times: Sequence[float], values: Sequence[float]) -> float:
    """By how much a line through the values rises from the first time to the last."""
    return linear_regression(times, values).slope * (times[-1] - times[0])


def _overloaded(soak: Soak, capacity: float, seconds: float, connections: int) -> None:
    found, back = soak.overload(2 * capacity, seconds, connections)
    add = soak.bench.add
    add(f"overload: asked for, {seconds:g} s", "a second", [2 * capacity])
    add("  answered", "a second", [found.rate])
    add("  against the capacity", "times", [found.rate / capacity], Goal(0.9, at_least=True))
    add("  refused with 503", "a second", [found.refused / found.seconds])
    add("  median of a refusal", "ms", [found.refused_p50])
    add("  p99 of a refusal", "ms", [found.refused_p99])
    add("  median of the answered, from when it was sent", "ms", [found.served_p50])
    add("  p99 of the answered, from when it was sent", "ms", [found.served_p99])
    add("  median of the answered, from when it was due", "ms", [found.p50])
    add("  p99 of the answered, from when it was due", "ms", [found.p99])
    add("  asked behind its time, at most", "ms", [found.late_ms])
    add("  never asked: no connection was free", "", [found.unsent])
    add("  neither 200 nor 503", "", [_unanswered(found) - found.refused], Goal(0, at_least=False))
    add("answered as fast as before, after its end", "s", [back], Goal(1, at_least=False))


def main() -> int:
    """Measure, print, write."""
    options = _options()
    code, bench = ran(options, "soak", _ROOM, lambda run: measured(run, options))
    if bench is not None and options.write:
        page.rewrite(PAGE, "soak", page.measured(options.json or BUILD / "soak.json"))
    return code


def _options() -> argparse.Namespace:
    parser = arguments("soak", __doc__ or "")
    parser.add_argument("--minutes", type=float, default=10.0, help="of the steady part")
    parser.add_argument("--share", type=float, default=0.8, help="of the capacity")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument(
        "--capacity-seconds",
        type=float,
        default=60.0,
        help="for which the capacity is measured: a virtual machine may be fast for ten seconds alone",
    )
    parser.add_argument("--overload-seconds", type=float, default=30.0)
    parser.add_argument("--overload-connections", type=int, default=2_048)
    options = parser.parse_args()
    if min(options.minutes, options.share, options.connections, options.workers) <= 0 or options.subjects < 10:
        parser.error("--minutes, --share, --connections and --workers are more than 0, --subjects at least 10")
    return options


if __name__ == "__main__":
    sys.exit(main())
