"""Who is asking at a gateway: from the one source that its profile names, and from nowhere else."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from engine.access import jwt
from engine.access.keysets import NoKeys
from engine.access.users import Users
from engine.adapters.gateway.profiles import Profile
from engine.adapters.gateway.routes import Headers, plain
from engine.decide.request import Entity
from ledger import instants
from ledger.model import JSON

_NAME: Final = re.compile(r"[!-+\--~](?:[ -+\--~]{0,253}[!-+\--~])?")
"""Visible ASCII and blanks inside, without a comma: a gateway may have joined two headers by one."""

Claims: TypeAlias = Mapping[str, JSON]


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A subject, how a record names what says so, and when that ends by its own word (milliseconds since 1970)."""

    subject: Entity
    identity: dict[str, JSON]
    until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Nobody:
    """No identity, or one that is not believed; `detail` is fit for a caller."""

    code: Literal["no_identity", "bad_identity"]
    detail: str


def of(
    profile: Profile, users: Users, tenant: str, headers: Headers, claims: Claims | None, now_ms: int
) -> Known | Nobody | NoKeys:
    """The subject of a request, from its headers, or from what Envoy has verified; NoKeys where it cannot be told now.

    `now_ms`: milliseconds since 1970.
    """
    said = profile.said.subject
    if said.metadata is not None:
        if claims is None:
            return Nobody("no_identity", "the gateway has verified no token")
        return _believed(jwt.vouched(claims, profile.issuers[0], now_ms))
    if said.header is not None:
        assert said.type is not None
        return _named(said.header.encode(), said.type, headers)
    token = _bearer([value for name, value in headers if name == b"authorization"])
    if isinstance(token, Nobody):
        return token
    result = users.verify(tenant, profile.issuers, token, now_ms)
    return result if isinstance(result, NoKeys) else _believed(result)


def _believed(result: jwt.Verified | jwt.Refused) -> Known | Nobody:
    if isinstance(result, jwt.Refused):
        return Nobody("bad_identity", result.detail)
    subject = Entity(type=result.subject_type, id=result.subject_id)
    return Known(subject=subject, identity=result.evidence(), until_ms=instants.parse(result.expires_at))


def _bearer(values: Sequence[bytes]) -> str | Nobody:
    if len(values) > 1:
        return Nobody("bad_identity", "the request has more than one Authorization header")
    scheme, _, token = (values[0] if values else b"").partition(b" ")
    if scheme.lower() != b"bearer" or not token.strip():
        return Nobody("no_identity", "send `Authorization: Bearer TOKEN`")
    return token.strip().decode("latin-1")


def _named(header: bytes, kind: str, headers: Headers) -> Known | Nobody:
    """A plain header, believed because the gateway is: there once, by its exact name, with one name in it."""
    values = [value for name, value in headers if name == header]
    if any(name != header and plain(name) == header for name, _ in headers):
        return Nobody("bad_identity", f"{header.decode()} is there under another spelling as well")
    if len(values) > 1:
        return Nobody("bad_identity", f"{header.decode()} is there more than once")
    text = values[0].strip(b" \t").decode("latin-1") if values else ""
    if not text:
        return Nobody("no_identity", "the gateway names nobody")
    if not _NAME.fullmatch(text):
        return Nobody("bad_identity", f"{header.decode()} is not one name")
    return Known(subject=Entity(type=kind, id=text), identity={"header": header.decode()})
