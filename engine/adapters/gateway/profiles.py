"""The profile of a gateway, read for use: which gateway it is, whom it believes, and which routes it serves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.access import issuers
from engine.access.issuers import Issuer
from engine.adapters.gateway.routes import RouteMap
from engine.bundling.catalogue import Catalogue
from engine.bundling.gateways import Gateway


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One gateway of one revision. `issuers` are those whose tokens it takes: one, or none."""

    name: str
    said: Gateway
    routes: RouteMap
    issuers: tuple[Issuer, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Profiles:
    """All that a revision says of gateways."""

    revision: str
    gateways: Mapping[str, Profile]
    issuers: tuple[Issuer, ...]

    @classmethod
    def of(cls, revision: str, catalogue: Catalogue) -> Profiles:
        """Compile what the build has checked."""
        pinned = {name: issuers.read(name, said.model_dump(mode="json")) for name, said in catalogue.issuers().items()}
        routes = catalogue.routes()
        return cls(
            revision=revision,
            gateways={
                name: Profile(
                    name=name,
                    said=said,
                    routes=RouteMap.of(routes, said.routes),
                    issuers=(pinned[said.subject.issuer],) if said.subject.issuer is not None else (),
                )
                for name, said in catalogue.gateways().items()
            },
            issuers=tuple(pinned.values()),
        )


@dataclass(slots=True)
class Compiled:
    """The profiles of what is active in each tenant; tenants with one revision share them."""

    _active: dict[str, Profiles] = field(default_factory=dict)

    def of(self, tenant: str, revision: str, catalogue: Catalogue) -> Profiles:
        """Those of a tenant's active revision; compiled once, since 500 routes take 60 ms."""
        held = self._active.get(tenant)
        if held is None or held.revision != revision:
            shared = next((each for each in self._active.values() if each.revision == revision), None)
            held = self._active[tenant] = shared or Profiles.of(revision, catalogue)
        return held
