"""The metrics of one process: what rooms say happened, and what is read from them when somebody asks.

Allow, deny and could-not-decide are three different things here too. `action` is a registered action, or `other`, and a
tenant is one that exists, so that strangers add no series. Measured: `decided` costs 5 us with all nine stages.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias, get_args

from prometheus_client import CollectorRegistry, generate_latest

from engine.observing import families
from engine.observing.exposition import Exposition
from engine.observing.families import Counter, Histogram
from engine.observing.numbers import Numbers
from engine.observing.stages import ORDER, Stage, Stages

LeaseOutcome: TypeAlias = Literal["hit", "miss", "stale", "forbidden"]
SearchOutcome: TypeAlias = Literal["page", "refused", "undecided"]
Refusal: TypeAlias = Literal["overload", "rate", "connections"]

MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(slots=True)
class _Watch:
    """A number that its owner keeps; `last` is what it read before."""

    read: Callable[[], int]
    place: int
    grows: bool
    last: int = 0


class Metrics:
    """What one process counts. But for `committed`, everything here belongs to one thread."""

    def __init__(self, folder: Path | None = None) -> None:
        """`folder` is shared by all workers of one service: each of them answers with the sum of all.

        Raises SetupError if the folder cannot be used.
        """
        self._numbers = numbers = Numbers(folder)
        self._cells = numbers.cells
        self.decisions = Counter(numbers, families.DECISIONS)
        self.undecided = Counter(numbers, families.UNDECIDED)
        self._asked = Counter(numbers, families.ASKED)
        self._asks: dict[tuple[str, str], Histogram] = {}
        self._searched = Counter(numbers, families.SEARCHED)
        self._searches: dict[str, Histogram] = {}
        self._whole = Histogram(numbers, families.WHOLE)
        self._stages: dict[Stage, Histogram] = {stage: Histogram(numbers, families.STAGE, (stage,)) for stage in ORDER}
        self._batch = Histogram(numbers, families.BATCH)
        self._commit = Histogram(numbers, families.COMMIT)
        self._leases = _each(Counter(numbers, families.LEASED), get_args(LeaseOutcome))
        self._hit = self._leases["hit"]
        self._refused = _each(Counter(numbers, families.REFUSED), get_args(Refusal))
        self._watches: list[_Watch] = []
        self._clear_gauges()
        self.registry = CollectorRegistry()
        self.registry.register(Exposition(numbers))

    def decided(
        self, tenant: str, action: str, verdict: str, mode: str, stages: Stages, leased: bool, batch: int | None
    ) -> None:
        """A decision was answered. `batch`: how many were asked in the same call of OPA; None if OPA was not asked."""
        cells = self._cells
        cells[self.decisions.place((tenant, action, verdict, mode))] += 1
        if leased:
            cells[self._hit] += 1
        if batch is not None:
            self._batch.observe(batch)
        self._took(stages)

    def not_decided(self, tenant: str, cause: str, stages: Stages | None = None) -> None:
        """A request was answered with "could not decide"."""
        self._cells[self.undecided.place((tenant, cause))] += 1
        if stages is not None:
            self._took(stages)

    def lease(self, outcome: LeaseOutcome) -> None:
        """A lease was looked for; a hit is counted by `decided`, when its decision is recorded."""
        self._cells[self._leases[outcome]] += 1

    def refuse(self, reason: Refusal) -> None:
        """A request was refused before anything was decided."""
        self._cells[self._refused[reason]] += 1

    def asked(self, tenant: str, gateway: str, route: str, outcome: str, cause: str = "", spent: int = 0) -> None:
        """A gateway was answered after `spent` nanoseconds.

        `route` is empty where the request matched none, `cause` where it was decided, `gateway` where none is known.
        """
        self._cells[self._asked.place((tenant, gateway, route, outcome, cause))] += 1
        if gateway:
            took = self._asks.get((tenant, gateway))
            if took is None:
                took = self._asks[tenant, gateway] = Histogram(self._numbers, families.ASK, (tenant, gateway))
            took.observe(spent)

    def searched(self, tenant: str, kind: str, outcome: SearchOutcome, spent: int) -> None:
        """A search of AuthZEN ended after `spent` nanoseconds."""
        self._cells[self._searched.place((tenant, kind, outcome))] += 1
        took = self._searches.get(kind)
        if took is None:
            took = self._searches[kind] = Histogram(self._numbers, families.SEARCH, (kind,))
        took.observe(spent)

    def committed(self, entries: int) -> None:
        """An fsync made so many entries durable; called by one thread, which may be another than the rest's."""
        self._commit.observe(entries)

    def watch(self, name: str, read: Callable[[], int], *labels: str) -> None:
        """Read a number of `families.WATCHED` from its owner whenever it is shown.

        What its owner counts may begin anew at 0 (another OPA took the place of the old one): the sum goes on.
        """
        family = families.WATCHED[name]
        place = Counter(self._numbers, family).place(labels)
        self._watches.append(_Watch(read, place, grows=family.kind == "counter"))

    def refresh(self) -> None:
        """Ask the owners, so that another worker can show what they say."""
        for watch in self._watches:
            value = watch.read()
            if watch.grows:
                self._cells[watch.place] += value - watch.last if value >= watch.last else value
                watch.last = value
            else:
                self._cells[watch.place] = value

    def text(self) -> bytes:
        """The exposition format, of media type MEDIA_TYPE."""
        self.refresh()
        return generate_latest(self.registry)

    def close(self) -> None:
        """This process counts no more; what it has counted stays in the sums of the others."""
        self._clear_gauges()
        self._numbers.close()

    def _took(self, stages: Stages) -> None:
        self._whole.observe(stages.whole)
        histograms = self._stages
        for stage, spent in stages.spent().items():
            histograms[stage].observe(spent)

    def _clear_gauges(self) -> None:
        """In a file that was taken over they are a dead process's."""
        gauges = {families.key(family) for family in families.ALL if family.kind == "gauge"}
        for series in self._numbers.own():
            if series.name in gauges:
                self._cells[self._numbers.place(series.name, series.labels)] = 0


def _each(counter: Counter, values: tuple[str, ...]) -> dict[str, int]:
    """The places of a counter with one label: all are shown from the beginning."""
    return {value: counter.place((value,)) for value in values}
