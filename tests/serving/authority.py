"""Certificates for tests, made as an authority makes them."""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate with its key; `above` are the authorities between it and the root."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    above: tuple[x509.Certificate, ...] = ()

    @property
    def pem(self) -> str:
        """The certificate, and those above it but for the root."""
        chain = (self.certificate, *self.above)
        return "".join(each.public_bytes(serialization.Encoding.PEM).decode() for each in chain)

    @property
    def key_pem(self) -> str:
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()

    @property
    def fingerprint(self) -> str:
        return self.certificate.fingerprint(hashes.SHA256()).hex()

    def write(self, folder: Path, name: str = "tls") -> tuple[Path, Path]:
        """Leave both as files: where the certificate is, and where the key."""
        folder.mkdir(exist_ok=True)
        cert, key = folder / f"{name}.crt", folder / f"{name}.key"
        for path, text in ((key, self.key_pem), (cert, self.pem)):
            new = path.with_suffix(path.suffix + ".new")
            new.touch(0o600)
            new.write_text(text)
            new.replace(path)
        return cert, key


@dataclass(slots=True)
class Authority:
    """Signs; a root of its own, or below another."""

    name: str = "Test Authority"
    below: Authority | None = None
    ends: timedelta = 30 * DAY
    own: Issued = field(init=False)

    def __post_init__(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(self.name, key, -DAY, self.ends)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        signer, signer_key = (
            (named(self.name), key) if self.below is None else (self.below.own.certificate.subject, self.below.own.key)
        )
        certificate = builder.issuer_name(signer).sign(signer_key, hashes.SHA256())
        above = () if self.below is None or self.below.below is None else (self.below.own.certificate,)
        self.own = Issued(certificate, key, above)

    @property
    def pem(self) -> str:
        """The authority's certificate."""
        return self.own.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def server(self, name: str = "localhost", ends: timedelta = 30 * DAY, begins: timedelta = -DAY) -> Issued:
        """For a service on this machine."""
        names = [x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        return self._issue(name, names, ExtendedKeyUsageOID.SERVER_AUTH, begins, ends)

    def client(
        self, name: str, dns: tuple[str, ...] = (), uris: tuple[str, ...] = (), ends: timedelta = 30 * DAY
    ) -> Issued:
        """For a caller."""
        names = [*map(x509.DNSName, dns), *map(x509.UniformResourceIdentifier, uris)]
        return self._issue(name, names, ExtendedKeyUsageOID.CLIENT_AUTH, -DAY, ends)

    def trusting(self, client: tuple[Path, Path] | None = None) -> ssl.SSLContext:
        """What a client that trusts this authority uses; with a certificate of its own, where it has one."""
        context = ssl.create_default_context(cadata=self.pem)
        if client is not None:
            context.load_cert_chain(*client)
        return context

    def _issue(
        self,
        name: str,
        names: list[x509.GeneralName],
        usage: x509.ObjectIdentifier,
        begins: timedelta,
        ends: timedelta,
    ) -> Issued:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(name, key, begins, ends).issuer_name(self.own.certificate.subject)
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        above = () if self.below is None else (self.own.certificate, *self.own.above)
        return Issued(builder.sign(self.own.key, hashes.SHA256()), key, above)


def named(name: str) -> x509.Name:
    """A name that is a common name alone."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(name: str, key: ec.EllipticCurvePrivateKey, begins: timedelta, ends: timedelta) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(named(name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins)
        .not_valid_after(now + ends)
    )
