"""How long a gateway may keep an allow, and what has to be the same for the next request to be given it (RFC 9111).

Only an allow of a gate that says `lease: gateway`, for some seconds, and never past the answer's own end or the user's
token. Everything that the answer was made from stands in `Vary`: whose request it is, what the gateway tells it by,
what the route takes from headers, and the headers that would name another method to whoever is behind. Where some of it
is in no header of the ask, nothing is kept.
"""

from __future__ import annotations

from engine.adapters.gateway import asks
from engine.adapters.gateway.answers import NOT_KEPT, Fields
from engine.adapters.gateway.profiles import Profile
from engine.adapters.gateway.routes import OVERRIDES, Entry
from engine.adapters.gateway.subjects import Known
from engine.decide.asking import Lend
from ledger import instants


def lend(profile: Profile, route: Entry, who: Known) -> Lend | None:
    """What an allow may be kept for at most; None where it may not be kept, whatever its gate says."""
    said = profile.said
    return Lend(most_ms=said.lease_seconds * 1000, until_ms=who.until_ms) if said.lends(route.said) else None


def fields(profile: Profile, route: Entry, lent_until: str | None, now: str) -> Fields:
    """The headers of an allow that say whether it may be kept: full seconds only, from now on."""
    seconds = 0 if lent_until is None else (instants.parse(lent_until) - instants.parse(now)) // 1000
    if seconds <= 0:
        return (NOT_KEPT,)
    return ("Cache-Control", f"max-age={seconds}, must-revalidate"), ("Vary", ", ".join(_vary(profile, route)))


def _vary(profile: Profile, route: Entry) -> list[str]:
    """nginx keeps nothing whose `Vary` is longer than 128 bytes, so it holds no name that it need not."""
    identity = profile.said.subject.header or "authorization"
    overrides = () if route.said.method_override == "allow" else sorted(name.decode() for name in OVERRIDES)
    taken = sorted(name.decode() for name in route.headers)
    names = (identity, *asks.told_by(profile.said.gateway), *taken, *overrides)
    return [name.title() for name in dict.fromkeys(names)]
