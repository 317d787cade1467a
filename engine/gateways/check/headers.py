"""Probes of what a client can write into a request to be taken for somebody else, or for something else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from engine.gateways.check.judging import Found, about, arrivals
from engine.gateways.check.site import Exchange, Site, without_port

_SPOOFS: Final = (
    ("X-Original-URI", "/public"),
    ("X-Original-Url", "/public"),
    ("X-Original-Method", "GET"),
    ("X-Forwarded-Uri", "/public"),
    ("X-Forwarded-Method", "GET"),
    ("X-Forwarded-Host", "public.example"),
    ("X-Rewrite-Url", "/public"),
    ("X-Envoy-Original-Path", "/public"),
    ("Forwarded", "host=public.example"),
    ("X-Forwarded-For", "127.0.0.1"),
    ("X-Forwarded-For", "10.0.0.1"),
    ("X-Real-Ip", "10.0.0.1"),
    ("True-Client-Ip", "10.0.0.1"),
    ("Forwarded", "for=10.0.0.1"),
    ("User-Agent", "kube-probe/1.33"),
    ("User-Agent", "ELB-HealthChecker/2.0"),
    ("User-Agent", "GoogleHC/1.0"),
)
"""What a request is said to be about; and who is said to send it, where a rule lets an inner network or a health check
go by unasked."""
_PAIRS: Final = (
    (("X-Original-URI", "/public"), ("X-Original-Method", "GET")),
    (("X-Forwarded-Uri", "/public"), ("X-Forwarded-Method", "GET")),
)
_MUSTERS: Final = ("Muster-Decision-Id", "muster-decision-id", "MUSTER-ASSERTION", "Muster-Gateway-Key")
_ALIASES: Final = (
    "Muster_Decision_Id",
    "Muster.Decision.Id",
    "Muster~Decision~Id",
    "Muster_Assertion",
    "Muster!Assertion",
)
_SIGNS: Final = "_.~+!^|#$%&'`*"
_NAMED: Final = (
    "close, Muster-Decision-Id, Muster-Assertion, Authorization",
    "Muster-Gateway-Key, X-Original-URI, X-Original-Method, X-Forwarded-Uri, X-Forwarded-Method, X-Forwarded-Host",
    "keep-alive, Host, Cookie",
)


def spoofed(site: Site) -> Iterator[Found]:
    """Headers that say what a request is about (something harmless, or, where Muster itself judges, what it allows), or
    that it is of those who need not be asked about."""
    target = site.aim("spoofed", f"{site.prefix}/no-such-route" if site.keys is not None else None)
    for spoof in (*((one,) for one in _SPOOFS), *_PAIRS):
        sent = tuple(
            (name, site.path if site.keys is not None and value == "/public" else value) for name, value in spoof
        )
        for headers in (sent, sent * 2):
            exchange = site.call(target, *headers, method="DELETE")
            yield from _about_itself(site, exchange, ", ".join(f"{name}: {value}" for name, value in headers))


def _about_itself(site: Site, exchange: Exchange, header: str) -> Iterator[Found]:
    for ask in exchange.asks:
        told = (ask.asked.method, ask.asked.target, without_port(ask.asked.host.lower()))
        if all(told) and told != (exchange.method, exchange.target, without_port(site.host.lower())):
            yield "spoofed", f"{exchange} with {header}; Muster was asked about {about(ask)}"
    for name, shown in arrivals(site, exchange):
        yield "spoofed" if name == "other_target" else name, f"{shown} with {header}"


def musters(site: Site) -> Iterator[Found]:
    """Muster's own names, once and twice."""
    for name in _MUSTERS:
        exchange = site.call(None, (name, "made-up"), (name, "made-up"))
        yield from _nothing_made_up(site, exchange, "forged", name)
        for ask in exchange.asks:
            if "made-up" in (ask.asked.key or "") or (site.key and ask.asked.key != site.key):
                yield "key_overridden", f"{exchange} with {name}"


def aliases(site: Site) -> Iterator[Found]:
    """Other spellings, of Muster's names and of an identity's."""
    for name in _ALIASES:
        yield from _nothing_made_up(site, site.call(None, (name, "made-up")), "forged", name)
    for sign in _SIGNS:
        name = f"X{sign}User"
        yield from _nothing_made_up(site, site.call(None, (name, "made-up")), "alias", name)


def _nothing_made_up(site: Site, exchange: Exchange, fault: str, name: str) -> Iterator[Found]:
    yield from arrivals(site, exchange)
    if any(b"made-up" in seen.message.raw for seen in exchange.seen):
        yield fault, f"{exchange} with {name}"


def connection(site: Site) -> Iterator[Found]:
    """What `Connection` names is lost neither on the way to Muster nor on the way back."""
    for named in _NAMED:
        sent = (("Connection", named), ("Authorization", "Bearer a.b.c"), ("Cookie", "s=1"))
        exchange = site.call(None, *sent)
        for name, shown in arrivals(site, exchange):
            yield name, f"{shown} with Connection: {named}"
        for seen in exchange.seen:
            tokens = {token.strip().lower() for value in seen.message.all("connection") for token in value.split(",")}
            if tokens & {"muster-decision-id", "muster-assertion", "authorization", "cookie"}:
                yield "named_on", f"{exchange}; the application got Connection: {', '.join(sorted(tokens))}"
        for ask in exchange.asks:
            if site.key and ask.asked.key != site.key:
                yield "stripped", f"Connection: {named}; Muster-Gateway-Key did not come with the ask"
            if site.way is not None and (ask.asked.method, ask.asked.target) != (exchange.method, exchange.target):
                yield "stripped", f"Connection: {named}; Muster was asked about {about(ask)}"
            for seen in exchange.seen:
                for name in ("authorization", "cookie"):
                    if ask.asked.all(name) != seen.message.all(name):
                        yield "stripped", f"Connection: {named}; {name} did not come to both"


def duplicates(site: Site) -> Iterator[Found]:
    """Two headers of one name: Muster sees both, or none."""
    for name in ("Authorization", "Cookie", "X-User", "X-HTTP-Method-Override"):
        exchange = site.call(None, (name, "first"), (name, "second"))
        yield from arrivals(site, exchange)
        for ask in exchange.asks:
            said = ",".join(ask.asked.all(name)).replace(";", ",").replace(" ", "")
            if said and sorted(said.split(",")) != ["first", "second"]:
                yield "hidden_duplicate", f"{name}: first, {name}: second; Muster was shown {said}"
