"""What the files for gateways say of each other, of the source, and of the gates.

The route map is checked so that a request can match one entry at most, whatever it looks like, and so that what a gate
reads and no route can give is seen when it is written, not when somebody is denied.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from engine.bundling import hosts
from engine.bundling.errors import Finding
from engine.bundling.gateways import Gateway, Issuer
from engine.bundling.metadata import STORED_REQUESTS
from engine.bundling.references import Place, Reading
from engine.bundling.routes import Route, Routes, Taken
from engine.bundling.templates import Overlaps, PathTemplate, path_template, text_template
from engine.bundling.validate import near
from ledger.canonical import JSON

Placed: TypeAlias = tuple[Place, Route]
"""A route and its place in routes.yaml: group and position."""
Said: TypeAlias = tuple[str, str, str]
"""A field, what is wrong with it, and what to do."""


def check(reading: Reading) -> None:
    """Check every name that these files take from each other, and that no two routes can match one request."""
    issuers = {n: i for n, i in reading.names("issuers").items() if isinstance(i, Issuer)}
    profiles = {n: g for n, g in reading.names("gateways").items() if isinstance(g, Gateway)}
    routes = _routes(reading)
    for group in reading.names("routes").keys() - {place[0] for place, _ in routes}:
        reading.wrong("routes", (group,), "has no routes", "write one, or remove the group")
    for name, issuer in issuers.items():
        _issuer(reading, issuers, name, issuer)
    for name, profile in profiles.items():
        _profile(reading, name, profile, routes)
    for place, route in routes:
        _route(reading, place, route)
    _own_ids(reading, routes)
    for later, earlier in sorted(_overlapping(routes, profiles)):
        (place, route), (other, met) = routes[later], routes[earlier]
        line = reading.documents["routes"].line(other)
        message = f"{route.path} can match what {met.path} of {met.id} (line {line}) matches"
        reading.wrong("routes", (*place, "path"), message, "keep one of them, or tell them apart by a fixed segment")


def _routes(reading: Reading) -> list[Placed]:
    model = reading.models.get("routes")
    groups = model.root if isinstance(model, Routes) else {}
    return [((group, i), route) for group, routes in groups.items() for i, route in enumerate(routes)]


def _issuer(reading: Reading, issuers: Mapping[str, Issuer], name: str, issuer: Issuer) -> None:
    """One issuer has one kind of people, and two have not the same IDs for different people."""
    reading.once("issuers", (name, "audience"), issuer.audience)
    reading.once("issuers", (name, "algorithms"), issuer.algorithms)
    for i, other in enumerate(issuer.same_people_as):
        reading.need("issuers", (name, "same_people_as", i), "issuer", other)
    for other in [*issuers][: [*issuers].index(name)]:
        earlier = issuers[other]
        if issuer.issuer == earlier.issuer:
            if issuer.subject != earlier.subject:
                message = f"takes people from another claim or type than {other}, which is the same issuer"
                reading.wrong("issuers", (name, "subject"), message, "make them equal: a person has one ID")
        elif issuer.subject.type == earlier.subject.type and not (
            other in issuer.same_people_as or name in earlier.same_people_as
        ):
            message = f"names people of the type {issuer.subject.type}, as {other} does: one could be taken for another"
            hint = f"say same_people_as: [{other}] if an ID is the same person in both, else take another type"
            reading.wrong("issuers", (name, "subject"), message, hint)


def _profile(reading: Reading, name: str, profile: Gateway, routes: Sequence[Placed]) -> None:
    if profile.subject.issuer is not None:
        reading.need("gateways", (name, "subject", "issuer"), "issuer", profile.subject.issuer)
    groups = reading.names("routes").keys()
    for i, group in enumerate(profile.routes):
        if group not in groups and not ("routes" in reading.documents and "routes" not in reading.models):
            hint = near(group, groups, "write it in routes.yaml, or name another")
            reading.wrong("gateways", (name, "routes", i), f"there is no group {group} in routes.yaml", hint)
    reading.once("gateways", (name, "routes"), profile.routes)
    reading.once("gateways", (name, "remedy_hosts"), profile.remedy_hosts)
    for place, route in routes:
        if place[0] not in profile.routes:
            continue
        if route.html == "redirect" and not profile.remedy_hosts:
            message = f"redirects to a remedy, and the profile {name} allows no host for it"
            reading.wrong("routes", (*place, "html"), message, "list remedy_hosts in the profile, or say html: problem")
        for where, header in _headers(route):
            if header == profile.subject.header:
                message = f"{header} says who is asking in the profile {name}"
                reading.wrong("routes", (*place, *where), message, "a gate takes that from the profile's subject")


def _headers(route: Route) -> Iterator[tuple[Place, str]]:
    for name, taken in route.context.items():
        if taken.header is not None:
            yield ("context", name, "header"), taken.header
    if route.request_ref is not None and route.request_ref.header is not None:
        yield ("request_ref", "header"), route.request_ref.header


def _route(reading: Reading, place: Place, route: Route) -> None:
    reading.need("routes", (*place, "action"), "action", route.action)
    reading.once("routes", (*place, "hosts"), route.hosts)
    reading.once("routes", (*place, "methods"), route.methods)
    reading.once("routes", (*place, "without"), route.without)
    if hosts.ANY in route.hosts and len(route.hosts) > 1:
        message = "names hosts beside *, which is every host"
        reading.wrong("routes", (*place, "hosts"), message, "keep one of them")
    if route.html == "redirect" and "GET" not in route.methods:
        message = "only a GET is redirected, and this route has none"
        reading.wrong("routes", (*place, "html"), message, "say html: problem, or leave it out")
    if route.preflight == "pass" and "OPTIONS" in route.methods:
        message = "passes preflights unasked, and OPTIONS is judged as an action"
        reading.wrong("routes", (*place, "preflight"), message, "keep one of them")
    path, used = path_template(route.path), set[str]()
    for where, name in _parameters(route):
        used.add(name)
        if name not in path.names:
            hint = near(name, path.names, "write it into the path, or name one that is there")
            reading.wrong("routes", (*place, *where), f"the path has no parameter {name}", hint)
        elif name.startswith("_"):
            message = f"the parameter {name} is marked as one that decides nothing"
            reading.wrong("routes", (*place, *where), message, "leave out its _")
    for name in path.names:
        if name not in used and not name.startswith("_"):
            message = f"nothing takes the parameter {name}, so requests that differ in it would be one to the gate"
            hint = f"put it into the resource or the context, or call it _{name} if it decides nothing"
            reading.wrong("routes", (*place, "path"), message, hint)


def _parameters(route: Route) -> Iterator[tuple[Place, str]]:
    """Each parameter that a route takes from its path, and where."""
    templates: list[tuple[Place, str]] = [(("resource", "id"), route.resource.id)]
    templates += [(("resource", "properties", n), text) for n, text in route.resource.properties.items()]
    for place, text in templates:
        yield from ((place, name) for name in text_template(text).names)
    for name, taken in route.context.items():
        if taken.path is not None:
            yield ("context", name, "path"), taken.path
    if route.request_ref is not None and route.request_ref.path is not None:
        yield ("request_ref", "path"), route.request_ref.path


def _own_ids(reading: Reading, routes: Sequence[Placed]) -> None:
    seen: dict[str, Place] = {}
    for place, route in routes:
        if route.id in seen:
            line = reading.documents["routes"].line(seen[route.id])
            message = f"{route.id} is the ID of a route already, at line {line}"
            reading.wrong("routes", (*place, "id"), message, "records and metrics name routes by it: choose another")
        seen.setdefault(route.id, place)


def _overlapping(routes: Sequence[Placed], profiles: Mapping[str, Gateway]) -> set[tuple[int, int]]:
    """Pairs (later, earlier) of routes that can match one request: of one group, or of groups that one profile serves.

    Of each route that meets several for a host and method, the first is told.
    """
    paths = [path_template(route.path) for _, route in routes]
    served = {frozenset({str(place[0])}) for place, _ in routes}
    served |= {frozenset(profile.routes) for profile in profiles.values()}
    found = set[tuple[int, int]]()
    for groups in served:
        if any(groups < others for others in served):
            continue
        entered = _Entered()
        for number, (place, route) in enumerate(routes):
            if place[0] in groups:
                found |= {(number, earlier) for earlier in entered.enter(route, paths[number], number)}
    return found


@dataclass(slots=True)
class _Entered:
    """Routes by method, length and host; `*` is every host's."""

    tables: dict[tuple[str, int], dict[str, Overlaps]] = field(default_factory=dict)

    def enter(self, route: Route, path: PathTemplate, number: int) -> set[int]:
        """Enter a route; returns those entered before that can match what it matches."""
        found = set[int]()
        for method in dict.fromkeys(route.methods):
            tables = self.tables.setdefault((method, len(path.segments)), {})
            for host in dict.fromkeys(route.hosts):
                near_by = [*tables.values()] if host == hosts.ANY else [tables.get(host), tables.get(hosts.ANY)]
                found |= {n for t in near_by if t is not None for n in (t.met(path),) if n is not None}
            for host in dict.fromkeys(route.hosts):
                tables.setdefault(host, Overlaps()).add(path, number)
        return found


