"""The families of numbers: what is counted, under which name, with which labels and buckets."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from engine.observing.numbers import Numbers

Kind: TypeAlias = Literal["counter", "gauge", "histogram"]

_US, _MS, _S = 1_000, 1_000_000, 1_000_000_000
TIMES: Final = tuple(
    n * unit
    for n, unit in (
        (50, _US), (100, _US), (250, _US), (500, _US), (1, _MS), (2_500, _US), (5, _MS), (10, _MS), (25, _MS),
        (50, _MS), (100, _MS), (250, _MS), (500, _MS), (1, _S), (2_500, _MS), (5, _S),
    )
)  # fmt: skip
"""Upper bounds of times, in nanoseconds: 50 us to 5 s."""

SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """What a name of the exposition stands for. Values are kept as integers, `scale` of them to a unit shown."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    bounds: tuple[int, ...] = ()
    scale: int = 1


DECISIONS: Final = Family(
    name="muster_decisions", kind="counter", help="Recorded answers", labels=("tenant", "action", "verdict", "mode")
)
UNDECIDED: Final = Family(name="muster_undecided", kind="counter", help="Could not decide", labels=("tenant", "cause"))
WHOLE: Final = Family(
    name="muster_decision_seconds",
    kind="histogram",
    help="From the first byte of a request to its answer, those that could not be decided included",
    bounds=TIMES,
    scale=_S,
)
STAGE: Final = Family(
    name="muster_decision_stage_seconds",
    kind="histogram",
    help="The time of a decision in one stage; the stages of a decision add up to the whole",
    labels=("stage",),
    bounds=TIMES,
    scale=_S,
)
BATCH: Final = Family(
    name="muster_opa_batch_size",
    kind="histogram",
    help="For each decision that OPA answered: how many were asked in its call",
    bounds=SIZES,
)
LEASED: Final = Family(
    name="muster_leases",
    kind="counter",
    help="Leases looked for, by what came of it",
    labels=("outcome",),
)
REFUSED: Final = Family(
    name="muster_refused", kind="counter", help="Requests refused before anything was decided", labels=("reason",)
)
ASKED: Final = Family(
    name="muster_gateway_asks",
    kind="counter",
    help="What gateways asked, by how it was answered; `unknown-gateway` has no profile",
    labels=("tenant", "gateway", "route", "outcome", "cause"),
)
ASK: Final = Family(
    name="muster_gateway_ask_seconds",
    kind="histogram",
    help="From a gateway's ask to its answer, whose record is durable by then",
    labels=("tenant", "gateway"),
    bounds=TIMES,
    scale=_S,
)
SEARCHED: Final = Family(
    name="muster_searches",
    kind="counter",
    help="AuthZEN searches, by what is searched and what came of it: a page, refused, or undecided",
    labels=("tenant", "kind", "outcome"),
)
SEARCH: Final = Family(
    name="muster_search_seconds",
    kind="histogram",
    help="The time of a search, what waits for its turn included",
    labels=("kind",),
    bounds=TIMES,
    scale=_S,
)
COMMIT: Final = Family(
    name="muster_commit_entries", kind="histogram", help="Entries that one fsync made durable", bounds=SIZES
)
WATCHED: Final = {
    family.name: family
    for family in (
        Family(name="muster_leases", kind="gauge", help="Leases that are held now"),
        Family(name="muster_lease_bytes", kind="gauge", help="Bytes that the leases held now take"),
        Family(name="muster_decisions_under_way", kind="gauge", help="Decisions that were begun and not answered"),
        Family(name="muster_opa_restarts", kind="counter", help="How often OPA was started again"),
        Family(
            name="muster_facts_cache",
            kind="counter",
            help="Objects read for a decision, by whether the cache had them",
            labels=("outcome",),
        ),
    )
}
"""What its owner counts, and is asked for."""

LEFT_OUT: Final = Family(
    name="muster_left_out", kind="counter", help="What was counted for series that found no room among the numbers"
)

ALL: Final = (
    DECISIONS,
    UNDECIDED,
    WHOLE,
    STAGE,
    BATCH,
    LEASED,
    REFUSED,
    ASKED,
    ASK,
    SEARCHED,
    SEARCH,
    COMMIT,
    *WATCHED.values(),
    LEFT_OUT,
)


def key(family: Family) -> str:
    """The name of a family among the numbers: a counter and a gauge may share the name that they are shown under."""
    return f"{family.name}_total" if family.kind == "counter" else family.name


class Counter:
    """A counter by labels; to be added to by one thread."""

    def __init__(self, numbers: Numbers, family: Family) -> None:
        self._numbers = numbers
        self._key = key(family)
        self._labels = len(family.labels)
        self._places: dict[tuple[str, ...], int] = {}

    def labels(self, *values: object) -> Count:
        """The count for these labels' values, as text, in the order of the family's names."""
        return Count(self._numbers.cells, self.place(tuple(map(str, values))))

    def place(self, values: tuple[str, ...]) -> int:
        """Where the count of these values is kept."""
        place = self._places.get(values)
        if place is None:
            if len(values) != self._labels:
                raise ValueError(f"{self._key} has {self._labels} labels, not {len(values)}")
            place = self._places[values] = self._numbers.place(self._key, values)
        return place


class Count:
    """One count."""

    __slots__ = ("cells", "place")  # no dataclass: mypyc takes the type of `cells` for a class of its own

    def __init__(self, cells: memoryview[int], place: int) -> None:
        self.cells = cells
        self.place = place

    def inc(self, by: int = 1) -> None:
        """Add to it."""
        self.cells[self.place] += by


class Histogram:
    """How many values were at most each bound, and their sum; to be added to by one thread."""

    __slots__ = ("_bounds", "_cells", "_place", "_sum")

    def __init__(self, numbers: Numbers, family: Family, labels: tuple[str, ...] = ()) -> None:
        self._bounds = family.bounds
        self._cells = numbers.cells
        self._place = numbers.place(key(family), labels, len(family.bounds) + 2)
        self._sum = self._place + len(family.bounds) + 1

    def observe(self, value: int) -> None:
        """Count a value."""
        cells = self._cells
        cells[self._place + bisect_left(self._bounds, value)] += 1
        cells[self._sum] += value
