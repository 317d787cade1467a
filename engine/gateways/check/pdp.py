"""A stand-in for Muster: keeps every ask byte for byte, and answers as it is told.

It stands where Muster stands: `/v1/forward-auth` on TCP, TLS or a Unix socket; `envoy` is the same over gRPC. With it a
gateway is seen where Muster would never say such a thing (a cut body, 204, silence, nothing).
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
from typing import Final, Literal, Protocol

from engine.gateways.check.server import Server
from engine.gateways.check.wire import Message, Reader

REMEDY: Final = "https://learn.example/modules/secure-data-export"
_SILENCE: Final = 30.0

How = Literal["answer", "close", "silence", "garbage", "cut", "empty"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is answered: a status with headers and a body, or none that could be understood."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    """A header with an empty value is left out."""
    body: str = ""
    how: How = "answer"
    after: float = 0.0
    """Seconds until then."""

    @property
    def allows(self) -> bool:
        """Whether this is what Muster says for an allow."""
        return self.how == "answer" and self.status == 200


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
BARE: Final = Plan(headers={"Muster-Decision-Id": "", "Muster-Assertion": ""})
"""200 of somebody who is not Muster."""
DENY: Final = refused(403, "scope_expired", "Your certification has ended")
UNKNOWN: Final = refused(401, "no_identity", "Who are you?", **{"WWW-Authenticate": 'Bearer realm="muster"'})
UNDECIDED: Final = refused(503, "undecided", "Could not decide", **{"Retry-After": "7"})


class Pdp(Protocol):
    """Whoever answers for Muster, by HTTP or gRPC."""

    asks: list[Message]
    ids: list[str]
    plans: list[Plan]

    @property
    def connections(self) -> int:
        """How many have been opened."""

    def start(self) -> None:
        """Listen; raises OSError."""

    def stop(self) -> None:
        """End: nobody listens any more, and all connections are closed."""

    def cut(self) -> None:
        """Close the connections, and go on listening."""

    def answering(self, plan: Plan) -> contextlib.AbstractContextManager[None]:
        """Answer so for a while; who is kept in silence then hears that nothing comes."""


class Answers:
    """Which answer comes next, and all that have been given; every one that can be understood has a decision's ID."""

    def __init__(self) -> None:
        self.asks: list[Message] = []
        self.ids: list[str] = []
        self.plans: list[Plan] = []
        self.plan = ALLOW
        self.rule: Callable[[Message], Plan] | None = None
        self._go = threading.Event()
        self._giving = threading.Lock()

    @contextmanager
    def answering(self, plan: Plan) -> Iterator[None]:
        """Answer so for a while; who is kept in silence then hears that nothing comes."""
        before, self.plan = self.plan, plan
        self._go = threading.Event()
        try:
            yield
        finally:
            self.plan = before
            self._go.set()

    def give(self, message: Message) -> tuple[Plan, str]:
        """The answer to an ask, when its time has come, and its decision's ID."""
        plan = self.rule(message) if self.rule is not None else self.plan
        go, decision = self._go, str(uuid.uuid4())
        with self._giving:
            self.asks.append(message)
            self.ids.append(decision)
            self.plans.append(plan)
        if plan.how == "silence" or plan.after:
            go.wait(plan.after or _SILENCE)
        return plan, decision


class HttpPdp(Answers, Server):
    """Answers over HTTP. A body that an ask promises is not waited for, and its connection closed: so does Muster."""

    def __init__(
        self, *, host: str = "127.0.0.1", port: int = 0, path: Path | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        Answers.__init__(self)
        Server.__init__(self, host=host, port=port, path=path, tls=tls)
        self.foreign = False
        """Whether somebody spoke HTTP/2 here, as gRPC does."""
        self.start()

    def answer(self, connection: socket.socket, _: Reader, message: Message) -> bool:
        """One ask."""
        if message.first.startswith("PRI * HTTP/2"):
            self.foreign = True
            return False
        plan, decision = self.give(message)
        if plan.how in {"silence", "close", "empty"}:
            return False
        if plan.how == "garbage":
            connection.sendall(b"\x00\x01garbage\r\n\r\n" * 8)
            return False
        with contextlib.suppress(BrokenPipeError):
            connection.sendall(_bytes(plan, decision))
        return plan.how != "cut" and not promises_body(message)


def promises_body(message: Message) -> bool:
    """Whether a body is to come after this head."""
    return bool(message.all("transfer-encoding")) or any(value != "0" for value in message.all("content-length"))


def told(plan: Plan, decision: str) -> dict[str, str]:
    """The headers of an answer."""
    headers = {"Muster-Decision-Id": decision, "Muster-Assertion": assertion_of(decision), **plan.headers}
    return {name: value for name, value in headers.items() if value}


def assertion_of(decision: str) -> str:
    """What stands for the proof that goes with a decision."""
    return f"assertion.of.{decision}"


def _bytes(plan: Plan, decision: str) -> bytes:
    body = plan.body.encode()
    promised = len(body) + (100 if plan.how == "cut" else 0)
    lines = [f"HTTP/1.1 {plan.status} Told", *(f"{name}: {value}" for name, value in told(plan, decision).items())]
    if plan.status not in {204, 304}:
        lines.append(f"Content-Length: {promised}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + (b"" if plan.status in {204, 304} else body)
