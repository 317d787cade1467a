"""Counters for Prometheus: allow, deny and could-not-decide are three different things here too."""

from __future__ import annotations

from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, generate_latest


@dataclass(frozen=True, slots=True)
class Metrics:
    """The counters of one application; `action` is a registered action, or `other`, so that strangers add no series."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    decisions: Counter = field(init=False)
    undecided: Counter = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(
            self,
            "decisions",
            Counter(
                "muster_decisions",
                "Recorded answers",
                ("tenant", "action", "verdict", "mode"),
                registry=self.registry,
            ),
        )
        object.__setattr__(
            self,
            "undecided",
            Counter("muster_undecided", "Could not decide", ("tenant", "cause"), registry=self.registry),
        )

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self.registry)
