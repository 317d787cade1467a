"""A Muster that speaks TLS, and a caller that trusts its authority."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from cryptography import x509

from tests.service.running import Service
from tests.serving.answering import connect
from tests.serving.authority import Authority, Issued
from tests.serving.fleet import Fleet


@dataclass(slots=True)
class Secure(Fleet):
    """See Service and Fleet; each request has a connection of its own, with the client's certificate if it has one."""

    authority: Authority = field(default_factory=Authority)
    client: tuple[Path, Path] | None = None

    @classmethod
    def of(cls, service: Service, *arguments: str) -> Secure:
        """A service that has not been started, with a pair in a folder beside its home."""
        made = cls(home=service.home, env=service.env, tokens=service.tokens, arguments=("serve", *arguments))
        cert, key = made.renew()
        made.env |= {"MUSTER_TLS_CERT": str(cert), "MUSTER_TLS_KEY": str(key)}
        return made

    @property
    def folder(self) -> Path:
        """Where the pair is."""
        return self.home.parent / "tls"

    @property
    def context(self) -> ssl.SSLContext:
        return self.authority.trusting(self.client)

    def issued(self) -> Issued:
        """Another certificate for the service, nowhere yet."""
        return self.authority.server()

    def renew(self) -> tuple[Path, Path]:
        """Put another pair in the place of the one that is there."""
        return self.issued().write(self.folder)

    def http(self, method: str, path: str, *, role: str | None = None, **more: Any) -> httpx.Response:
        """One request, under the token of a role."""
        headers = dict(more.pop("headers", {}))
        if role is not None:
            headers["Authorization"] = f"Bearer {self.token(role)}"
        return httpx.request(method, self.url + path, headers=headers, timeout=30, verify=self.context, **more)

    def connect(self, *, secure: bool = True) -> socket.socket:
        """A connection of a test's own."""
        port = urlsplit(self.url).port
        assert port is not None
        return connect(port, self.context if secure else None)

    def serial(self) -> int:
        """Of the certificate that a new connection meets."""
        with self.connect() as connection:
            assert isinstance(connection, ssl.SSLSocket)
            return x509.load_der_x509_certificate(connection.getpeercert(True) or b"").serial_number

    def log(self) -> str:
        """What the service has written for its operator."""
        return (self.home.parent / f"{self.home.name}.log").read_text()


def serial_of(path: Path) -> int:
    """Of the certificate in a file."""
    return x509.load_pem_x509_certificates(path.read_bytes())[0].serial_number
