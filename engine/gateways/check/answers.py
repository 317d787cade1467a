"""Probes of what a gateway makes of each answer of Muster's, of answers that Muster never gives, and of none."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Final

from engine.gateways.check import pdp
from engine.gateways.check.judging import Found, arrivals, shut
from engine.gateways.check.pdp import Plan
from engine.gateways.check.site import Exchange, Site

SLOW: Final = 0.7
_BACK_SECONDS: Final = 15.0
_NEVER_SAID: Final = (201, 204, 302, 404, 429, 500)


def denied(site: Site) -> Iterator[Found]:
    """403 by two methods."""
    with site.pdp.answering(pdp.DENY):
        for exchange in (site.call(), site.call(method="POST", body=b"x=1")):
            yield from shut(site, exchange)
            yield from _told(exchange, 403)


def nobody(site: Site) -> Iterator[Found]:
    """401."""
    with site.pdp.answering(pdp.UNKNOWN):
        exchange = site.call()
        yield from shut(site, exchange)
        yield from _told(exchange, 401)


def _told(exchange: Exchange, status: int) -> Iterator[Found]:
    """A no is shown as that no, with its reason."""
    if not exchange.asks or 200 <= exchange.status < 300:
        return
    if exchange.status != status:
        yield "other_no", str(exchange)
    elif exchange.answer is not None and not _is_document(exchange.answer.body):
        yield "no_reason", str(exchange)


def _is_document(body: bytes) -> bool:
    try:
        return isinstance(json.loads(body), dict)
    except ValueError:
        return False


def undecided(site: Site) -> Iterator[Found]:
    """503, which is Muster's could-not-decide."""
    with site.pdp.answering(pdp.UNDECIDED):
        yield from _could_not(site, site.call())


def odd(site: Site) -> Iterator[Found]:
    """Statuses that Muster never gives."""
    for status in _NEVER_SAID:
        with site.pdp.answering(Plan(status=status, body="odd")):
            exchange = site.call()
        yield from arrivals(site, exchange)
        if not exchange.seen and 200 <= exchange.status < 300:
            yield "shown_2xx" if 200 < status < 300 else "shown_as_yes", f"{exchange}, on {status}"


def unreadable(site: Site) -> Iterator[Found]:
    """An answer that is none."""
    for how in ("close", "garbage"):
        with site.pdp.answering(Plan(how=how)):
            yield from _could_not(site, site.call())


def empty(site: Site) -> Iterator[Found]:
    """Over gRPC an empty response can be read, and says yes."""
    with site.pdp.answering(Plan(how="empty")):
        exchange = site.call()
    site.judged += exchange.seen
    if exchange.seen:
        yield "empty_response", str(exchange)


def bare(site: Site) -> Iterator[Found]:
    """200 without a decision: what a client made up must not stand in its place."""
    with site.pdp.answering(pdp.BARE):
        exchange = site.call(None, ("Muster-Decision-Id", "made-up"), ("Muster-Assertion", "made.up"))
    site.judged += exchange.seen
    for seen in exchange.seen:
        forged = any("made" in value for name, value in seen.message.lines if name.lower().startswith("muster"))
        yield "forged" if forged else "bare_allow", str(exchange)


def slow(site: Site) -> Iterator[Found]:
    """Silence: the request ends, and shut."""
    with site.pdp.answering(Plan(how="silence")):
        exchange = site.call()
        if exchange.late:
            yield "hangs", str(exchange)
            yield from arrivals(site, exchange)
        else:
            yield from _could_not(site, exchange)
    yield from back(site)


def late(site: Site) -> Iterator[Found]:
    """An allow within Muster's own deadline is waited for."""
    with site.pdp.answering(Plan(after=SLOW)):
        exchange = site.call()
    yield from arrivals(site, exchange)
    if exchange.asks and not exchange.seen:
        yield "early", f"{exchange} after {exchange.seconds:.1f} s"
    yield from back(site)


def dead(site: Site) -> Iterator[Found]:
    """Nobody listens; then Muster is back."""
    site.pdp.stop()
    try:
        for exchange in (site.call(), site.call(method="POST", body=b"x=1")):
            yield from _could_not(site, exchange)
    finally:
        site.pdp.start()
    yield from back(site)


def kept(site: Site) -> Iterator[Found]:
    """A connection that was kept, and closed while nothing went over it, costs no request."""
    for _ in range(5):
        if site.call().status != 200:
            return
        site.pdp.cut()
        exchange = site.call()
        yield from arrivals(site, exchange)
        if not exchange.seen:
            yield "flake", str(exchange)
            yield from back(site)


def back(site: Site) -> Iterator[Found]:
    """Wait until what is allowed gets through again."""
    deadline = time.monotonic() + _BACK_SECONDS
    while not site.call().seen:
        if time.monotonic() > deadline:
            yield "stays_shut", f"{_BACK_SECONDS:.0f} s"
            return
        time.sleep(0.05)  # the gateway has its own pause between its attempts


def _could_not(site: Site, exchange: Exchange) -> Iterator[Found]:
    """Not allowed, and told as that and not as a no."""
    yield from _open(site, exchange)
    if exchange.status in {401, 403}:
        yield "said_as_no", str(exchange)


def _open(site: Site, exchange: Exchange) -> Iterator[Found]:
    """As `shut`, where Muster may have heard nothing of it: not asked, because nobody could be."""
    for name, shown in shut(site, exchange):
        dark = {"unasked": "passed_refusal", "answered_unasked": "shown_as_yes"}
        yield dark.get(name, name), shown
