"""Where the time of a decision goes: the service's own histogram of stages, read before and after a run.

Times are of one decision on the average: a stage that only some decisions come through, such as `opa` where leases
answer, counts for as much as it took of all. `else` is what the caller waited beyond: HTTP, sockets, waiting for the
core. CPU times are the kernel's, of each program.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from benchmarks import chart, page, workload
from benchmarks.bench import BUILD, PAGE, Bench, arguments, ran
from benchmarks.load import OR_REFUSED
from benchmarks.machine import Refused
from benchmarks.servers import Muster, decisions
from benchmarks.table import number, progress

METRIC: Final = "muster_decision_stage_seconds"
STAGES: Final = ("read", "access", "facts", "lease", "opa_queue", "opa", "record", "commit", "answer")
_ROOM: Final = 2 << 30
_WARM_UP_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Case:
    """How it is asked."""

    connections: int
    cold: bool

    @property
    def name(self) -> str:
        """As the table has it."""
        return (
            f"{self.connections} connection{'s' if self.connections > 1 else ''}, {'cold' if self.cold else 'leased'}"
        )


CASES: Final = (Case(1, False), Case(1, True), Case(64, False), Case(64, True))


@dataclass(frozen=True, slots=True)
class Spent:
    """Microseconds of one decision: by stage, by program (CPU), and all that the caller waited."""

    stages: dict[str, float]
    cpu: dict[str, float]
    waited: float

    @property
    def rest(self) -> float:
        """What no stage accounts for."""
        return self.waited - sum(self.stages.values())


def sums(exposition: str) -> dict[str, float]:
    """Seconds by stage, of all series that there are."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(exposition):
        for sample in family.samples:
            if sample.name == f"{METRIC}_sum":
                stage = sample.labels["stage"]
                found[stage] = found.get(stage, 0.0) + sample.value
    return found


def difference(before: dict[str, float], after: dict[str, float], decisions: int) -> dict[str, float]:
    """Microseconds a decision, in the order of a decision; a stage that nobody knows comes last."""
    known = [stage for stage in STAGES if stage in after]
    return {
        stage: (after[stage] - before.get(stage, 0.0)) / decisions * 1e6
        for stage in [*known, *sorted(after.keys() - set(STAGES))]
    }


def measured(bench: Bench, subjects: int, seconds: float, spent: dict[str, Spent]) -> None:
    """Every case, into `spent` and the table."""
    progress(f"a home of {subjects:,} people")
    world = workload.make(bench.folder, subjects, cores=bench.cores)
    muster = bench.start(world.home)
    workload.record_all(world, muster, bench.generator)
    if not sums(_exposition(world, muster)):
        raise Refused(f"this Muster has no {METRIC} in its /metrics")
    for case in CASES:
        progress(case.name)
        spent[case.name] = one = _spent(bench, world, muster, case, seconds)
        for stage, us in one.stages.items():
            bench.add(f"{case.name}: {stage}", "us", [us])
        bench.add("  else", "us", [one.rest])
        bench.add("  all that the caller waited", "us", [one.waited])
        for program, us in one.cpu.items():
            bench.add(f"  CPU time of {program}", "us", [us])


def _spent(bench: Bench, world: workload.World, muster: Muster, case: Case, seconds: float) -> Spent:
    target = decisions(muster.address, world.bodies, world.gateway)
    before, cpu = sums(_exposition(world, muster)), muster.server.taken()
    with nullcontext() if case.cold else workload.changing(world, muster):
        found = bench.generator.run(
            target,
            connections=case.connections,
            seconds=seconds + _WARM_UP_S,
            warm_up=0,
            accept=OR_REFUSED,
            stamped_from=bench.stamps() if case.cold else None,
        )
    after = muster.server.taken()
    return Spent(
        difference(before, sums(_exposition(world, muster)), found.requests),
        {name: (after[name].cpu_s - cpu[name].cpu_s) / found.requests * 1e6 for name in after if name in cpu},
        found.mean * 1e3,
    )


def _exposition(world: workload.World, muster: Muster) -> str:
    return str(muster.call(world.admin, "GET", "/metrics"))


def _told(spent: dict[str, Spent]) -> str:
    names = list(spent)
    stages = list(dict.fromkeys(stage for one in spent.values() for stage in one.stages))
    rows = [[stage, *(number(spent[name].stages.get(stage, 0.0)) for name in names)] for stage in stages]
    rows.append(["else", *(number(spent[name].rest) for name in names)])
    rows.append(["all", *(number(spent[name].waited) for name in names)])
    for program in dict.fromkeys(program for one in spent.values() for program in one.cpu):
        rows.append([f"CPU: {program}", *(number(spent[name].cpu.get(program, 0.0)) for name in names)])
    return page.table(("us a decision", *names), rows)


def _bars(spent: dict[str, Spent]) -> list[chart.Bar]:
    return [
        chart.Bar(f"{stage}; {name}", us, us, us, "leased" in name)
        for name in (case.name for case in CASES if case.connections == 1)
        for stage, us in {**spent[name].stages, "else": spent[name].rest}.items()
    ]


def main() -> int:
    """Measure, print, write."""
    options, spent = _options(), dict[str, Spent]()
    code, bench = ran(options, "profile", _ROOM, lambda run: measured(run, options.subjects, options.seconds, spent))
    if bench is not None and options.write:
        machine = page.facts(options.json or BUILD / "profile.json")
        title = "Microseconds of one decision, one connection"
        chart.write(PAGE.with_name("performance-profile.svg"), title, _bars(spent))
        page.rewrite(PAGE, "profile", f"![{title}](performance-profile.svg)\n\n{machine}\n\n{_told(spent)}")
    return code


def _options() -> argparse.Namespace:
    parser = arguments("profile", __doc__ or "")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each of the four cases")
    options = parser.parse_args()
    if options.seconds <= 0 or options.workers < 1 or options.subjects < 10:
        parser.error("--seconds and --workers are more than 0, --subjects at least 10")
    return options


if __name__ == "__main__":
    sys.exit(main())
