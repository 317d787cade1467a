"""What each gateway asks, read as its profile is read: one pair of headers, the request line, or a CheckRequest."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Final

from tests.gateways.backend import Seen
from tests.gateways.pdp import ASK_PATH
from tests.gateways.wire import Message

_PAIRS: Final = {
    "nginx": ("x-original-uri", "x-original-method", "host"),
    "haproxy": ("x-original-uri", "x-original-method", "host"),
    "caddy": ("x-forwarded-uri", "x-forwarded-method", "x-forwarded-host"),
    "traefik": ("x-forwarded-uri", "x-forwarded-method", "x-forwarded-host"),
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What a gateway asked, read as its profile is read: one pair of headers, nothing else."""

    method: str
    target: str
    host: str
    key: str | None
    lines: list[tuple[str, str]]
    body: bytes

    def all(self, name: str) -> list[str]:
        """The values of all lines of a header, in order."""
        return [value for key, value in self.lines if key.lower() == name]


def asked(profile: str, message: Message) -> Asked:
    """Read an ask."""
    if profile == "envoy-grpc":
        told: dict[str, Any] = json.loads(message.body)
        lines = [(str(name), str(value)) for name, value in told["headers"]]
        keys = [str(value) for name, value in told["metadata"] if name == "muster-gateway-key"]
        return Asked(told["method"], told["path"], told["host"], keys[0] if keys else None, lines, b"x" * told["body"])
    key = message.get("muster-gateway-key")
    if profile == "envoy-http":
        assert message.target.startswith(ASK_PATH), message.first
        target, host = message.target.removeprefix(ASK_PATH), message.get("host") or ""
        return Asked(message.method, target, host, key, message.lines, message.body)
    uri, method, host = (message.get(name) or "" for name in _PAIRS[profile])
    assert message.target.partition("?")[0] == ASK_PATH, message.first
    return Asked(method, uri, host, key, message.lines, message.body)


@dataclass(slots=True)
class Exchange:
    """What happened between two moments: the asks, and what reached the application."""

    profile: str
    asks: list[Message] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)

    @property
    def asked(self) -> Asked:
        """The one ask."""
        assert len(self.asks) == 1, f"{len(self.asks)} asks: {[ask.first for ask in self.asks]}"
        return asked(self.profile, self.asks[0])

    @property
    def reached(self) -> Seen:
        """The one request that reached the application."""
        assert len(self.seen) == 1, f"{len(self.seen)} requests reached the application"
        return self.seen[0]
