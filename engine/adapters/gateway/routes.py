"""The route map: what a request means, as the reviewed `routes.yaml` of the revision says it.

A map is compiled once for a profile's groups, and never changes. The build has refused maps in which two routes can
match one request, so at most one does; what none matches is denied. What a route takes from a request is read strictly:
what cannot be read is a `Refused`, a value, and never a part that is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeAlias

from engine.adapters.gateway import paths
from engine.adapters.gateway.paths import Refused, refused
from engine.bundling import hosts
from engine.bundling.routes import MOST_ID, MOST_TEXT, RequestRef, Route, Taken
from engine.bundling.templates import PathTable, PathTemplate, Segments, TextTemplate, path_template, text_template
from engine.decide.request import Entity, Request
from ledger.ids import is_uuid7
from ledger.model import JSON

Headers: TypeAlias = Sequence[tuple[bytes, bytes]]
"""A request's headers as they came, each line for itself, so that what is there twice is seen."""

OVERRIDES: Final = frozenset({b"x-http-method-override", b"x-http-method", b"x-method-override"})
_OVERRIDE_PARAMETER: Final = "_method"
_NOTHING: Final = frozenset[bytes]()
_PLAIN: Final = bytes(c if chr(c).isalnum() and c < 128 else ord("-") for c in range(256)).lower()
_TEXT: Final = re.compile(rb"[ -~]*")
_INTEGER: Final = re.compile(r"0|-?[1-9][0-9]{0,14}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A route of the map: as it is written, and read for use."""

    group: str
    said: Route
    path: PathTemplate
    resource_id: TextTemplate
    properties: tuple[tuple[str, TextTemplate], ...]
    query: frozenset[str]
    headers: frozenset[bytes]

    @classmethod
    def of(cls, group: str, said: Route) -> Entry:
        """Compile a route that the build has checked."""
        sources: list[Taken | RequestRef] = [*said.context.values()]
        sources += [said.request_ref] if said.request_ref is not None else []
        return cls(
            group=group,
            said=said,
            path=path_template(said.path),
            resource_id=text_template(said.resource.id),
            properties=tuple((name, text_template(text)) for name, text in said.resource.properties.items()),
            query=frozenset(s.query for s in sources if s.query is not None),
            headers=frozenset(s.header.encode() for s in sources if s.header is not None),
        )

    def cors_headers(self, origin: str | None) -> tuple[tuple[str, str], ...]:
        """The headers without which a page of this origin cannot read an answer; none for an origin not listed."""
        cors = self.said.cors
        if cors is None:
            return ()
        if cors.origins == ["*"]:
            return (("Access-Control-Allow-Origin", "*"), _EXPOSED)
        if origin is None or origin not in cors.origins:
            return (_VARIES,)
        allowed = (("Access-Control-Allow-Origin", origin), _VARIES, _EXPOSED)
        return (*allowed, ("Access-Control-Allow-Credentials", "true")) if cors.credentials else allowed


_VARIES: Final = ("Vary", "Origin")
_EXPOSED: Final = ("Access-Control-Expose-Headers", "Muster-Decision-Id, Muster-Problem, Retry-After, WWW-Authenticate")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a request asks by its route, all but the subject; `request_ref` is the ID of a request stored beforehand."""

    action: str
    resource: Entity
    context: Mapping[str, JSON]
    request_ref: str | None = None

    def request(self, subject: Entity) -> Request:
        """The request as the deciding room takes it."""
        return Request(
            subject=subject,
            action=self.action,
            resource=self.resource,
            context=self.context,
            stored=self.request_ref,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """The one route that a request matches, with the values of its path's parameters."""

    route: Entry
    parameters: Mapping[str, str]

    def asked(self, query: bytes, headers: Headers) -> Asked | Refused:
        """What the request asks; a refusal where anything that the route takes cannot be read in just one way."""
        route, said = self.route, self.route.said
        denied = _NOTHING if said.method_override == "allow" else OVERRIDES
        if denied and query and _OVERRIDE_PARAMETER in paths.names(query):
            return refused("method_override", "override")
        from_query = paths.query(query, route.query)
        if isinstance(from_query, Refused):
            return from_query
        from_headers = _named(headers, route.headers, denied) if route.headers or denied else {}
        if isinstance(from_headers, Refused):
            return from_headers
        given = _Given(self.parameters, from_query, from_headers)
        context: dict[str, JSON] = {}
        for name, taken in said.context.items():
            value = given.typed(taken)
            if isinstance(value, Refused):
                return value
            if value is not None:
                context[name] = value
        reference = given.reference(said.request_ref)
        if isinstance(reference, Refused):
            return reference
        resource = self._resource()
        if isinstance(resource, Refused):
            return resource
        return Asked(action=said.action, resource=resource, context=context, request_ref=reference)

    def _resource(self) -> Entity | Refused:
        identifier = self.route.resource_id.filled(self.parameters)
        if len(identifier) > MOST_ID:
            return refused("too_long", "id_too_long")
        properties = {name: template.filled(self.parameters) for name, template in self.route.properties}
        for name, text in properties.items():
            if len(text) > MOST_TEXT:
                return refused("too_long", "text_too_long", name)
        return Entity(type=self.route.said.resource.type, id=identifier, properties=properties)


@dataclass(frozen=True, slots=True)
class RouteMap:
    """Routes by host, method and length of the path."""

    _tables: Mapping[tuple[str, str, int], PathTable[Entry]]

    @classmethod
    def of(cls, groups: Mapping[str, Iterable[Route]], served: Iterable[str] | None = None) -> RouteMap:
        """Compile the groups that are served, or all of them; raises KeyError for one that is not there."""
        tables: dict[tuple[str, str, int], PathTable[Entry]] = {}
        for group in groups if served is None else served:
            for said in groups[group]:
                entry = Entry.of(group, said)
                for host in said.hosts:
                    for method in said.methods:
                        key = (host, method, len(entry.path.segments))
                        tables.setdefault(key, PathTable()).add(entry.path, entry)
        return cls(MappingProxyType(tables))

    def match(self, host: str, method: str, segments: Segments) -> Match | None:
        """The route of a request with this `Host`, method and canonical path; None is a deny."""
        name = hosts.canonical(host)
        if name is None:
            return None
        method = "GET" if method == "HEAD" else method
        for key in ((name, method, len(segments)), (hosts.ANY, method, len(segments))):
            table = self._tables.get(key)
            found = table.find(segments) if table is not None else None
            if found is not None:
                return Match(route=found, parameters=found.path.parameters(segments))
        return None

    def preflight(self, host: str, segments: Segments, headers: Headers, query: bytes = b"") -> Match | None:
        """The route whose preflight this OPTIONS request is, where that route lets preflights pass unasked.

        One that names another method to whoever is behind is none: it would be run there, and nobody was asked.
        """
        origins, methods = (_all(headers, name) for name in (b"origin", b"access-control-request-method"))
        if len(origins) != 1 or len(methods) != 1:
            return None
        found = self.match(host, methods[0].decode("latin-1"), segments)
        if found is None or found.route.said.preflight != "pass":
            return None
        overrides = _OVERRIDE_PARAMETER in paths.names(query) or any(plain(name) in OVERRIDES for name, _ in headers)
        return found if found.route.said.method_override == "allow" or not overrides else None


def plain(name: bytes) -> bytes:
    """A header's name as the most careless backend reads it: `X_Ticket` and `X.Ticket` are `x-ticket`."""
    return name.translate(_PLAIN)


def _all(headers: Headers, wanted: bytes) -> list[bytes]:
    return [value for name, value in headers if name.lower() == wanted]


def _named(headers: Headers, wanted: frozenset[bytes], denied: frozenset[bytes]) -> dict[str, str] | Refused:
    """The values of the wanted headers; refused are repeated ones, joined ones, other spellings of their names, and
    whatever some framework behind takes for one that is denied."""
    found: dict[str, str] = {}
    for given, raw in headers:
        read = given.translate(_PLAIN)
        if read in denied:
            return refused("method_override", "override")
        if read not in wanted:
            continue
        name, value = read.decode(), raw.strip(b" \t")
        if given.lower() != read:
            return refused("ambiguous_header", "alias", name)
        if name in found:
            return refused("ambiguous_header", "repeated", name)
        if b"," in value:
            return refused("ambiguous_header", "comma", name)
        if not _TEXT.fullmatch(value):
            return refused("ambiguous_header", "text_byte", name)
        found[name] = value.decode("ascii")
    return found


@dataclass(frozen=True, slots=True)
class _Given:
    """What a request gives, by the names that its route takes it by."""

    path: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]

    def text(self, source: Taken | RequestRef) -> tuple[str, str | None]:
        """The name that something is taken by, and what stands there; None where nothing does."""
        if source.path is not None:
            return source.path, self.path[source.path]
        if source.query is not None:
            return source.query, self.query.get(source.query)
        name = source.header or ""
        return name, self.headers.get(name)

    def typed(self, taken: Taken) -> JSON | Refused:
        """A field of the context, of its type; None where the request does not have it and need not."""
        if taken.value is not None:
            constant: JSON = taken.value
            return constant
        name, text = self.text(taken)
        if text is None:
            return refused("missing_context", "missing", name) if taken.required else None
        if taken.type == "integer":
            return int(text) if _INTEGER.fullmatch(text) else refused("wrong_type", "not_integer", name)
        if taken.type == "boolean":
            return text == "true" if text in ("true", "false") else refused("wrong_type", "not_boolean", name)
        return text if len(text) <= MOST_TEXT else refused("too_long", "text_too_long", name)

    def reference(self, source: RequestRef | None) -> str | Refused | None:
        """The ID of a stored request; None where the route takes none."""
        if source is None:
            return None
        name, text = self.text(source)
        if text is None:
            return refused("missing_context", "missing", name)
        return text if is_uuid7(text) else refused("wrong_type", "not_an_id", name)
