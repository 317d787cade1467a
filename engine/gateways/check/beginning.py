"""The first requests: does what is sent to the gateway come out here, and is it here that it asks?

Only harmless GETs, one for each path; where they do not come out at the check's own application nothing else is sent.
Raises Unavailable with what to do, where nothing could be said of the gateway.
"""

from __future__ import annotations

import time
from typing import Final

from engine.errors import Unavailable
from engine.gateways.check import asks
from engine.gateways.check.asks import WAYS
from engine.gateways.check.pdp import HttpPdp
from engine.gateways.check.site import MARK, Ask, Exchange, Site

_SECONDS: Final = 5.0


def begin(site: Site, over: str) -> bool:
    """Find out how the gateway asks; whether it asks at all."""
    site.asks_marked = site.arrivals_marked = False
    site.connection().socket.close()
    first = first_exchange(site)
    if not first.seen:
        raise Unavailable(_not_here(site, first))
    site.led.append(site.path)
    site.arrivals_marked = bool(first.seen[-1].message.all(MARK))
    if not first.asks:
        _whom_else(site, first)
        return False
    ask = first.asks[-1]
    site.asks_marked = bool(ask.message.all(MARK))
    site.way = WAYS[f"envoy-{over}" if site.kind == "envoy" else site.kind] if site.kind else asks.way_of(ask.message)
    site.key = asks.asked(site.way or "original", ask.message).key
    for path in site.paths[1:]:
        _leads_here(site, path)
    return True


def first_exchange(site: Site) -> Exchange:
    """The first exchange that came out, or the last of those that did not: a gateway may take us for dead still."""
    deadline = time.monotonic() + _SECONDS
    while True:
        exchange = _asked_for(site, site.path)
        if exchange.seen or time.monotonic() > deadline or 300 <= exchange.status < 400:
            return exchange
        if 200 <= exchange.status < 300 and not exchange.asks:
            return exchange
        time.sleep(0.1)  # the gateway has its own pause between its attempts


def _asked_for(site: Site, path: str) -> Exchange:
    """A GET that is told from all others by its query."""
    exchange = site.call(site.aim("check", path))
    run = site.run.encode()
    exchange.seen = [seen for seen in exchange.seen if run in seen.message.raw]
    site.judged += exchange.seen
    known = [ask for ask in exchange.asks if run in ask.message.raw]
    exchange.asks = known or ([] if site.asks_marked else exchange.asks)
    return exchange


def _leads_here(site: Site, path: str) -> None:
    """A further path: it comes out here too, or is answered by the gateway, unasked, which a probe will tell."""
    exchange = _asked_for(site, path)
    if exchange.seen:
        site.led.append(path)
    elif exchange.asks or not 200 <= exchange.status < 300:
        raise Unavailable(
            f"--path {path}: {_answered(exchange)}, and nothing of it came out at --backend: point the application "
            "behind that path there, too, or leave the path out"
        )


def _answered(exchange: Exchange) -> str:
    if exchange.late:
        return "the gateway answered nothing in time"
    if not exchange.status:
        return "the gateway closed the connection without an answer in HTTP"
    location = exchange.answer.all("location") if exchange.answer is not None else []
    return f"the gateway answered {exchange.status}{f' with a redirect to {location[0]}' if location else ''}"


def _not_here(site: Site, exchange: Exchange) -> str:
    """Why nothing can be said: the request did not come out."""
    where = f"{site.backend.host}:{site.backend.port}"
    said = f"GET {site.path}: {_answered(exchange)}"
    if 300 <= exchange.status < 400:
        return f"{said}: give the address, --host or --path that is served"
    if exchange.asks:
        return (
            f"{said}; Muster was asked and allowed it, and nothing came to the application at {where}: point the "
            "gateway's application there, and reload it"
        )
    hint = _strange(site) or ("" if isinstance(site.pdp, HttpPdp) else " over gRPC (over HTTP: --over http)")
    return (
        f"{said}; nothing came to the application at {where}, and nobody asked at --pdp{hint}: is this the gateway's "
        "address (--host, --path)? Point its application at --backend and its ask at --pdp, and reload it"
    )


def _strange(site: Site) -> str:
    """What came to the stand-in that was no ask."""
    if not isinstance(site.pdp, HttpPdp):
        return ""
    if site.pdp.foreign:
        return " in HTTP (somebody spoke HTTP/2 there: for Envoy over gRPC, --over grpc)"
    return (
        " in HTTP (what came there was TLS, or something else: for the check the ask is plain)"
        if site.pdp.garbled
        else ""
    )


def _whom_else(site: Site, exchange: Exchange) -> None:
    """Unasked: raises Unavailable where it asks, but somebody else."""
    if any(value for seen in exchange.seen for value in seen.message.all("muster-decision-id")):
        raise Unavailable(
            "requests come out with a decision that was not made here: the gateway asks another Muster. Point its ask "
            "at --pdp for the check, and reload it"
        )
    hint = _strange(site)
    if hint:
        raise Unavailable(f"requests come out unasked, and nobody asked at --pdp{hint}: let the gateway ask there")


def untold(site: Site, ask: Ask) -> str:
    """What an ask does not tell, of an exchange that it is about; empty where it tells all."""
    missing = [
        name
        for name, value in (("method", ask.asked.method), ("target", ask.asked.target), ("host", ask.asked.host))
        if not value
    ]
    return ", ".join(missing) if site.way is not None else "no pair of headers that Muster reads"
