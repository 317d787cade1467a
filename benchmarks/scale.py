"""`make bench-scale`: what ten million entries and a million people do to decisions, to memory, and to the start.

A small log is asked beside each larger one, by turns, both with the same people; most entries are made by the filler of
`logs`. Memory is PSS: a page that several processes share counts once.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks import logs, page, workload
from benchmarks.bench import BUILD, PAGE, Bench, arguments, ran
from benchmarks.load import OR_REFUSED, Found
from benchmarks.machine import Refused
from benchmarks.servers import Muster, decisions
from benchmarks.table import Goal, bar, progress
from benchmarks.workload import World
from ledger.sqlite import SqliteReader

_BYTES_AN_ENTRY: Final = 1_100
_BYTES_A_PERSON: Final = 5_000
_BESIDE: Final = 4 << 30
_LARGE: Final = 1_000_000
"""From so many people on, two of ten are trained: what is asked for is many people, not many certifications."""
_CONNECTIONS: Final = 64
_SAME_RATE: Final = Goal(0.8, at_least=True)
_SAME_TAIL: Final = Goal(1.2, at_least=False)
_START: Final = Goal(2, at_least=False)
_STARTS: Final = 3
_MEMORY: Final = {"muster": Goal(500, at_least=False), "opa": Goal(150, at_least=False)}


@dataclass(frozen=True, slots=True)
class Asked:
    """What one log was asked in one round, leased and cold."""

    leased: Found
    cold: Found


@dataclass(slots=True)
class Scale:
    """The bench, and how long each measurement takes."""

    bench: Bench
    rounds: int
    seconds: float
    goal_at: int
    found: dict[str, list[Asked]] = field(default_factory=dict)

    def starts(self, name: str, home: Path, goal: Goal | None) -> Muster:
        """Start a service some times; the last one runs on."""
        taken = []
        for number in range(_STARTS):
            muster = self.bench.start(home)
            taken.append(muster.start_s)
            if number < _STARTS - 1:
                self.bench.stop(muster.server)
        self.bench.add(f"{name}: start until ready", "s", taken, goal)
        return muster

    def ask(self, world: World, muster: Muster, seed: int) -> Asked:
        """One round: leased with facts that change, then cold."""
        target, run = decisions(muster.address, world.bodies, world.gateway), self.bench.generator.run
        with workload.changing(world, muster, seed=seed):
            leased = run(target, connections=_CONNECTIONS, seconds=self.seconds, seed=seed, accept=OR_REFUSED)
        stamp = self.bench.stamps()
        cold = run(
            target,
            connections=_CONNECTIONS,
            seconds=self.seconds,
            seed=seed,
            stamped_from=stamp,
            accept=OR_REFUSED,
        )
        return Asked(leased, cold)

    def rows(self, name: str, rounds: list[Asked]) -> None:
        """Rates and p99 of one log."""
        for what in ("leased", "cold"):
            found: list[Found] = [getattr(one, what) for one in rounds]
            self.bench.add(f"{name}: {what}", "a second", [one.rate for one in found])
            self.bench.add("  p99", "ms", [one.p99 for one in found])
            if refused := sum(one.refused for one in found):
                self.bench.add("  refused with 503", "", [float(refused)])

    def memory(self, name: str, muster: Muster, goals: dict[str, Goal]) -> None:
        """What each program has now."""
        for program, taken in sorted(muster.server.taken().items()):
            self.bench.add(f"{name}: PSS of {program}", "MB", [taken.pss / 1e6], goals.get(program))
            self.bench.add("  RSS", "MB", [taken.rss / 1e6])

    def compared(self, name: str, small: list[Asked], large: list[Asked], goals: bool) -> None:
        """How many times the small log's the large one's is, round by round."""
        for what in ("leased", "cold"):
            pairs: list[tuple[Found, Found]] = [
                (getattr(a, what), getattr(b, what)) for a, b in zip(small, large, strict=True)
            ]
            rates, tails = [b.rate / a.rate for a, b in pairs], [b.p99 / a.p99 for a, b in pairs]
            self.bench.add(f"{name}, against the smallest: {what}", "times", rates, _SAME_RATE if goals else None)
            self.bench.add("  p99", "times", tails, _SAME_TAIL if goals else None)


def measured(scale: Scale, sizes: list[int], people: int, many: int, sweep_s: float) -> None:
    """The sizes of the log, then the people."""
    if sizes:
        _sizes(scale, sizes, people)
    if many:
        _many(scale, many, sweep_s)


def _sizes(scale: Scale, sizes: list[int], people: int) -> None:
    bench, first = scale.bench, f"{sizes[0]:,} entries"
    world, _ = _made(bench, "small", people, sizes[0])
    grown, members = _copied(bench, world)
    small = scale.starts(first, world.home, None)
    bench.generator.run(
        decisions(small.address, world.bodies, world.gateway),
        connections=_CONNECTIONS, seconds=600, warm_up=0, once=people, accept=OR_REFUSED,
    )  # fmt: skip
    for size in sizes[1:]:
        name = f"{size:,} entries"
        logs.Filler(grown.home / "ledger.db", members).fill(size, bar(f"filling up to {name}", size))
        large = scale.starts(name, grown.home, _START if size == scale.goal_at else None)
        rounds: tuple[list[Asked], list[Asked]] = ([], [])
        for number in range(scale.rounds):
            progress(f"{name} beside {first}, round {number + 1} of {scale.rounds}")
            for found, (asked, muster) in zip(rounds, ((world, small), (grown, large)), strict=True):
                found.append(scale.ask(asked, muster, number + 1))
        scale.rows(f"{first}, beside {name}", rounds[0])
        scale.rows(name, rounds[1])
        scale.compared(name, *rounds, goals=size == sizes[-1])
        scale.memory(name, large, {})
        bench.stop(large.server)
    scale.memory(first, small, {})
    bench.stop(small.server)


def _made(bench: Bench, name: str, people: int, size: int) -> tuple[World, list[logs.Member]]:
    folder = bench.folder / name
    folder.mkdir()
    progress(f"a home of {people:,} people")
    world = workload.make(folder, people, cores=bench.cores)
    have = _size(world.home)
    if have > size:
        raise Refused(f"{people:,} people are {have:,} entries: give fewer --subjects, or larger --sizes")
    logs.Filler(world.home / "ledger.db", world.members).fill(size)
    return world, world.members


def _copied(bench: Bench, world: World) -> tuple[World, list[logs.Member]]:
    """The same home once more, which then grows."""
    home = bench.folder / "large" / "home"
    shutil.copytree(world.home, home)
    return World(home, world.names, world.members, world.gateway, world.admin, world.bodies), world.members


def _many(scale: Scale, many: int, sweep_s: float) -> None:
    bench, name = scale.bench, f"{many:,} people"
    folder = bench.folder / "many"
    folder.mkdir()
    trained = 2 if many >= _LARGE else 9
    world = workload.make(folder, many, cores=bench.cores, trained_of_ten=trained, told=bar(f"adding {name}", many))
    bench.notes.append(f"The log of {name} has {_size(world.home):,} entries.")
    muster = scale.starts(name, world.home, _START if many >= _LARGE else None)
    rounds = []
    for number in range(scale.rounds):
        progress(f"{name}, round {number + 1} of {scale.rounds}")
        rounds.append(scale.ask(world, muster, number + 1))
    scale.rows(name, rounds)
    scale.memory(f"{name}, after that", muster, {})
    progress(f"{name}: one after the other for {sweep_s:g} s")
    swept = bench.generator.run(
        decisions(muster.address, world.bodies, world.gateway),
        connections=_CONNECTIONS, seconds=sweep_s, warm_up=0, once=many, accept=OR_REFUSED,
    )  # fmt: skip
    bench.add(f"{name}: everybody in turn", "a second", [swept.rate])
    bench.add("  asked about", "people", [float(swept.requests)])
    scale.memory(f"{name}, after that too", muster, _MEMORY if many >= _LARGE else {})
    bench.stop(muster.server)


def _size(home: Path) -> int:
    reader = SqliteReader(home / "ledger.db")
    try:
        return reader.head(logs.TENANT).size
    finally:
        reader.close()


def room(sizes: list[int], many: int) -> int:
    """The bytes that the homes take, all together."""
    most = sizes[-1] + sizes[0] if sizes else 0
    return most * _BYTES_AN_ENTRY + many * _BYTES_A_PERSON + _BESIDE


def fitting(sizes: list[int], many: int, free: int) -> list[int]:
    """The sizes that fit into so many bytes, beside the people."""
    fits = list(sizes)
    while len(fits) > 1 and room(fits, many) > free:
        fits.pop()
    return fits


def main() -> int:
    """Measure, print, write."""
    options = _options()
    folder: Path = options.folder or BUILD
    folder.mkdir(parents=True, exist_ok=True)
    sizes = fitting(options.sizes, options.people, shutil.disk_usage(folder).free)
    dropped = [f"{size:,} entries do not fit on this disk." for size in options.sizes if size not in sizes]

    def run(bench: Bench) -> None:
        bench.notes += dropped
        scale = Scale(bench, options.rounds, options.seconds, goal_at=1_000_000)
        measured(scale, sizes, options.subjects, options.people, options.sweep)

    code, bench = ran(options, "bench-scale", room(sizes, options.people), run)
    if bench is not None and options.write:
        page.rewrite(PAGE, "scale", page.measured(options.json or BUILD / "bench-scale.json"))
    return code


def _numbers(text: str) -> list[int]:
    return sorted(int(each.replace("_", "")) for each in text.split(",") if each)


def _options() -> argparse.Namespace:
    parser = arguments("scale", __doc__ or "")
    parser.set_defaults(subjects=1_000)
    numbers: Callable[[str], list[int]] = _numbers
    parser.add_argument(
        "--sizes", type=numbers, default=[10_000, 100_000, 1_000_000, 10_000_000], help="entries, with commas between"
    )
    parser.add_argument("--people", type=int, default=1_000_000, help="of the large directory; 0 leaves it out")
    parser.add_argument("--rounds", type=int, default=3, help="of each measurement")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement in each round")
    parser.add_argument("--sweep", type=float, default=60.0, help="seconds in which everybody in turn is asked about")
    options = parser.parse_args()
    if min(options.rounds, options.seconds, options.workers, options.sweep) <= 0 or options.subjects < 10:
        parser.error("--rounds, --seconds, --sweep and --workers are more than 0, --subjects at least 10")
    return options


if __name__ == "__main__":
    sys.exit(main())
