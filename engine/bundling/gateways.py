"""The models of what a source says to gateways: what there is, whose tokens are believed, and who asks for whom.

`entities.yaml`, `issuers.yaml`, `gateways.yaml` and `routes.yaml` may each be missing; a file that is there is part of
`data.source`, so it is versioned with the revision. What one says of another, and of the gates, is checked in
`engine.bundling.routing`; the models of routes are in `engine.bundling.routes`.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    RootModel,
    StringConstraints,
    field_validator,
    model_validator,
)

from engine.bundling import hosts
from engine.bundling.models import Exports, Id, Strict, Text
from engine.bundling.routes import FORWARDED, MOST_ID, HeaderName, Kind, Route, Routes, plain_values, why_not_context

GRPC_DEADLINE_MS: Final = 150
"""Below the 200 ms after which Envoy gives up a gRPC call by default."""
DEADLINE_MS: Final = 800
LEASE_SECONDS: Final = 5
MOST_LEASE_SECONDS: Final = 20
"""How long a gateway may keep an allow whose gate lets it: less than the 30 s that the assertion in it is good for."""

_NAMED_BY_OTHERS: Final = frozenset({"email", "preferred_username", "nickname", "name"})
_LOOPBACK: Final = ("127.0.0.1", "[::1]")


def _without_control(text: str) -> str:
    if any(ord(c) < 32 or 127 <= ord(c) < 160 for c in text):
        raise ValueError("has a control character in it")
    return text


Name = Annotated[str, StringConstraints(min_length=1, max_length=MOST_ID), AfterValidator(_without_control)]
Property = Annotated[Any, AfterValidator(plain_values)]


class Entities(RootModel[dict[Kind, dict[Name, dict[Name, Property]]]]):
    """entities.yaml: what there is besides people, by type and ID, with its properties."""


def _https(url: str) -> str:
    """An address as it is compared and fetched; plain HTTP only to this machine, where nobody else listens in."""
    try:
        parts = urlsplit(url)
    except ValueError as exc:
        raise ValueError(f"is not an address: {exc}") from exc
    if not re.fullmatch(r"[!-~]+", url) or "\\" in url:
        raise ValueError("is not an address")
    if "?" in url or "#" in url or "@" in parts.netloc:
        raise ValueError("has a user, query or fragment, which an address of an issuer has not")
    if not hosts.is_place(parts.netloc):
        raise ValueError("has no host, or not in lower case")
    if parts.scheme != "https" and not (parts.scheme == "http" and hosts.canonical(parts.netloc) in _LOOPBACK):
        raise ValueError("is not an https address (http is for 127.0.0.1 and [::1] alone)")
    return url


Address = Annotated[str, StringConstraints(max_length=2000), AfterValidator(_https)]
Audience = Annotated[str, StringConstraints(pattern=r"^[!-~]+$", max_length=512)]
Claim = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_.:/-]*$", max_length=128)]
Algorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"
]  # fmt: skip


class IssuerSubject(Strict):
    """Whom a token of an issuer is about: the claim that holds the ID of a person."""

    type: Kind = "user"
    claim: Claim = "sub"

    @field_validator("claim")
    @classmethod
    def _stays(cls, claim: str) -> str:
        if claim in _NAMED_BY_OTHERS:
            raise ValueError(f"{claim} can change, and can be given to somebody else: take sub, or another fixed ID")
        return claim


class Issuer(Strict):
    """issuers.yaml: one issuer of users' tokens, pinned.

    Without `jwks` its key set is found by OpenID Connect Discovery. `max_age_hours` is how long the last good key set
    is used when the issuer cannot be reached. `same_people_as` are other issuers whose IDs name the same people.
    """

    issuer: Address
    audience: list[Audience] = Field(min_length=1, max_length=32)
    algorithms: list[Algorithm] = Field(min_length=1, max_length=8)
    subject: IssuerSubject = IssuerSubject()
    jwks: Address | None = None
    typ: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9.+/-]*$", max_length=64)] | None = None
    leeway_seconds: Annotated[int, Field(ge=0, le=30)] = 30
    max_age_hours: Annotated[int, Field(ge=1, le=168)] = 24
    same_people_as: list[Id] = Field(default_factory=list, max_length=16)


class Issuers(RootModel[dict[Id, Issuer]]):
    """issuers.yaml"""


def _subject_header(header: str) -> str:
    """A gateway may write a user's name into `x-forwarded-user`; into what it writes for itself it may not."""
    own = ("for", "host", "port", "prefix", "proto", "method", "server", "uri")
    free = header.startswith(FORWARDED) and header.removeprefix(FORWARDED) not in own
    reason = None if free else why_not_context(header)
    if reason:
        raise ValueError(f"{header} {reason}")
    return header


class ProfileSubject(Strict):
    """Where a profile takes the subject from, and from nowhere else: exactly one of three.

    `{issuer}`: the user's own token, which Muster verifies. `{metadata, issuer}`: what Envoy's filter of that name has
    verified. `{header, type}`: a plain header, believed because the gateway is.
    """

    issuer: Id | None = None
    metadata: Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_.-]*$", max_length=128)] | None = None
    header: Annotated[HeaderName, AfterValidator(_subject_header)] | None = None
    type: Kind | None = None

    @model_validator(mode="after")
    def _one(self) -> ProfileSubject:
        given = {name for name in ("issuer", "metadata", "header", "type") if getattr(self, name) is not None}
        if given not in ({"issuer"}, {"issuer", "metadata"}, {"header", "type"}):
            raise ValueError("is {issuer}, {metadata, issuer} or {header, type}")
        return self


def _remedy_host(host: str) -> str:
    if not hosts.is_place(host):
        raise ValueError("is not a host in lower case, with or without a port; no scheme, path or wildcard")
    return host


class Gateway(Strict):
    """gateways.yaml: the profile of one gateway, chosen by its credential (`system:NAME`, the role gateway)."""

    title: Text
    gateway: Literal["nginx", "caddy", "traefik", "haproxy", "envoy-http", "envoy-grpc"]
    subject: ProfileSubject
    audience: Audience
    deadline_ms: Annotated[int, Field(ge=10, le=5000)] = DEADLINE_MS
    lease_seconds: Annotated[int, Field(ge=0, le=MOST_LEASE_SECONDS)] = LEASE_SECONDS
    routes: list[Id] = Field(min_length=1, max_length=256)
    remedy_hosts: list[Annotated[str, AfterValidator(_remedy_host)]] = Field(default_factory=list, max_length=64)

    @model_validator(mode="before")
    @classmethod
    def _own_deadline(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("gateway") == "envoy-grpc" and "deadline_ms" not in value:
            return {**value, "deadline_ms": GRPC_DEADLINE_MS}
        return value

    @model_validator(mode="after")
    def _has_metadata(self) -> Gateway:
        if self.subject.metadata is not None and self.gateway != "envoy-grpc":
            raise ValueError("subject.metadata is only in what envoy-grpc asks")
        return self

    def lends(self, route: Route) -> bool:
        """Whether an allow of this route may be kept at all, whatever its gate says: Envoy's gRPC keeps nothing, and
        what was stored can change without a header that shows it."""
        return self.lease_seconds != 0 and self.gateway != "envoy-grpc" and route.request_ref is None


class Gateways(RootModel[dict[Id, Gateway]]):
    """gateways.yaml"""


OPTIONAL: dict[str, type[BaseModel]] = {
    "exports": Exports,
    "entities": Entities,
    "issuers": Issuers,
    "gateways": Gateways,
    "routes": Routes,
}
"""The files of a source that need not be there; one that is not says nothing."""
