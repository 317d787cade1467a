"""A small authority: Muster's certificate for `localhost`, and the gateway's own."""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True, slots=True)
class Authority:
    """The files of an authority, a server and a client, in one folder. A key lies beside its certificate as `.key`."""

    folder: Path

    @property
    def ca(self) -> Path:
        """Whom to believe."""
        return self.folder / "ca.pem"

    @property
    def server(self) -> Path:
        """Muster's certificate."""
        return self.folder / "server.pem"

    @property
    def client(self) -> Path:
        """The gateway's certificate."""
        return self.folder / "client.pem"

    def server_side(self) -> ssl.SSLContext:
        """A server that takes only callers with a certificate of this authority."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.server, key_of(self.server))
        context.load_verify_locations(self.ca)
        context.verify_mode = ssl.CERT_REQUIRED
        return context

    def grpc_side(self) -> grpc.ServerCredentials:
        """The same for a server of gRPC."""
        pair = (key_of(self.server).read_bytes(), self.server.read_bytes())
        return grpc.ssl_server_credentials([pair], self.ca.read_bytes(), require_client_auth=True)


def key_of(certificate: Path) -> Path:
    """The private key of a certificate's file."""
    return certificate.with_name(f"{certificate.name}.key")


def made(folder: Path) -> Authority:
    """A new authority with both certificates."""
    folder.mkdir(parents=True, exist_ok=True)
    authority = Authority(folder)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test authority")])
    ca = _begun(name, name, key).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    authority.ca.write_bytes(ca.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    for file, title in ((authority.server, "localhost"), (authority.client, "gateway")):
        own = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, title)])
        names = x509.SubjectAlternativeName([x509.DNSName(title), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        made_of = _begun(subject, name, own).add_extension(names, critical=False)
        file.write_bytes(made_of.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        key_of(file).write_bytes(
            own.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
    return authority


def _begun(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
    )
