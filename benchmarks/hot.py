"""`make bench`: decisions a second and how long one takes, beside OPA alone and Cerbos, on the same core.

It owns the order of the measurements and the goals; it never fails for being slow.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks import chart, machine, page, workload
from benchmarks.bench import BUILD, PAGE, Bench, arguments, ran
from benchmarks.load import ANSWERED, OR_REFUSED, Found, Target
from benchmarks.machine import Refused
from benchmarks.processes import Server
from benchmarks.servers import Muster, decisions, start_cerbos, start_opa
from benchmarks.table import Goal, progress

_ROOM: Final = 4 << 30
_WARM_UP_S: Final = 1.0
_GATE: Final = "/v1/data/muster/gate/decision"
_LEASED: Final = Goal(4, at_least=True)
_COLD: Final = Goal(1.5, at_least=True)
_TAIL: Final = Goal(1, at_least=False)
_ADDED: Final = Goal(1, at_least=False)


@dataclass(frozen=True, slots=True)
class Case:
    """One measurement: which system, how many connections, whether every input is another, whether facts change."""

    name: str
    system: str
    connections: int
    unlike: bool = False
    changing: bool = False


OPA_64: Final = Case("OPA REST", "opa", 64)
LOG_64: Final = Case("OPA REST, console decision log", "log", 64)
CERBOS_64: Final = Case("Cerbos, audit log", "cerbos", 64)
HOT_64: Final = Case("Muster, leased, facts changing 10 a second", "muster", 64, changing=True)
COLD_64: Final = Case("Muster, cold: every input another", "muster", 64, unlike=True)
OPA_16: Final = Case("OPA REST", "opa", 16)
HOT_16: Final = Case("Muster, leased, facts changing 10 a second", "muster", 16, changing=True)
OPA_1: Final = Case("OPA REST", "opa", 1, unlike=True)
COLD_1: Final = Case("Muster, cold: every input another", "muster", 1, unlike=True)
# What is held against each other stands beside each other: a machine may be twice as fast ten seconds later.
CASES: Final = (HOT_64, LOG_64, COLD_64, OPA_64, CERBOS_64, OPA_16, HOT_16, OPA_1, COLD_1)


@dataclass(frozen=True, slots=True)
class System:
    """A running system: its process, what it is asked, and what of it is to be cut off between rounds."""

    server: Server
    target: Target


@dataclass(slots=True)
class Systems:
    """All that are compared."""

    bench: Bench
    world: workload.World
    muster: Muster
    by_name: dict[str, System]
    found: dict[Case, list[Found]] = field(default_factory=dict)
    cpu_us: dict[Case, list[float]] = field(default_factory=dict)
    slowest_change_ms: float = 0.0

    def measure(self, case: Case, seconds: float, seed: int) -> None:
        """One case, once."""
        system = self.by_name[case.system]
        before = _cpu_s(system.server)
        facts = workload.changing(self.world, self.muster, seed=seed) if case.changing else nullcontext()
        with facts as changes:
            found = self.bench.generator.run(
                system.target,
                connections=case.connections,
                seconds=seconds,
                warm_up=_WARM_UP_S,
                seed=seed,
                stamped_from=self.bench.stamps() if case.unlike else None,
                accept=OR_REFUSED if case.system == "muster" else ANSWERED,
            )
        if changes is not None:
            if changes.failures:
                raise Refused(f"a fact could not be changed: {changes.failures[0]}")
            self.slowest_change_ms = max(self.slowest_change_ms, *changes.taken_ms)
        asked = found.requests * (1 + _WARM_UP_S / seconds)
        self.found.setdefault(case, []).append(found)
        self.cpu_us.setdefault(case, []).append((_cpu_s(system.server) - before) / asked * 1e6)
        progress(f"  {case.name}, {case.connections} connections: {found.rate:,.0f} a second, p99 {found.p99:.2f} ms")


def measured(bench: Bench, subjects: int, rounds: int, seconds: float) -> None:
    """Set up, measure in rounds, make the table."""
    progress(f"a home of {subjects:,} people")
    world = workload.make(bench.folder, subjects, cores=bench.cores)
    systems = _started(bench, world)
    syncs: list[float] = []
    for number in range(rounds):
        progress(f"round {number + 1} of {rounds}")
        syncs.append(machine.syncs_a_second(bench.folder, 0.5))
        for case in CASES:
            if case.system in systems.by_name:
                systems.measure(case, seconds, number + 1)
        os.truncate(systems.by_name["log"].server.said, 0)
    bench.add("device: 4 KB and fdatasync", "a second", syncs)
    _table(bench, systems)


def _started(bench: Bench, world: workload.World) -> Systems:
    muster = bench.start(world.home)
    progress("asking once for everybody")
    recorded = workload.record_all(world, muster, bench.generator)
    bodies = bench.folder / "opa.bodies"
    workload.opa_bodies(world, recorded, bodies)
    found = {"muster": System(muster.server, decisions(muster.address, world.bodies, world.gateway))}
    for name in ("opa", "log"):
        said = bench.folder / f"{name}.log"
        server, address = start_opa(world.home, cores=bench.cores, said=said, log=name == "log")
        bench.servers.append(server)
        found[name] = System(server, Target(address, _GATE, bodies))
    try:
        said, folder = bench.folder / "cerbos.log", bench.folder / "cerbos"
        server, address = start_cerbos(BUILD, folder, cores=bench.cores, said=said)
    except Refused as refused:
        bench.notes.append(f"Cerbos was not measured: {refused}.")
        progress(bench.notes[-1])
    else:
        bench.servers.append(server)
        bodies = bench.folder / "cerbos.bodies"
        workload.cerbos_bodies(world, recorded, bodies)
        found["cerbos"] = System(server, Target(address, "/api/check/resources", bodies))
    return Systems(bench, world, muster, found)


def _cpu_s(server: Server) -> float:
    return sum(taken.cpu_s for taken in server.taken().values())


def _table(bench: Bench, systems: Systems) -> None:
    def each(case: Case, value: Callable[[Found], float]) -> list[float]:
        return [value(found) for found in systems.found[case]]

    def ratio(one: Case, other: Case, value: Callable[[Found], float]) -> list[float]:
        return [a / b for a, b in zip(each(one, value), each(other, value), strict=True)]

    for case in (OPA_64, LOG_64, CERBOS_64, COLD_64, HOT_64, OPA_16, HOT_16, OPA_1, COLD_1):
        if case not in systems.found:
            continue
        plural = "s" if case.connections > 1 else ""
        bench.add(f"{case.name}; {case.connections} connection{plural}", "a second", each(case, _rate))
        bench.add("  median", "ms", each(case, _p50))
        bench.add("  p99", "ms", each(case, _p99))
        bench.add("  CPU time of the server a decision", "us", systems.cpu_us[case])
        if any(found.refused for found in systems.found[case]):
            bench.add("  refused with 503", "", each(case, _refused))
    bench.add("leased, 64 connections, against OPA with its log", "times", ratio(HOT_64, LOG_64, _rate), _LEASED)
    bench.add("cold, 64 connections, against the same", "times", ratio(COLD_64, LOG_64, _rate), _COLD)
    bench.add("p99 at 16 connections, leased, against OPA", "times", ratio(HOT_16, OPA_16, _p99), _TAIL)
    pairs = [(each(COLD_1, value), each(OPA_1, value)) for value in (_p50, _p99)]
    added = [[a - b for a, b in zip(*pair, strict=True)] for pair in pairs]
    bench.add("one connection, cold: added to OPA's median", "ms", added[0], _ADDED)
    bench.add("  added to its p99", "ms", added[1])
    bench.add("slowest change of a fact meanwhile", "ms", [systems.slowest_change_ms])


def _rate(found: Found) -> float:
    return found.rate


def _refused(found: Found) -> float:
    return found.refused


def _p50(found: Found) -> float:
    return found.p50


def _p99(found: Found) -> float:
    return found.p99


def _bars(bench: Bench) -> list[chart.Bar]:
    bars = []
    for case in (OPA_64, LOG_64, CERBOS_64, COLD_64, HOT_64):
        for row in bench.rows:
            if row.name == f"{case.name}; 64 connections":
                low, high = min(row.rounds), max(row.rounds)
                bars.append(chart.Bar(case.name, median(row.rounds), low, high, case.system == "muster"))
    return bars


def main() -> int:
    """Measure, print, write."""
    options = _options()
    rounds, seconds = (1, 2.0) if options.quick else (options.rounds, options.seconds)
    code, bench = ran(options, "bench", _ROOM, lambda run: measured(run, options.subjects, rounds, seconds))
    if bench is not None and options.write:
        _write(bench, options.json or BUILD / "bench.json")
    return code


def _write(bench: Bench, json: Path) -> None:
    title = "Decisions a second, 64 connections, server side on one core"
    chart.write(PAGE.with_suffix(".svg"), title, _bars(bench))
    page.rewrite(PAGE, "bench", f"![{title}](performance.svg)\n\n{page.measured(json)}")


def _options() -> argparse.Namespace:
    parser = arguments("hot", __doc__ or "")
    parser.add_argument("--quick", action="store_true", help="one round of 2 s a measurement")
    parser.add_argument("--rounds", type=int, default=10, help="of each measurement")
    parser.add_argument("--seconds", type=float, default=2.5, help="of each measurement in each round")
    options = parser.parse_args()
    if options.rounds < 1 or options.seconds <= 0 or options.workers < 1 or options.subjects < 10:
        parser.error("--rounds, --seconds and --workers are more than 0, --subjects at least 10")
    return options


if __name__ == "__main__":
    sys.exit(main())
