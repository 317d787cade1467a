"""A stand-in for Muster: keeps every ask byte for byte, and answers as it is told.

It stands where Muster will: `/v1/forward-auth` on TCP, TLS or a Unix socket; `grpc_bridge` brings it Envoy's gRPC asks.
With it a gateway's own behaviour can be tested where Muster would never say such a thing (a cut body, 204, silence).
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from engine.gateways.check.server import Server
from engine.gateways.check.wire import Message, Reader

ASK_PATH: Final = "/v1/forward-auth"
REMEDY: Final = "https://learn.example/modules/secure-data-export"

How = Literal["answer", "close", "silence", "garbage", "cut"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is answered: a status with headers and a body, or none that could be understood."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    how: How = "answer"


def problem(status: int, code: str, title: str) -> str:
    """A problem document on one line, as Muster writes it."""
    document = {
        "type": f"https://muster.example/problems/{code}",
        "title": title,
        "status": status,
        "code": code,
        "detail": "Renew your certification, then try again.",
        "remedy": REMEDY,
    }
    return json.dumps(document, separators=(",", ":"))


def refused(status: int, code: str, title: str, **more: str) -> Plan:
    """An answer of Muster's that is no allow, with its document as body and in one header line."""
    document = problem(status, code, title)
    headers = {"Content-Type": "application/problem+json", "Muster-Problem": document, **more}
    return Plan(status=status, headers=headers, body=document)


ALLOW: Final = Plan()
DENY: Final = refused(403, "scope_expired", "Your certification has ended")
UNKNOWN: Final = refused(401, "no_identity", "Who are you?", **{"WWW-Authenticate": 'Bearer realm="muster"'})
UNDECIDED: Final = refused(503, "undecided", "Could not decide", **{"Retry-After": "7"})
REDIRECT: Final = refused(303, "scope_expired", "Your certification has ended", Location=REMEDY)
REDIRECT_NGINX: Final = refused(403, "scope_expired", "Your certification has ended", Location=REMEDY)
"""nginx cannot pass a 3xx of an ask: it is told 403 with a Location."""


class Pdp(Server):
    """Answers by its plan; every answer that can be understood carries a decision's ID and an assertion."""

    def __init__(self, *, path: Path | None = None, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(path=path, tls=tls)
        self.asks: list[Message] = []
        self.plan = ALLOW
        self.rule: Callable[[Message], Plan] | None = None
        self.ids: list[str] = []
        self._go = threading.Event()
        self.start()

    @contextmanager
    def answering(self, plan: Plan) -> Iterator[None]:
        """Answer so for a while; who is kept in silence then gets its connection closed."""
        before, self.plan = self.plan, plan
        self._go = threading.Event()
        try:
            yield
        finally:
            self.plan = before
            self._go.set()

    def answer(self, connection: socket.socket, reader: Reader, message: Message) -> bool:
        """One ask. A body that is promised is not waited for: Muster's hook reads none."""
        if message.get("muster-test-bridge") is not None:
            message.body = reader.body(message)  # the bridge sends the whole CheckRequest
        plan = self.rule(message) if self.rule is not None else self.plan
        go, decision = self._go, str(uuid.uuid4())
        with self.lock:
            self.asks.append(message)
            self.ids.append(decision)
        if plan.how == "silence":
            go.wait(30)
            return False
        if plan.how == "close":
            return False
        if plan.how == "garbage":
            connection.sendall(b"\x00\x01garbage\r\n\r\n" * 8)
            return False
        with contextlib.suppress(BrokenPipeError):
            connection.sendall(_bytes(plan, decision))
        return plan.how != "cut"


def _bytes(plan: Plan, decision: str) -> bytes:
    headers = {"Muster-Decision-Id": decision, "Muster-Assertion": f"assertion.of.{decision}", **plan.headers}
    headers = {name: value for name, value in headers.items() if value}
    body = plan.body.encode()
    promised = len(body) + (100 if plan.how == "cut" else 0)
    lines = [f"HTTP/1.1 {plan.status} Told", *(f"{name}: {value}" for name, value in headers.items())]
    if plan.status not in {204, 304}:
        lines.append(f"Content-Length: {promised}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + (b"" if plan.status in {204, 304} else body)