def check_gates(reading: Reading, gates: JSON, *, stored: bool) -> Iterator[Finding]:
    """Hold each route against its gate's METADATA: a route gives what the gate reads, of its type, and nothing else.

    `stored`: whether the router knows requests that were stored beforehand.
    """
    assert isinstance(gates, dict)
    for place, route in _routes(reading):
        gate = gates.get(route.action)
        said = [*_against(route, gate)] if isinstance(gate, dict) else []
        if route.request_ref is not None and not stored:
            hint = f"list {', '.join(sorted(STORED_REQUESTS))} in its METADATA and ask for them, or leave it out"
            said.append(("request_ref", "package muster.gate knows no stored requests, so this could not decide", hint))
        for field_, message, hint in said:
            where = (*place, *_where(field_))
            name, line = ".".join(map(str, where)), reading.documents["routes"].line(where)
            yield Finding(file="routes.yaml", line=line, field=name, message=message, hint=hint)


def _where(name: str) -> Place:
    return tuple(int(part) if part.isdigit() else part for part in name.split(".")) if name else ()


def _against(route: Route, gate: Mapping[str, Any]) -> Iterator[Said]:
    declared = {n: i["schema"] for n, i in gate["inputs"].items() if i["source"] == "asserted"}
    given: dict[str, Taken | str] = {f"context.{name}": taken for name, taken in route.context.items()}
    given |= {f"resource.properties.{name}": text for name, text in route.resource.properties.items()}
    for name, source in given.items():
        if name not in declared:
            hint = _nearest(name, declared, "leave it out, or declare it in the gate's METADATA")
            yield name, f"the gate {route.action} does not read it, so it would be dropped", hint
        else:
            message = _misfit(declared[name], source)
            if message is not None:
                yield name, message, "make the type that of the gate's METADATA"
    for i, name in enumerate(route.without):
        if name not in declared:
            yield (
                f"without.{i}",
                f"the gate {route.action} does not read {name}",
                _nearest(name, declared, "leave it out"),
            )
        elif name in given:
            yield f"without.{i}", f"the route gives {name}", "leave it out here"
        elif route.request_ref is not None:
            yield f"without.{i}", f"the request that request_ref names can give {name}", "leave out `without`"
    missing = sorted(declared.keys() - given.keys() - {*route.without})
    if missing and route.request_ref is None:
        message = f"its gate reads {', '.join(missing)}, and behind a gateway nobody gives it: a body is never read"
        hint = "take it from path, query, header or value, name a request_ref, or list it under `without`"
        yield "", message, hint


