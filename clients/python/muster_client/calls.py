"""A call before it is sent: what is asked, by which token, and where tokens may go."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import urlencode, urlsplit

from muster_client.errors import Refused, Undecided

Token: TypeAlias = str | Callable[[], str]
_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")


@dataclass(frozen=True, slots=True)
class Entity:
    """A subject or a resource."""

    type: str
    id: str
    properties: Mapping[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """As the API takes it."""
        return {"type": self.type, "id": self.id, "properties": dict(self.properties)}


@dataclass(frozen=True, slots=True)
class Call:
    """Method, target, headers and body."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


def decide(
    subject: str | Entity, action: str, resource: Entity, context: Mapping[str, Any] | None, more: Mapping[str, str]
) -> Call:
    """`POST /v1/decisions`; a subject that is a text is the ID of a user. Raises Refused and TypeError."""
    asked = {
        "subject": _whom(subject).document(),
        "action": {"name": action},
        "resource": resource.document(),
        "context": dict(context or {}),
    }
    return _post("/v1/decisions", asked, more)


def store(
    subject: str | Entity,
    action: str,
    resource: Entity,
    context: Mapping[str, Any] | None,
    expires_in: str | None,
    more: Mapping[str, str],
) -> Call:
    """`POST /v1/requests`; a subject that is a text is the ID of a user. Raises Refused and TypeError."""
    whom = _whom(subject)
    asked = {
        "subject": {"type": whom.type, "id": whom.id},
        "action": {"name": action},
        "resource": resource.document(),
        "context": dict(context or {}),
        **({"expires_in": expires_in} if expires_in is not None else {}),
    }
    return _post("/v1/requests", asked, more)


def certified(user: str, scope: str, tier: str | None, within: str | None, more: Mapping[str, str]) -> Call:
    """`GET /v1/is-certified`."""
    asked = {"user": user, "scope": scope, "tier": tier, "within": within}
    return _get("/v1/is-certified", asked, more)


def next_required_training(user: str, action: str, more: Mapping[str, str]) -> Call:
    """`GET /v1/next-required-training`."""
    return _get("/v1/next-required-training", {"user": user, "action": action}, more)


def once(key: str | None) -> dict[str, str]:
    """The header by which a call that is sent again has its effect once; raises ValueError."""
    if key is not None and not _REQUEST_ID.fullmatch(key):
        raise ValueError("an Idempotency-Key is 1 to 128 visible characters of ASCII")
    return {"Idempotency-Key": key} if key is not None else {}


def headers(token: Token, request_id: str | None) -> dict[str, str]:
    """Who asks, and the ID of the request that it is asked for, if that can be one; raises Undecided."""
    try:
        text = (token if isinstance(token, str) else token()).strip()
    except (OSError, ValueError) as exc:
        raise Undecided("no-token", f"the token could not be read: {exc}") from exc
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise Undecided("no-token", "the token is empty, or has characters that no token has")
    given = {"X-Request-ID": request_id} if request_id is not None and _REQUEST_ID.fullmatch(request_id) else {}
    return {"Authorization": f"Bearer {text}", "Accept": "application/json", "Accept-Encoding": "identity", **given}


def base_url(url: str, *, plain_http: bool) -> str:
    """The address without a slash at its end; raises ValueError where a token would go over a network in the clear."""
    parts = urlsplit(url)
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise ValueError("the service's address is https://HOST, http://LOOPBACK:PORT, or goes with uds=PATH")
    if parts.scheme == "http" and not plain_http and not _loopback(parts.hostname):
        raise ValueError(f"{parts.hostname} is not this machine: use https, or plain_http=True on a network you trust")
    return url.rstrip("/")


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _whom(subject: str | Entity) -> Entity:
    return Entity("user", subject) if isinstance(subject, str) else subject


def _post(path: str, asked: Mapping[str, Any], more: Mapping[str, str]) -> Call:
    try:
        body = json.dumps(asked, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except ValueError as exc:
        raise Refused("refused", f"the question is no JSON: {exc}") from exc
    return Call("POST", path, {**more, "Content-Type": "application/json"}, body)


def _get(path: str, asked: Mapping[str, str | None], more: Mapping[str, str]) -> Call:
    query = urlencode({name: value for name, value in asked.items() if value is not None})
    return Call("GET", f"{path}?{query}", more, b"")
