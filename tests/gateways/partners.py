"""A `Gate`: a real gateway between an application and the stand-in for Muster, and what happens there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engine.gateways.check.backend import Backend
from engine.gateways.check.envoy import GrpcPdp
from engine.gateways.check.pdp import HttpPdp
from engine.gateways.check.wire import Client, Message, request
from tests.gateways import certificates
from tests.gateways.asks import Exchange
from tests.gateways.certificates import Authority, key_of
from tests.gateways.programs import process, short_folder, written
from tests.gateways.waiting import wait_until
from tests.ports import free_port

Way = Literal["tcp", "unix", "tls"]


@dataclass(slots=True)
class Gate:
    """A running gateway with all that stands around it."""

    profile: str
    folder: Path
    address: tuple[str, int]
    backend: Backend
    pdp: HttpPdp | GrpcPdp

    @contextmanager
    def watch(self) -> Iterator[Exchange]:
        """What is asked and what reaches the application within the block."""
        exchange = Exchange(self.profile)
        asks, seen = len(self.pdp.asks), len(self.backend.seen)
        yield exchange
        exchange.asks, exchange.ids = self.pdp.asks[asks:], self.pdp.ids[asks:]
        exchange.seen = self.backend.seen[seen:]

    def call(self, raw: bytes | None = None, *, head_only: bool = False) -> Message:
        """One request on a connection of its own."""
        with Client(self.address) as client:
            client.send(request() if raw is None else raw)
            return client.answer(head_only=head_only)

    def refused_or(self, raw: bytes, *, head_only: bool = False) -> Message | None:
        """One request that the gateway may also end by closing the connection: None then."""
        try:
            return self.call(raw, head_only=head_only)
        except (ValueError, ConnectionError, TimeoutError):
            return None

    def die(self) -> None:
        """End who answers for Muster."""
        self.pdp.stop()

    def revive(self) -> None:
        """Start who answers for Muster again, where it was."""
        self.pdp.start()


@contextmanager
def gate(profile: str, *more: str, way: Way = "tcp") -> Iterator[Gate]:
    """A gateway with an application behind it and the stand-in beside it, over TCP, mutual TLS or a Unix socket."""
    with short_folder() as folder:
        authority = certificates.made(folder / "tls") if way == "tls" else None
        socket = folder / "muster.sock" if way == "unix" else None
        backend, pdp = Backend(), standing_in(profile, socket, authority)
        port, host = free_port(), "https://localhost" if authority else "http://127.0.0.1"
        muster = f"unix:{socket}" if socket else f"{host}:{pdp.port}"
        own = _certificate(authority) if authority else []
        try:
            written(profile, folder, muster, f"http://127.0.0.1:{backend.port}", f"127.0.0.1:{port}", *own, *more)
            with process(profile, folder, ("127.0.0.1", port)):
                there = Gate(profile, folder, ("127.0.0.1", port), backend, pdp)
                wait_until(lambda: there.call().status == 200, f"{profile} lets through what is allowed")
                yield there
        finally:
            pdp.stop()
            backend.stop()


def standing_in(profile: str, path: Path | None, authority: Authority | None) -> HttpPdp | GrpcPdp:
    """The stand-in that this gateway asks."""
    if profile == "envoy-grpc":
        return GrpcPdp(path=path, credentials=authority.grpc_side() if authority else None)
    return HttpPdp(path=path, tls=authority.server_side() if authority else None)


def _certificate(authority: Authority) -> list[str]:
    client = authority.client
    return ["--tls-ca", str(authority.ca), "--tls-cert", str(client), "--tls-key", str(key_of(client))]
