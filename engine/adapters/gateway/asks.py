"""What a gateway asks about: the request that arrived there, as each kind of gateway tells it.

A profile says which gateway it is, and each tells target, method and host in one place. That place alone is read, and
has to hold exactly one value: whatever else says something similar may come from the client.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from engine.adapters.gateway.routes import Headers
from engine.bundling import hosts
from ledger.model import JSON

PREFIX: Final = b"/v1/forward-auth"
_LONGEST_METHOD: Final = 32
_LONGEST_HOST: Final = 255


@dataclass(frozen=True, slots=True)
class Ask:
    """The request at the gateway. `target` is raw, with its query; headers are as they came, names in lower case."""

    method: str
    host: str
    target: bytes
    headers: Headers


@dataclass(frozen=True, slots=True)
class Unclear:
    """The gateway did not say in one way what it asks about; `detail` names the header."""

    detail: str


@dataclass(frozen=True, slots=True)
class _Told:
    """The three headers that a kind of gateway tells it by."""

    method: bytes
    host: bytes
    target: bytes


_ORIGINAL: Final = _Told(b"x-original-method", b"host", b"x-original-uri")
_FORWARDED: Final = _Told(b"x-forwarded-method", b"x-forwarded-host", b"x-forwarded-uri")
_BY_HEADERS: Final[Mapping[str, _Told]] = {
    "nginx": _ORIGINAL,
    "haproxy": _ORIGINAL,
    "caddy": _FORWARDED,
    "traefik": _FORWARDED,
}


def told_by(kind: str) -> tuple[str, ...]:
    """The headers that a gateway of this kind tells a request by, besides the ask's own method, address and host."""
    told = _BY_HEADERS.get(kind)
    names = () if told is None else (told.method, told.host, told.target)
    return tuple(name.decode() for name in names if name != b"host")


def of_http(kind: str, method: str, path: bytes, query: bytes, headers: Headers) -> Ask | Unclear:
    """Read the ask of a gateway of this kind from the request that it sent here (method, raw path, raw query)."""
    if kind == "envoy-http":
        return _as_it_is(method, path, query, headers)
    told = _BY_HEADERS.get(kind)
    if told is None:
        return Unclear(f"a gateway of this kind ({kind}) does not ask over HTTP")
    found: list[bytes] = []
    for name, well in ((told.method, _method), (told.host, _host), (told.target, bool)):
        values = [value for given, value in headers if given == name]
        if len(values) != 1:
            return Unclear(f"{name.decode()} {'is missing' if not values else 'is there more than once'}")
        if not well(values[0]):
            return Unclear(f"{name.decode()} is not one such value")
        found.append(values[0])
    return Ask(found[0].decode("ascii"), found[1].decode("ascii"), found[2], headers)


def _as_it_is(method: str, path: bytes, query: bytes, headers: Headers) -> Ask | Unclear:
    """Envoy asks with the request's own method, and its path behind the prefix."""
    hosts = [value for name, value in headers if name == b"host"]
    if len(hosts) != 1 or not _host(hosts[0]):
        return Unclear("host is not there exactly once")
    target = path.removeprefix(PREFIX) + (b"?" + query if query else b"")
    return Ask(method, hosts[0].decode("ascii"), target, headers)


def of_attributes(method: str, host: str, target: bytes, headers: Headers) -> Ask | Unclear:
    """Read the ask from what Envoy says of the request over gRPC."""
    for name, value, well in (("method", method, _method), ("host", host, _host)):
        if not value.isascii() or not well(value.encode("ascii")):
            return Unclear(f"the request's {name} is not one such value")
    if not target:
        return Unclear("the request has no path")
    return Ask(method, host, target, headers)


def _method(value: bytes) -> bool:
    return 0 < len(value) <= _LONGEST_METHOD and value.isascii() and value.replace(b"-", b"").isalpha()


def _host(value: bytes) -> bool:
    """No comma and no blank: two names in one value are two readings."""
    return 0 < len(value) <= _LONGEST_HOST and all(33 <= c <= 126 and c != 44 for c in value)


def address(ask: Ask, named: Container[str]) -> str | None:
    """Where the request was sent, as whoever sent it can go there again; None for a host that no route names.

    Without a host of its own a route takes whatever a client writes there, and nobody is to be led to that.
    """
    if hosts.canonical(ask.host) not in named:
        return None
    schemes = [value for name, value in ask.headers if name == b"x-forwarded-proto"]
    scheme = "http" if schemes == [b"http"] else "https"
    return f"{scheme}://{ask.host.lower()}{ask.target.decode('latin-1')}"


def described(ask: Ask) -> dict[str, JSON]:
    """How a record names what was asked about: whoever has the gateway's own log finds it by the target's SHA-256.

    The target itself may name people, whom an erasure would not find in it; and a host that is none is anybody's text.
    """
    return {"host": hosts.canonical(ask.host), "method": ask.method, "target": sha256(ask.target).hexdigest()}
