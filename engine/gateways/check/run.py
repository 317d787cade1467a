"""All probes in their order, through one gateway, and what they have found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from engine.errors import Unavailable
from engine.gateways.check import answers, asks, beginning, headers, keeping, pdp, requests
from engine.gateways.check.judging import Found, Probe, Result, about, arrivals, arrived, shut
from engine.gateways.check.site import Exchange, Site, without_port
from engine.gateways.wishes import ASK_PATH

Say = Callable[[str, int, int], None]
"""Told before each probe: its name, its number, and how many there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was found, and how much was seen."""

    results: tuple[Result, ...]
    asked: int
    arrived: int
    others: int
    """Requests that arrived and were not of this run."""
    stopped: str = ""
    """Why not everything could be looked at."""

    @property
    def wrong(self) -> bool:
        """Whether anything is."""
        return any(result.result == "wrong" for result in self.results)


def allowed(site: Site) -> Iterator[Found]:
    """An allow, on each path: it arrives with its decision, and the ask says what it is about."""
    for path in site.paths:
        exchange = site.call(site.aim("allowed", path))
        yield from arrivals(site, exchange)
        if not exchange.seen and not exchange.asks and 200 <= exchange.status < 300:
            yield "answered_unasked", str(exchange)
        for ask in exchange.asks:
            missing = beginning.untold(site, ask)
            arriving = {exchange.target, *(seen.target for seen in exchange.seen)}
            if missing:
                yield "untold", f"{exchange}; the ask lacks: {missing}"
            elif ask.asked.target not in arriving or without_port(ask.asked.host) != without_port(site.host).lower():
                yield "untold", f"{exchange}; Muster was asked about {about(ask)}"
            if site.way != "line" and asks.at(ask.message) != ASK_PATH:
                yield "elsewhere", f"{exchange}; asked at {asks.at(ask.message)}"
            if not ask.asked.key:
                yield "no_key", str(exchange)


def paths(site: Site) -> Iterator[Found]:
    """Each path that was given, and what is below it: denied like the rest, and shut when nothing is decided."""
    for path in site.led:
        for target in dict.fromkeys((path, f"{path.partition('?')[0].rstrip('/')}/below")):
            exchange = site.call(target)
            yield from arrivals(site, exchange)
            for plan in (pdp.DENY, pdp.UNDECIDED):
                with site.pdp.answering(plan):
                    yield from shut(site, site.call(target))
                    if exchange.seen:
                        yield from arrivals(site, site.call(target, method="POST", body=b"x=1"))


def late_arrivals(site: Site) -> Iterator[Found]:
    """What came after its client had gone is held against all decisions, too."""
    for seen in site.seen_from(0):
        if not any(seen is other for other in site.judged):
            for name, shown in arrived(site, Exchange(seen.method, seen.target), seen):
                yield "passed_refusal" if name == "unasked" else name, shown


PROBES: Final = (
    Probe("allowed", "what Muster allows arrives, with the decision that was made about it", allowed),
    Probe("denied", "what Muster denies (403) does not arrive, and the client is told no", answers.denied),
    Probe("nobody", "who is unknown (401) does not get through, and is told so", answers.nobody),
    Probe("undecided", "what Muster could not decide (503) does not arrive", answers.undecided),
    Probe("odd-answers", "an answer that Muster never gives (201, 204, 302, 404, 429, 500) is no yes", answers.odd),
    Probe("unreadable", "an answer that breaks off or is garbage is no yes", answers.unreadable),
    Probe("empty-response", "an empty CheckResponse is no yes", answers.empty, grpc_only=True),
    Probe("bare-allow", "a 200 without a decision leaves nothing that a client made up", answers.bare),
    Probe("slow", "a Muster that does not answer holds nobody for long, and opens nothing", answers.slow),
    Probe("late", f"a yes that comes after {answers.SLOW} seconds is waited for", answers.late),
    Probe("dead", "without Muster nothing arrives, and when it is back everything does", answers.dead),
    Probe("kept-connections", "a connection that Muster has closed costs no request", answers.kept),
    Probe("paths", "each path that was given, and what is below it, is asked about", paths),
    Probe("spoofed", "no header of a client's chooses what Muster judges, or goes by unasked", headers.spoofed),
    Probe("muster-headers", "what a client writes under Muster's names reaches nobody", headers.musters),
    Probe("aliases", "other spellings of headers (X_User, Muster_Decision_Id) do not arrive", headers.aliases),
    Probe("duplicates", "of two headers of one name Muster sees both", headers.duplicates),
    Probe("connection", "a client's Connection takes nothing out of what Muster judges or says", headers.connection),
    Probe("targets", "what Muster judges is the target that arrives, in every spelling", requests.targets),
    Probe("http2", "the same over HTTP/2, where the gateway speaks it without TLS", requests.streams),
    Probe("methods", "every method is asked about, known or not", requests.methods),
    Probe("heads", "heads that no library sends are refused, or asked about", requests.heads),
    Probe("preflight", "OPTIONS of a browser is asked about, too", requests.preflight),
    Probe("websocket", "a websocket is asked about, and a denied one is not opened", requests.websocket),
    Probe("upgrade", "another protocol than websocket is not passed on", requests.other_upgrade),
    Probe("bodies", "bodies go to the application, and not to Muster", requests.bodies),
    Probe("smuggled", "no request hides in the body of another", requests.smuggled),
    Probe("each", "each request of a connection is asked about by itself, every time", requests.each),
    Probe("kept-allows", "an allow that may be kept is given to its own request alone", keeping.kept_allows),
    Probe("pipelined", "requests that are sent at once are asked about one by one", requests.pipelined),
    Probe("late-arrivals", "nothing arrived later without a decision of its own", late_arrivals),
)
_UNASKED: Final = ("allowed", "denied")


def check(site: Site, over: str, say: Say) -> Report:
    """Run all of them; raises Unavailable where nothing can be said."""
    say("first requests", 0, len(PROBES))
    asks_here = beginning.begin(site, over)
    return looked(site, PROBES, say, lambda probe: _why_not(site, probe, asks_here=asks_here))


def looked(site: Site, probes: Sequence[Probe], say: Say, why_not: Callable[[Probe], str]) -> Report:
    """What each probe finds; `why_not` says why one is not looked at. A gateway that hangs or goes ends it."""
    results, stopped = [], ""
    for number, probe in enumerate(probes, 1):
        result = Result(probe.name, probe.title, f"not looked at: {stopped}" if stopped else why_not(probe))
        results.append(result)
        if result.skipped:
            continue
        say(probe.name, number, len(probes))
        try:
            for found in probe.look(site):
                result.add(found)
        except Unavailable as exc:
            stopped = str(exc)
            result.skipped = "" if result.seen else f"not looked at to its end: {stopped}"
    came = site.seen_from(0)
    return Report(
        results=tuple(results),
        asked=len(site.pdp.plans),
        arrived=len(came),
        others=len(site.backend.seen) - len(came),
        stopped=stopped,
    )


def _why_not(site: Site, probe: Probe, *, asks_here: bool) -> str:
    """Why a probe would tell nothing; empty where it would."""
    if not asks_here and probe.name not in _UNASKED:
        return "not looked at: the gateway asks nobody"
    return "not looked at: the gateway does not ask over gRPC" if probe.grpc_only and site.way != "check" else ""