def _nearest(name: str, declared: Iterable[str], otherwise: str) -> str:
    """A hint: the field of the same part of a request that is nearest to one that is not declared."""
    part, _, last = name.rpartition(".")
    return near(last, {d.rpartition(".")[2] for d in declared if d.rpartition(".")[0] == part}, otherwise)


def _misfit(schema: Mapping[str, Any], source: Taken | str) -> str | None:
    """Why what a route gives can never have the type that its gate declares."""
    if isinstance(source, str):
        template = text_template(source)
        fixed: Any = None if template.names else source
        kind = "string"
    else:
        fixed, kind = source.value, source.type or "string"
    if fixed is not None:
        from jsonschema import Draft202012Validator  # takes a while: for whoever builds, not for whoever serves

        wrong = sorted(error.message for error in Draft202012Validator(schema).iter_errors(fixed))
        return f"does not fit what its gate declares: {'; '.join(wrong)}" if wrong else None
    kinds = _kinds(schema)
    if kind in kinds or (kind == "integer" and "number" in kinds):
        return None
    return f"is of type {kind}, and its gate declares {' or '.join(sorted(kinds))}"


def _kinds(schema: Mapping[str, Any]) -> set[str]:
    """The JSON types that a schema of a gate lets through."""
    if "type" in schema:
        return {schema["type"]} if isinstance(schema["type"], str) else {*schema["type"]}
    values = schema["enum"] if "enum" in schema else [schema.get("const")]
    names = {bool: "boolean", int: "integer", str: "string", list: "array", dict: "object"}
    return {names.get(type(value), "null") for value in values}
