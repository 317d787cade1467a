"""An identity provider of the tests' own, over real TLS: it answers as a test tells it to, and counts who asks."""

from __future__ import annotations

import datetime
import ipaddress
import json
import ssl
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from engine.access.discovery import WELL_KNOWN
from tests.access.signing import SigningKey, key_set

Act: TypeAlias = "Callable[[Handler], None]"
REALM = "/realms/company"


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        """Answer as the provider is told to."""
        provider = self.server.provider
        provider.asked.append(self.path)
        provider.headers.append(dict(self.headers.items()))
        provider.acts.get(self.path, _nothing)(self)

    def answer(self, body: bytes, status: int = 200, **headers: str) -> None:
        """A whole answer."""
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class calls it so
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    provider: Provider

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away, or that does not trust us, is what some tests are about."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class Provider:
    """The provider at `https://127.0.0.1:PORT/realms/company`; `acts` are its answers by path."""

    def __init__(self, certificate: Path | None, *keys: SigningKey) -> None:
        self.keys: list[SigningKey | dict[str, Any]] = list(keys)
        self.fresh: dict[str, str] = {}
        """Headers of the answer that brings the key set."""
        self.asked: list[str] = []
        self.headers: list[dict[str, str]] = []
        self._certificate = certificate
        self._server = _Server(("127.0.0.1", 0), Handler)
        self._server.provider = self
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        scheme = "http" if certificate is None else "https"
        self.origin = f"{scheme}://127.0.0.1:{self._server.server_address[1]}"
        self.issuer = self.origin + REALM
        self.says: dict[str, Any] = {"issuer": self.issuer, "jwks_uri": f"{self.issuer}/certs"}
        self.acts: dict[str, Act] = {
            REALM + WELL_KNOWN: lambda h: h.answer(json.dumps(self.says).encode()),
            f"{REALM}/certs": lambda h: h.answer(key_set(*self.keys), 200, **self.fresh),
        }
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def fetches(self) -> int:
        """How often the key set was asked for."""
        return self.asked.count(f"{REALM}/certs")

    def certs(self, act: Act) -> None:
        """From now on the key set is answered so."""
        self.acts[f"{REALM}/certs"] = act

    def discovery(self, act: Act) -> None:
        """From now on the discovery document is answered so."""
        self.acts[REALM + WELL_KNOWN] = act

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _nothing(handler: Handler) -> None:
    handler.answer(b"{}", 404)


def after(seconds: float, body: bytes) -> Act:
    """An answer that takes its time; the thread is a daemon and may outlive the test."""

    def act(handler: Handler) -> None:
        time.sleep(seconds)
        with suppress(OSError):
            handler.answer(body)

    return act


def dripping(handler: Handler) -> None:
    """An answer of which one byte comes every twentieth of a second, for a minute at most."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1200")
    handler.end_headers()
    with suppress(OSError):
        for _ in range(1200):
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(0.05)


def certificates(folder: Path) -> tuple[Path, Path]:
    """An authority's certificate, and a server's certificate and key for 127.0.0.1 that it signed."""
    authority, server = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root = _certificate("Tests' authority", authority, "Tests' authority", authority, is_authority=True)
    leaf = _certificate("127.0.0.1", server, "Tests' authority", authority, is_authority=False)
    ca_file, chain = folder / "authority.pem", folder / "server.pem"
    ca_file.write_bytes(root.public_bytes(Encoding.PEM))
    secret = server.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    chain.write_bytes(leaf.public_bytes(Encoding.PEM) + secret)
    return ca_file, chain


def _certificate(
    name: str, key: ec.EllipticCurvePrivateKey, by: str, signer: ec.EllipticCurvePrivateKey, *, is_authority: bool
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, by)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if not is_authority:
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
    return builder.sign(signer, hashes.SHA256())
