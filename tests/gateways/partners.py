"""A `Gate`: a real gateway between an application and the stand-in for Muster, and what happens there."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.gateways import certificates, tools
from tests.gateways.asks import Exchange
from tests.gateways.backend import Backend
from tests.gateways.certificates import Authority, key_of
from tests.gateways.pdp import Pdp
from tests.gateways.programs import process, short_folder, written
from tests.gateways.wire import Client, Message, free_port, request, wait_until

Way = Literal["tcp", "unix", "tls"]


@dataclass(slots=True)
class Gate:
    """A running gateway with all that stands around it."""

    profile: str
    folder: Path
    address: tuple[str, int]
    backend: Backend
    pdp: Pdp
    bridge: Bridge | None = None

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
        if self.bridge is not None:
            self.bridge.stop()
        self.pdp.stop()

    def revive(self) -> None:
        """Start who answers for Muster again, where it was."""
        self.pdp.start()
        if self.bridge is not None:
            self.bridge.start()


@dataclass(slots=True)
class Bridge:
    """The program that takes Envoy's gRPC asks to the stand-in."""

    pdp: Pdp
    listen: str
    authority: Authority | None = None
    process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start; returns when it listens."""
        words = [tools.stub_python(), str(Path(__file__).with_name("grpc_bridge.py")), self.listen, str(self.pdp.port)]
        if self.authority is not None:
            words += [str(p) for p in (self.authority.ca, self.authority.server, key_of(self.authority.server))]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "listening\n"

    def stop(self) -> None:
        """End it."""
        if self.process is not None:
            self.process.kill()
            self.process.communicate(timeout=30)
            self.process = None


@contextmanager
def gate(profile: str, *more: str, way: Way = "tcp") -> Iterator[Gate]:
    """A gateway with an application behind it and the stand-in beside it, over TCP, mutual TLS or a Unix socket."""
    with short_folder() as folder:
        authority = certificates.made(folder / "tls") if way == "tls" else None
        socket = folder / "muster.sock" if way == "unix" else None
        bridged = profile == "envoy-grpc"
        tls = authority.server_side() if authority and not bridged else None
        backend, pdp = Backend(), Pdp(path=None if bridged else socket, tls=tls)
        port, at = free_port(), free_port() if bridged else pdp.port
        muster = f"unix:{socket}" if socket else f"{'https://localhost' if authority else 'http://127.0.0.1'}:{at}"
        bridge = Bridge(pdp, f"unix:{socket}" if socket else f"127.0.0.1:{at}", authority) if bridged else None
        own = _certificate(authority) if authority else []
        try:
            if bridge is not None:
                bridge.start()
            written(profile, folder, muster, f"http://127.0.0.1:{backend.port}", f"127.0.0.1:{port}", *own, *more)
            with process(profile, folder, ("127.0.0.1", port)):
                there = Gate(profile, folder, ("127.0.0.1", port), backend, pdp, bridge)
                wait_until(lambda: there.call().status == 200, f"{profile} lets through what is allowed")
                yield there
        finally:
            if bridge is not None:
                bridge.stop()
            pdp.stop()
            backend.stop()


def _certificate(authority: Authority) -> list[str]:
    client = authority.client
    return ["--tls-ca", str(authority.ca), "--tls-cert", str(client), "--tls-key", str(key_of(client))]
