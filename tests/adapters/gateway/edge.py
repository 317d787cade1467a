"""A gateway as Muster sees it: the ask that each kind sends about a request, byte for byte."""

from __future__ import annotations

import http.client
import json
import re
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.adapters.gateway import messages
from tests.access.provider import Provider
from tests.access.signing import key
from tests.service.running import Service

EXPORT = "/customers/acme/exports/customers?to=warehouse%3A%2F%2Fanalytics"
TICKET = ("X-Ticket", "REQ-1")
TOLD = {
    "nginx": ("X-Original-Method", "Host", "X-Original-URI"),
    "haproxy": ("X-Original-Method", "Host", "X-Original-URI"),
    "tokens": ("X-Original-Method", "Host", "X-Original-URI"),
    "caddy": ("X-Forwarded-Method", "X-Forwarded-Host", "X-Forwarded-Uri"),
    "traefik": ("X-Forwarded-Method", "X-Forwarded-Host", "X-Forwarded-Uri"),
}
Headers = list[tuple[str, str]]


class Stub:
    """A client of `envoy.service.auth.v3.Authorization`."""

    def __init__(self, channel: Any) -> None:
        self.Check = channel.unary_unary(
            f"/{messages.SERVICE}/Check",
            request_serializer=messages.CheckRequest.SerializeToString,
            response_deserializer=messages.CheckResponse.FromString,
        )


@dataclass(frozen=True, slots=True)
class Got:
    """An answer: all header lines as they came, names in lower case."""

    status: int
    headers: Headers
    body: bytes

    def header(self, name: str) -> str | None:
        """A header that is there at most once."""
        found = [value for given, value in self.headers if given == name.lower()]
        assert len(found) <= 1, f"{name} is there {len(found)} times"
        return found[0] if found else None

    @property
    def decision(self) -> str:
        """The decision's ID."""
        found = self.header("Muster-Decision-Id")
        assert found is not None
        return found

    @property
    def problem(self) -> dict[str, Any]:
        """The problem document."""
        assert self.header("Content-Type") == "application/problem+json"
        found: dict[str, Any] = json.loads(self.body)
        return found


@dataclass(slots=True)
class Edge:
    """A running service, and the keys of its gateways."""

    service: Service
    provider: Provider
    check: str
    socket: Path
    keys: dict[str, str]

    def raw(self, method: str, path: str, headers: Headers, body: bytes = b"", *, by: Path | None = None) -> Got:
        """One request with exactly these header lines; `by` a Unix socket."""
        connection = http.client.HTTPConnection(re.sub(r"^http://", "", self.service.url), timeout=30)
        if by is not None:
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.connect(str(by))
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in headers:
                connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            lines = [(name.lower(), value) for name, value in answer.getheaders()]
            return Got(answer.status, lines, answer.read())
        finally:
            connection.close()

    def ask(
        self,
        gateway: str = "nginx",
        user: str | None = None,
        *,
        method: str = "POST",
        target: str = EXPORT,
        host: str = "api.example",
        more: Headers | None = None,
    ) -> Got:
        """What a gateway asks about a request of a user."""
        headers: Headers = [("Muster-Gateway-Key", self.keys[gateway]), *(more if more is not None else [TICKET])]
        if user is not None:
            headers.append(("X-User", user))
        if gateway == "envoy-http":
            return self.raw(method, "/v1/forward-auth" + target, [("Host", host), *headers])
        by_method, by_host, by_target = TOLD[gateway]
        own = [("Host", "muster.internal")] if by_host != "Host" else []
        told = [(by_host, host), *own, (by_method, method), (by_target, target)]
        return self.raw("GET", "/v1/forward-auth", [*told, *headers])

    def bearer(self, user: str, **claims: Any) -> tuple[str, str]:
        """The header with a token of a user."""
        now = int(time.time())
        told = {"iss": self.provider.issuer, "aud": "api", "sub": user, "iat": now, "exp": now + 60, **claims}
        return "Authorization", f"Bearer {key('one', 'ES256').token({k: v for k, v in told.items() if v is not ...})}"

    def record(self, decision: str) -> dict[str, Any]:
        """The record of a decision."""
        found: dict[str, Any] = self.service.call("auditor", "GET", f"/v1/decisions/{decision}")
        return found

    def size(self) -> int:
        """How many entries the log has."""
        return int(self.service.call("auditor", "GET", "/v1/ledger/head")["size"])
