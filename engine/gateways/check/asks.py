"""What a gateway asks, read as Muster reads it: one place for method, target and host, whatever else stands there.

The same places as in `engine/adapters/gateway/asks.py`, and read leniently: what is missing or double there is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from engine.gateways.check.wire import Message
from engine.gateways.wishes import ASK_PATH

Way = Literal["original", "forwarded", "line", "check"]
"""How an ask tells what it is about: X-Original-*, X-Forwarded-*, its own request line, a CheckRequest."""

WAYS: Final[Mapping[str, Way]] = {
    "nginx": "original",
    "haproxy": "original",
    "caddy": "forwarded",
    "traefik": "forwarded",
    "envoy-http": "line",
    "envoy-grpc": "check",
}
HEADERS: Final[Mapping[Way, tuple[str, str, str]]] = {
    "original": ("X-Original-URI", "X-Original-Method", "Host"),
    "forwarded": ("X-Forwarded-Uri", "X-Forwarded-Method", "X-Forwarded-Host"),
}


@dataclass(slots=True, kw_only=True)
class Check(Message):
    """A CheckRequest: `lines` are the headers that it tells of, `metadata` the headers that it came with."""

    method_told: str
    target_told: str
    host_told: str
    metadata: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked about. A value that is missing is empty; one that is there twice is joined by a comma."""

    method: str
    target: str
    host: str
    key: str | None
    lines: list[tuple[str, str]]
    body: bytes

    def all(self, name: str) -> list[str]:
        """The values of all lines of a header, in order."""
        return [value for key, value in self.lines if key.lower() == name.lower()]


def asked(way: Way, message: Message) -> Asked:
    """Read an ask."""
    if isinstance(message, Check):
        key = ", ".join(value for name, value in message.metadata if name == "muster-gateway-key")
        return Asked(
            message.method_told, message.target_told, message.host_told, key or None, message.lines, message.body
        )
    key = ", ".join(message.all("muster-gateway-key"))
    if way == "line":
        said = (message.method, message.target.removeprefix(ASK_PATH), ", ".join(message.all("host")))
    else:
        uri, method, host = (", ".join(message.all(name)) for name in HEADERS.get(way, ("", "", "")))
        said = (method, uri, host)
    return Asked(*said, key or None, message.lines, message.body)


def at(message: Message) -> str:
    """The path at which Muster was asked."""
    return ASK_PATH if isinstance(message, Check) else message.target.partition("?")[0]


def way_of(message: Message) -> Way | None:
    """How this ask tells what it is about; None where that is not to be seen, or in two ways."""
    if isinstance(message, Check):
        return "check"
    if at(message) != ASK_PATH and at(message).startswith(f"{ASK_PATH}/"):
        return "line"
    found: list[Way] = [way for way, (uri, method, _) in HEADERS.items() if message.all(uri) and message.all(method)]
    return found[0] if len(found) == 1 else None
