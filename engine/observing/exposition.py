"""The numbers as Prometheus reads them: of this process and of all that share its folder, added up.

Counters and histograms of a process that has ended still count, or a total would fall. Its gauges do not.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from engine.observing import families
from engine.observing.families import Family
from engine.observing.numbers import Labels, Numbers

_GAUGES: Final = frozenset(families.key(family) for family in families.ALL if family.kind == "gauge")


class Exposition(Collector):
    """Adds up and shows what the numbers hold when it is asked."""

    def __init__(self, numbers: Numbers) -> None:
        self._numbers = numbers

    def describe(self) -> list[Metric]:
        """Nothing is read before somebody asks."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The families that have a sample, with their samples."""
        sums = self._sums()
        for family in families.ALL:
            samples = sums.get(families.key(family))
            if samples:
                yield _shown(family, samples)

    def _sums(self) -> dict[str, dict[Labels, list[int]]]:
        sums: dict[str, dict[Labels, list[int]]] = {}
        for series in self._numbers.series():
            if series.name in _GAUGES and not series.alive:
                continue
            samples = sums.setdefault(series.name, {})
            before = samples.get(series.labels)
            samples[series.labels] = (
                series.values if before is None else [a + b for a, b in zip(before, series.values, strict=True)]
            )
        return sums


def _shown(family: Family, samples: dict[Labels, list[int]]) -> Metric:
    if family.kind == "histogram":
        return _histogram(family, samples)
    one = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    shown = one(family.name, family.help, labels=family.labels)
    for labels, (value,) in samples.items():
        shown.add_metric(labels, value / family.scale if family.scale > 1 else value)
    return shown


def _histogram(family: Family, samples: dict[Labels, list[int]]) -> Metric:
    shown = HistogramMetricFamily(family.name, family.help, labels=family.labels)
    bounds = [*(str(bound / family.scale) for bound in family.bounds), "+Inf"]
    for labels, values in samples.items():
        buckets = list(zip(bounds, accumulate(values[:-1]), strict=True))
        shown.add_metric(labels, buckets, values[-1] / family.scale)
    return shown
