"""The check with Muster itself behind the gateway: each request that arrives has to prove its decision.

Nothing can be made to fail here, and what Muster says is its own affair: so this sees less than the check with a
stand-in (`run`), but it sees the whole of what is in use, keys and routes and all. Each request is a recorded decision.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

from engine.errors import Unavailable
from engine.gateways.check import headers, requests
from engine.gateways.check.beginning import first_exchange
from engine.gateways.check.judging import Found, Probe, arrivals
from engine.gateways.check.pdp import Plan
from engine.gateways.check.run import Report, Say, late_arrivals, looked
from engine.gateways.check.site import MARK, Site
from engine.gateways.check.wire import Message


class Elsewhere:
    """Where a stand-in would be: the gateway asks Muster, so nothing is asked here."""

    connections: Final = 0

    def __init__(self) -> None:
        self.asks: list[Message] = []
        self.ids: list[str] = []
        self.plans: list[Plan] = []

    def start(self) -> None:
        """Nothing to start."""

    def stop(self) -> None:
        """Nothing to end."""

    def cut(self) -> None:
        """Nothing to close."""

    def answering(self, _: Plan) -> contextlib.AbstractContextManager[None]:
        """Muster answers what it answers."""
        return contextlib.nullcontext()


def allowed(site: Site) -> Iterator[Found]:
    """Each path, as it was given."""
    for path in site.paths:
        exchange = site.call(site.aim("allowed", path))
        yield from arrivals(site, exchange)
        if exchange.seen:
            yield from arrivals(site, site.call(site.aim("allowed", path), method="POST"))


PROBES: Final = (
    Probe("allowed", "what arrives has a decision that Muster signed, about itself", allowed),
    Probe("spoofed", "no header of a client's chooses what Muster judges, or goes by unasked", headers.spoofed),
    Probe("muster-headers", "what a client writes under Muster's names reaches nobody", headers.musters),
    Probe("aliases", "other spellings of headers (X_User, Muster_Decision_Id) do not arrive", headers.aliases),
    Probe("connection", "a client's Connection takes nothing out of what Muster says", headers.connection),
    Probe("targets", "what Muster judges is the target that arrives, in every spelling", requests.targets),
    Probe("http2", "the same over HTTP/2, where the gateway speaks it without TLS", requests.streams),
    Probe("methods", "every method is asked about, known or not", requests.methods),
    Probe("heads", "heads that no library sends are refused, or asked about", requests.heads),
    Probe("upgrade", "another protocol than websocket is not passed on", requests.other_upgrade),
    Probe("smuggled", "no request hides in the body of another", requests.smuggled),
    Probe("pipelined", "requests that are sent at once are asked about one by one", requests.pipelined),
    Probe("late-arrivals", "nothing arrived later without a decision of its own", late_arrivals),
)


def check(site: Site, say: Say) -> Report:
    """Run them; raises Unavailable where nothing is let through, so that nothing could be seen."""
    site.connection().socket.close()
    say("first requests", 0, len(PROBES))
    site.arrivals_marked = False
    first = first_exchange(site)
    if not first.seen:
        raise Unavailable(
            f"{first}: nothing came to the application at {site.backend.host}:{site.backend.port}: point the gateway's "
            "application there, and ask as somebody who may (--path, --host, --header 'Authorization: ...')"
        )
    site.arrivals_marked = bool(first.seen[-1].message.all(MARK))
    return looked(site, PROBES, say, lambda _: "")
