"""The metrics of the service: what is counted as it happens, and what is known of witnesses.

What is known of witnesses is read when it is asked for; an alarm of a fork is 1 for as long as it stands.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from engine.observing.metrics import Metrics
from engine.publishing.witnesses import Witnesses


def measured(witnesses: Witnesses, folder: Path | None = None) -> Metrics:
    """The metrics of this process, with what is known of witnesses beside them; workers share a `folder`."""
    made = Metrics(folder)
    made.registry.register(_Witnessed(witnesses))
    return made


class _Witnessed(Collector):
    """Each witness of each tenant, and each that an alarm stands of."""

    def __init__(self, witnesses: Witnesses) -> None:
        self._witnesses = witnesses

    def describe(self) -> list[Metric]:
        """Nothing is read before somebody asks."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The families, with their samples."""
        labels = ("tenant", "witness")
        alarm = GaugeMetricFamily("muster_ledger_fork_alarm", "A witness holds another history", labels=labels)
        size = GaugeMetricFamily("muster_witness_cosigned_size", "The newest size that it cosigned", labels=labels)
        failures = CounterMetricFamily("muster_witness_failures", "Submissions without a cosignature", labels=labels)
        for tenant in self._witnesses.runtime.tenants():
            standing = {alarm.witness for alarm in self._witnesses.alarms.of(tenant)}
            for each in self._witnesses.standings(tenant):
                name = each.witness.key.name
                size.add_metric((tenant, name), each.size)
                failures.add_metric((tenant, name), each.failures)
                alarm.add_metric((tenant, name), int(name in standing))
                standing.discard(name)
            for name in standing:
                alarm.add_metric((tenant, name), 1)
        return iter((alarm, size, failures))
