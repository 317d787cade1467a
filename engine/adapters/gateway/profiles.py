"""The profile of a gateway, read for use: which gateway it is, whom it believes, and which routes it serves."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from engine.access import issuers
from engine.access.issuers import Issuer
from engine.adapters.gateway.routes import RouteMap
from engine.bundling.catalogue import Catalogue
from engine.bundling.gateways import Gateway

_MOST_REVISIONS: Final = 8


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

    gateways: Mapping[str, Profile]
    issuers: tuple[Issuer, ...]

    @classmethod
    def of(cls, catalogue: Catalogue) -> Profiles:
        """Compile what the build has checked."""
        pinned = {name: issuers.read(name, said.model_dump(mode="json")) for name, said in catalogue.issuers().items()}
        routes = catalogue.routes()
        return cls(
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
    """The profiles of the revisions that were asked for last."""

    _by_revision: OrderedDict[str, Profiles] = field(default_factory=OrderedDict)

    def of(self, revision: str, catalogue: Catalogue) -> Profiles:
        """A revision's; compiled once."""
        found = self._by_revision.get(revision)
        if found is None:
            found = self._by_revision[revision] = Profiles.of(catalogue)
            if len(self._by_revision) > _MOST_REVISIONS:
                self._by_revision.popitem(last=False)
        return found
