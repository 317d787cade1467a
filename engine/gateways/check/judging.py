"""What a request must be that arrives at the application: the one of one ask that was allowed, and nothing else.

The findings of a probe are of the kinds in `faults`; each has what was seen, for whoever looks for its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

from engine.gateways.check.backend import Seen
from engine.gateways.check.faults import FAULTS, Fault
from engine.gateways.check.pdp import Plan, assertion_of
from engine.gateways.check.site import Ask, Exchange, Site

Found = tuple[str, str]
"""The name of a fault, and what was seen of it."""
_EXAMPLES: Final = 3


@dataclass(frozen=True, slots=True)
class Probe:
    """One thing that is looked at: its name, the sentence that holds where all is right, and what looks."""

    name: str
    title: str
    look: Callable[[Site], Iterator[Found]]
    grpc_only: bool = False


@dataclass(slots=True)
class Result:
    """What a probe has found: faults, each with how often it was seen and some of what was seen."""

    name: str
    title: str
    skipped: str = ""
    seen: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)

    @property
    def result(self) -> Literal["ok", "note", "wrong", "skipped"]:
        """The worst of it."""
        if self.skipped:
            return "skipped"
        levels = {fault.level for fault in self.faults.values()}
        return "wrong" if "wrong" in levels else "note" if levels else "ok"

    @property
    def faults(self) -> dict[str, Fault]:
        """By name."""
        return {name: FAULTS[name] for name in self.seen}

    def add(self, found: Found) -> None:
        """Take note of it."""
        name, example = found
        self.seen[name] = self.seen.get(name, 0) + 1
        kept = self.examples.setdefault(name, [])
        if len(kept) < _EXAMPLES and example not in kept:
            kept.append(example)


def arrivals(site: Site, exchange: Exchange) -> Iterator[Found]:
    """Each request that arrived has its own decision, an allow, about itself."""
    for seen in exchange.seen:
        yield from arrived(site, exchange, seen)


def arrived(site: Site, exchange: Exchange, seen: Seen) -> Iterator[Found]:
    """One of them."""
    site.judged.append(seen)
    shown = f"{exchange}; the application got {seen.method} {seen.target}"
    if site.keys is not None:
        for name, why in site.keys.judge(seen):
            yield name, f"{shown}; {why}"
        return
    identities = seen.message.all("muster-decision-id")
    ask = site.ask_of(identities[0]) if len(identities) == 1 else None
    if ask is None:
        yield _undecided(exchange, [name for name in identities if name]), shown
        return
    if site.used.setdefault(ask.identity, seen) is not seen:
        yield "reused", shown
    if not ask.plan.allows:
        two_hundred = ask.plan.how == "answer" and 200 < ask.plan.status < 300
        yield "passed_2xx" if two_hundred else "passed_refusal", f"{shown}; Muster had said {_said(ask.plan)}"
    told = ask.asked.method and ask.asked.target  # where they are missing `allowed` says so
    if told and (ask.asked.method, ask.asked.target) != (seen.method, seen.target):
        yield "other_target", f"{shown}; Muster was asked about {about(ask)}"
    proofs = seen.message.all("muster-assertion")
    if proofs != [assertion_of(ask.identity)]:
        yield "forged" if any(proofs) else "lost_assertion", f"{shown} with Muster-Assertion {proofs}"
    if seen.message.all("muster-gateway-key") not in ([], [""]):
        own = site.key is not None and site.key in seen.message.all("muster-gateway-key")
        yield "key_leaked" if own else "forged", f"{shown} with a Muster-Gateway-Key"


def _undecided(exchange: Exchange, identities: list[str]) -> str:
    """Why a request has no decision of its own."""
    if identities:
        return "forged"
    if not exchange.asks:
        return "unasked"
    return "lost_decision" if any(ask.plan.allows for ask in exchange.asks) else "passed_refusal"


def shut(site: Site, exchange: Exchange) -> Iterator[Found]:
    """Nothing arrived, since nothing was allowed."""
    yield from arrivals(site, exchange)
    if not exchange.seen and 200 <= exchange.status < 300 and exchange.method not in {"OPTIONS", "TRACE"}:
        yield "shown_as_yes" if exchange.asks else "answered_unasked", str(exchange)


def _said(plan: Plan) -> str:
    return str(plan.status) if plan.how == "answer" else f"nothing that is an answer ({plan.how})"


def about(ask: Ask) -> str:
    """What was asked about, as it is shown."""
    asked = ask.asked
    return f"{asked.method or '(no method)'} {asked.target or '(no target)'} at {asked.host or '(no host)'}"
