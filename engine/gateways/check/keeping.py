"""The probe of gateways that keep an allow: for the seconds that Muster gives it, and for the same request alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from engine.gateways.check.asks import HEADERS
from engine.gateways.check.judging import Found, arrivals
from engine.gateways.check.pdp import DENY, Plan
from engine.gateways.check.site import Exchange, Site

_ADA: Final = ("Authorization", "Bearer ada.s.token")
_BOB: Final = ("Authorization", "Bearer bob.s.token")
_TICKET: Final = ("X-Check-Ticket", "one")


def kept_allows(site: Site) -> Iterator[Found]:
    """An allow with `max-age`, then denials of everything: what arrives after that had been kept."""
    told = [name for name in HEADERS.get(site.way or "line", ()) if name.lower() != "host"]  # as Muster's own Vary
    vary = ", ".join(("Authorization", _TICKET[0], *told))
    target, other = site.aim("kept"), site.aim("another")
    with site.pdp.answering(Plan(headers={"Cache-Control": "max-age=30, must-revalidate", "Vary": vary})):
        yield from arrivals(site, site.call(target, _ADA, _TICKET))
    with site.pdp.answering(DENY):
        site.judged += site.call(target, _ADA, _TICKET).seen  # this one may have been kept
        yield from _not_kept(site, site.call(target, _BOB, _TICKET), "another Authorization")
        yield from _not_kept(site, site.call(target, _TICKET), "no Authorization")
        yield from _not_kept(site, site.call(target, _ADA, (_TICKET[0], "two")), "another header that `Vary` names")
        yield from _not_kept(site, site.call(target, _ADA, _TICKET, method="DELETE"), "another method")
        yield from _not_kept(site, site.call(other, _ADA, _TICKET), "another target")
        raw = site.bytes_of(target, _ADA, _TICKET, host=f"other.{site.host}")
        yield from _not_kept(site, site.raw(raw, "GET", target), "another host")


def _not_kept(site: Site, exchange: Exchange, what: str) -> Iterator[Found]:
    for name, shown in arrivals(site, exchange):
        yield "kept_for_others" if name == "reused" else name, f"{shown}, with {what} than what was allowed"
