"""What Python needs to know of a revision: a typed, read-only view of a bundle's data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jsonschema_rs

from engine.bundling.gateways import Gateway, Issuer
from engine.bundling.metadata import STORED_REQUESTS
from engine.bundling.routes import Route
from engine.bundling.source import scope_modules, track_modules
from ledger.canonical import JSON
from ledger.strict import escape

_DERIVED = frozenset({"conditions", "training", "facts", "schema"})
"""What the build adds to a gate's METADATA."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateInfo:
    """What a gate declares: which fields it takes from whom, and whose facts its input carries."""

    action: str
    asserted: Mapping[str, frozenset[str]]
    """The names that it takes from whoever asks, by the part of a request that they stand in, such as `context`."""
    directory: tuple[str, ...]
    ledger: frozenset[str]
    scopes: tuple[str, ...]
    modules: tuple[str, ...]
    waivers: tuple[str, ...]
    lease: bool
    stored: bool
    """Whether the router knows what to ask of a request that was stored beforehand."""
    lent: bool
    """Whether the gateway that asked may keep an allow for some seconds."""
    schema: Mapping[str, Any]
    quick: jsonschema_rs.Draft202012Validator
    """The same schema, compiled: says whether, in microseconds, and not what."""

    def wrong_fields(self, value: JSON) -> tuple[tuple[str, str], ...]:
        """Each field of an input that has not the declared type: (JSON pointer, what is wrong)."""
        if self.quick.is_valid(value):
            return ()
        from jsonschema import Draft202012Validator  # takes a while to load, for what is rarely wrong

        return tuple(
            sorted(
                ("".join(f"/{escape(str(p))}" for p in e.absolute_path), _words(e))
                for e in Draft202012Validator(self.schema).iter_errors(value)
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleInfo:
    """A module as results name it."""

    id: str
    version: str
    digest: str
    tier: str
    scopes: tuple[str, ...]
    policies: tuple[str, ...]
    runbooks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """`{source, metadata}` of one revision. The data comes from a bundle that was checked when it was built."""

    data: Mapping[str, Any]
    _gates: dict[str, GateInfo] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        actions = self.data["source"]["actions"]
        stored = {common["code"] for common in self.data["metadata"].get("common", ())} >= STORED_REQUESTS
        gates = {a: _gate(g, stored=stored) for a, g in self.data["metadata"]["gates"].items() if a in actions}
        object.__setattr__(self, "_gates", gates)

    @property
    def _source(self) -> Mapping[str, Any]:
        source: Mapping[str, Any] = self.data["source"]
        return source

    @property
    def name(self) -> str:
        return str(self._source["name"])

    @property
    def version(self) -> str:
        return str(self._source["version"])

    @property
    def words(self) -> str:
        """The digest of the source's own words."""
        return str(self._source["words"])

    @property
    def personas(self) -> frozenset[str]:
        return frozenset(self._source["personas"])

    @property
    def tracks(self) -> frozenset[str]:
        return frozenset(self._source["tracks"])

    @property
    def scopes(self) -> frozenset[str]:
        return frozenset(self._source["scopes"])

    @property
    def modules(self) -> frozenset[str]:
        return frozenset(self._source["modules"])

    @property
    def entities(self) -> Mapping[str, Mapping[str, Mapping[str, JSON]]]:
        """What there is besides people: properties by type and ID; nothing in a source that does not say."""
        found: Mapping[str, Mapping[str, Mapping[str, JSON]]] = self._source.get("entities", {})
        return found

    def issuers(self) -> dict[str, Issuer]:
        """The issuers of users' tokens, by name."""
        return {name: Issuer.model_validate(said) for name, said in self._source.get("issuers", {}).items()}

    def gateways(self) -> dict[str, Gateway]:
        """The profiles of gateways, by name."""
        return {name: Gateway.model_validate(said) for name, said in self._source.get("gateways", {}).items()}

    def routes(self) -> dict[str, list[Route]]:
        """The route map by group, as it is written; `engine.adapters.gateway.routes` compiles it."""
        groups = self._source.get("routes", {})
        return {group: [Route.model_validate(said) for said in routes] for group, routes in groups.items()}

    def takes_stored(self, group: str, route: str) -> bool:
        """Whether a route of the map takes a request that was stored beforehand."""
        found = self._source.get("routes", {}).get(group, ())
        return any(said["id"] == route and said.get("request_ref") is not None for said in found)

    def gate(self, action: str) -> GateInfo | None:
        """The gate of a registered action."""
        return self._gates.get(action)

    def described(self) -> list[JSON]:
        """Every gate, for people and clients: its METADATA, without what the build derives from it."""
        gates = self.data["metadata"]["gates"]
        return [{k: v for k, v in gates[a].items() if k not in _DERIVED} for a in sorted(self._gates)]

    def module(self, module: str) -> ModuleInfo | None:
        """A module by its ID."""
        found = self._source["modules"].get(module)
        if found is None:
            return None
        return ModuleInfo(
            id=module,
            version=found["version"],
            digest=found["digest"],
            tier=found["tier"],
            scopes=tuple(found["scopes"]),
            policies=tuple(found["policies"]),
            runbooks=tuple(found["runbooks"]),
        )

    def tracks_of(self, module: str) -> tuple[str, ...]:
        """The tracks that list a module."""
        return tuple(sorted(t for t, track in self._source["tracks"].items() if module in track_modules(track)))

    def awards(self, module: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The scopes that a pass of a module can reach, and the modules whose passes its award must see."""
        found = self._source["awards"].get(module, {"scopes": [], "modules": []})
        return tuple(found["scopes"]), tuple(found["modules"])

    def scope_facts(self, scope: str) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
        """The scopes, modules and waivers that `isCertified` sees; nothing for a scope nobody knows."""
        found = self._source["scopes"].get(scope)
        if found is None:
            return (), (), ()
        modules = tuple(sorted(scope_modules(found, self._source["tracks"])))
        return (scope,), modules, (f"scope:{scope}",)


def _gate(metadata: Mapping[str, Any], *, stored: bool) -> GateInfo:
    inputs = metadata["inputs"]
    return GateInfo(
        action=metadata["action"],
        asserted=_asserted(inputs),
        directory=tuple(sorted(n.removeprefix("subject.") for n, i in inputs.items() if i["source"] == "directory")),
        ledger=frozenset(metadata["ledger"]),
        scopes=tuple(metadata["facts"]["scopes"]),
        modules=tuple(metadata["facts"]["modules"]),
        waivers=tuple(metadata["facts"]["waivers"]),
        lease=metadata.get("lease", True) is not False,  # bundles of before there were leases do not say
        stored=stored,
        lent=metadata.get("lease") == "gateway",
        schema=metadata["schema"],
        quick=jsonschema_rs.Draft202012Validator(metadata["schema"]),
    )


def _asserted(inputs: Mapping[str, Any]) -> dict[str, frozenset[str]]:
    names = [name.rpartition(".") for name, declared in inputs.items() if declared["source"] == "asserted"]
    return {part: frozenset(last for at, _, last in names if at == part) for part, _, _ in names}


def _words(error: Any) -> str:
    if error.validator == "type":
        return f"must be of type {error.validator_value}"
    return f"does not fit {error.validator} {error.validator_value}"
