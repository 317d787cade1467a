"""The models of the route map, `routes.yaml`: what a request to a gateway means.

A route's templates are read, and its headers judged, where they stand; what it says of its own path, of other routes
and of its gate is checked in `engine.bundling.routing`.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, RootModel, StringConstraints, model_validator

from engine.bundling import hosts
from engine.bundling.models import Id, Strict
from engine.bundling.templates import PARAMETER, path_template, text_template

MOST_TEXT: Final = 4096
"""Characters of one value, as in a decision's request."""
MOST_ID: Final = 1024

_HOP: Final = frozenset({
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade",
})  # fmt: skip
_IDENTITY: Final = frozenset({"authorization", "cookie", "set-cookie", "www-authenticate"})
_GATEWAYS: Final = frozenset({"content-length", "expect", "forwarded", "host", "via", "x-real-ip"})
_GATEWAYS_OWN: Final = ("x-original-", "x-envoy-", "x-http-method", "x-method-override", "x-rewrite-")
FORWARDED: Final = "x-forwarded-"

Kind = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_.:-]*$", max_length=64)]
"""The type of an entity, as AuthZEN has it."""
FieldName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=64)]
Parameter = Annotated[str, StringConstraints(pattern=rf"^{PARAMETER}$")]
QueryName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.~-]*$", max_length=64)]
HeaderName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=64)]


def _scalar(value: Any) -> bool:
    return value is None or isinstance(value, (bool, int)) or (isinstance(value, str) and len(value) <= MOST_TEXT)


def plain_values(value: Any) -> Any:
    """A scalar, or a list or table of scalars."""
    parts = value if isinstance(value, list) else list(value.values()) if isinstance(value, dict) else [value]
    if not all(map(_scalar, parts)):
        raise ValueError(f"is no text (of {MOST_TEXT} characters), number or boolean, nor a list or table of these")
    if len(parts) > 256:
        raise ValueError("has more than 256 parts")
    return value


def _constant(value: Any) -> Any:
    if value is None or isinstance(value, dict):
        raise ValueError("is no text, number or boolean, nor a list of these")
    return plain_values(value)


def why_not_context(header: str) -> str | None:
    """Why a header cannot be taken as context: it is somebody's own, or does not arrive as it was sent."""
    if header in _HOP:
        return "is for one hop only, so it does not arrive as it was sent"
    if header in _IDENTITY:
        return "says who is asking; a gate takes that from the profile's subject"
    if header.startswith("muster-"):
        return "is one of Muster's own, which a gateway takes away"
    if header in _GATEWAYS or header.startswith((FORWARDED, *_GATEWAYS_OWN)):
        return "is written by gateways, so it is not what the client sent"
    return None


def _context_header(header: str) -> str:
    reason = why_not_context(header)
    if reason:
        raise ValueError(f"{header} {reason}")
    return header


def _unquoted(value: Any) -> Any:
    """`id: {id}` without quotes is a table in YAML."""
    if isinstance(value, dict) and len(value) == 1 and set(value.values()) <= {None}:
        raise ValueError(f'is a table, not a template: write "{{{next(iter(value))}}}" in quotes')
    return value


def _template(text: str) -> str:
    text_template(text)
    return text


def _path(text: str) -> str:
    path_template(text)
    return text


Template = Annotated[
    str,
    BeforeValidator(_unquoted),
    StringConstraints(min_length=1, max_length=MOST_ID),
    AfterValidator(_template),
]


class RouteResource(Strict):
    """What a route is about: ID and properties are templates over the parameters of its path."""

    type: Kind
    id: Template
    properties: dict[FieldName, Template] = Field(default_factory=dict, max_length=64)


class Taken(Strict):
    """Where a route takes one field of the context from: exactly one of path, query, header, value.

    `required` refuses a request without it; else the field is left out, and the gate says what that means. `type` is
    how a path, query or header is read: as a string where it does not say.
    """

    path: Parameter | None = None
    query: QueryName | None = None
    header: Annotated[HeaderName, AfterValidator(_context_header)] | None = None
    value: Annotated[Any, AfterValidator(_constant)] = None
    type: Literal["string", "integer", "boolean"] | None = None
    required: bool = False

    @model_validator(mode="after")
    def _one(self) -> Taken:
        given = [name for name in ("path", "query", "header", "value") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("name exactly one of path, query, header, value")
        if given == ["value"] and self.type is not None:
            raise ValueError("a value is of the type that it is written in: leave out type")
        if given in (["value"], ["path"]) and self.required:
            raise ValueError(f"a {given[0]} is always there: leave out required")
        return self


class RequestRef(Strict):
    """Where a route takes the ID of a request from that was stored beforehand: exactly one of header, query, path."""

    header: Annotated[HeaderName, AfterValidator(_context_header)] | None = None
    query: QueryName | None = None
    path: Parameter | None = None

    @model_validator(mode="after")
    def _one(self) -> RequestRef:
        if sum(v is not None for v in (self.header, self.query, self.path)) != 1:
            raise ValueError("name exactly one of header, query, path")
        return self


def _origin(text: str) -> str:
    scheme, _, place = text.partition("://")
    if text != "*" and not (scheme in ("https", "http") and hosts.is_place(place)):
        raise ValueError("is not an origin, such as https://app.example")
    return text


class Cors(Strict):
    """The CORS headers of a route's denials: without them a page cannot read why."""

    origins: list[Annotated[str, AfterValidator(_origin)]] = Field(min_length=1, max_length=64)
    credentials: bool = False

    @model_validator(mode="after")
    def _not_everybody(self) -> Cors:
        if "*" in self.origins and (self.credentials or len(self.origins) > 1):
            raise ValueError("origin * stands alone, and without credentials")
        return self


def _method(text: str) -> str:
    if text == "HEAD":
        raise ValueError("HEAD is judged as GET: write GET")
    if text == "CONNECT":
        raise ValueError("CONNECT asks for a tunnel and has no path: it is never passed")
    return text


def _host(text: str) -> str:
    if text != hosts.ANY and not hosts.is_name(text):
        raise ValueError('is not a host in lower case without a port, nor "*"')
    return text


Method = Annotated[str, StringConstraints(pattern=r"^[A-Z]+(-[A-Z]+)*$", max_length=32), AfterValidator(_method)]
_INPUT: Final = r"^(context|(resource|action|subject)\.properties)\.[A-Za-z_][A-Za-z0-9_]*$"
Input = Annotated[str, StringConstraints(pattern=_INPUT)]


class Route(Strict):
    """One entry of the route map: requests of these hosts, methods and this path are this action on this resource."""

    id: Id
    hosts: list[Annotated[str, AfterValidator(_host)]] = Field(min_length=1, max_length=64)
    methods: list[Method] = Field(min_length=1, max_length=16)
    path: Annotated[str, BeforeValidator(_unquoted), StringConstraints(max_length=2048), AfterValidator(_path)]
    action: Id
    resource: RouteResource
    context: dict[FieldName, Taken] = Field(default_factory=dict, max_length=64)
    request_ref: RequestRef | None = None
    without: list[Input] = Field(default_factory=list, max_length=64)
    html: Literal["redirect", "problem"] = "problem"
    preflight: Literal["pass", "deny"] = "deny"
    method_override: Literal["deny", "allow"] = "deny"
    cors: Cors | None = None


class Routes(RootModel[dict[Id, list[Route]]]):
    """routes.yaml: routes by group; a profile names the groups that it serves."""
