"""What a record says of the gateway that asked, held against the profiles and routes of its revision.

Most of all until when the gateway may keep the answer (`via.lent_until`): what it was made from is in the revision and
the record (the gate's METADATA, profile, route, the token's end, the answer's own), so it is made again here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from engine.bundling.catalogue import Catalogue
from engine.bundling.gateways import Gateway
from engine.bundling.routes import Route
from engine.decide.asking import Lend
from engine.decide.record import GATE
from engine.replay.finding import Finding
from ledger import instants
from ledger.model import JSON, Entry


@dataclass(frozen=True, slots=True)
class Gateways:
    """What a revision says of gateways."""

    catalogue: Catalogue
    profiles: Mapping[str, Gateway]
    routes: Mapping[tuple[str, str], Route]
    """By group and ID."""

    @classmethod
    def of(cls, catalogue: Catalogue) -> Gateways:
        """That of a checked bundle."""
        routes = {(group, route.id): route for group, listed in catalogue.routes().items() for route in listed}
        return cls(catalogue, catalogue.gateways(), routes)

    def check(self, entry: Entry) -> Iterator[Finding]:
        """What is wrong with a record's `via`."""
        for detail in self._wrong(entry.value, _table(entry.value.get("via"))):
            yield Finding(index=entry.index, id=entry.id, check="gateway", detail=detail)

    def _wrong(self, record: dict[str, JSON], via: dict[str, JSON]) -> Iterator[str]:
        if "via" not in record:
            return
        name, caller = str(via.get("gateway")), _table(record["caller"])
        if (caller.get("role"), caller.get("principal")) != ("gateway", {"type": "system", "id": name}):
            yield f"it says that the gateway {name} asked, and that somebody else did"
        profile = self.profiles.get(name)
        if record["entrypoint"] != GATE:
            if "lent_until" in via:
                yield "it lends what is no answer of a gate"
            if _table(_table(record["input"]).get("subject")) != {"type": "gateway", "id": name, "known": False}:
                yield f"it is of the gateway {name}, and about another"
        elif profile is None:
            yield f"the revision has no gateway {name}"
        else:
            yield from self._of_profile(record, via, profile)

    def _of_profile(self, record: dict[str, JSON], via: dict[str, JSON], profile: Gateway) -> Iterator[str]:
        named, identity, asked = _table(via.get("route")), _table(via.get("identity")), _table(record["input"])
        group, route = str(named.get("group")), self.routes.get((str(named.get("group")), str(named.get("id"))))
        if route is None or group not in profile.routes or route.action != _table(asked["action"]).get("name"):
            yield f"its gateway has no route {group}/{named.get('id')} for this action"
            return
        said = profile.subject
        if (identity.get("issuer"), identity.get("header")) != (said.issuer, said.header):
            yield "who the subject is was taken from elsewhere than its gateway's profile says"
        expected = self._lent(record, _lend(profile, route, identity))
        if via.get("lent_until") != expected:
            yield f"lent until {via.get('lent_until')}, where its profile, its route and its answer give {expected}"

    def _lent(self, record: dict[str, JSON], lend: Lend | None) -> str | None:
        """As the decider has it: an allow alone, and only where its gate says so."""
        asked, result = _table(record["input"]), _table(record["result"])
        gate = self.catalogue.gate(str(_table(asked["action"]).get("name")))
        if lend is None or gate is None or not gate.lent or result.get("verdict") != "allow":
            return None
        return lend.until(str(asked["now"]), result.get("valid_until"))


def _lend(profile: Gateway, route: Route, identity: dict[str, JSON]) -> Lend | None:
    """For how long at most a profile and a route let an allow be kept, whatever its gate says."""
    if not profile.lends(route):
        return None
    ends = instants.parse(str(identity["expires_at"])) if profile.subject.issuer is not None else None
    return Lend(most_ms=profile.lease_seconds * 1000, until_ms=ends)


def _table(value: JSON) -> dict[str, JSON]:
    return value if isinstance(value, dict) else {}
