"""Certificate and key of the service, and the authorities of its clients' certificates: read, checked, made a context.

Files are read once, and what was checked is what is used: OpenSSL gets it from memory, so a file that is replaced
meanwhile is never half taken. TLS 1.2 and 1.3 only, with the ciphers of Python's own defaults.
"""

from __future__ import annotations

import hashlib
import os
import re
import ssl
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from engine.errors import SetupError
from engine.settings import Tls

_CERT, _KEY, _CLIENT_CA = "MUSTER_TLS_CERT", "MUSTER_TLS_KEY", "MUSTER_TLS_CLIENT_CA"
_LONGEST: Final = 1 << 20
_SOON_DAYS: Final = 7
_KEY_BLOCK = re.compile(rb"-----BEGIN ([A-Z ]*PRIVATE KEY)-----.*?-----END \1-----", re.DOTALL)
_PUBLIC = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """The bytes of the files at one moment; `mark` is another whenever anything of that is."""

    cert: bytes
    key: bytes = field(repr=False)
    client_ca: bytes | None
    key_mode: int

    @classmethod
    def read(cls, tls: Tls) -> Files:
        """Read them; raises SetupError that names the setting and the file."""
        cert, _ = _read(_CERT, tls.cert)
        key, mode = _read(_KEY, tls.key)
        client_ca = _read(_CLIENT_CA, tls.client_ca)[0] if tls.client_ca is not None else None
        return cls(cert=cert, key=key, client_ca=client_ca, key_mode=stat.S_IMODE(mode))

    @property
    def mark(self) -> str:
        parts = (self.cert, self.key, self.client_ca or b"", b"%o" % self.key_mode)
        return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Files that have passed all checks, as PEM of ours. `mark` is that of the files; `notes` a person should read."""

    chain: tuple[str, ...]
    key: str = field(repr=False)
    client_ca: str | None
    mark: str
    ends_at: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What a handshake is made with. `server_cert` is PEM; `suites`: the number of each cipher suite by its name."""

    context: ssl.SSLContext
    server_cert: str
    suites: Mapping[str, int]


def checked(files: Files, tls: Tls) -> Pair:
    """Hold what was read against each other; raises SetupError with what is wrong and where."""
    if files.key_mode & 0o007:
        raise SetupError(f"{_KEY}: others may read {tls.key} (mode {files.key_mode:04o}): chmod 600 it, or 640")
    chain = _certificates(_CERT, tls.cert, files.cert)
    key = _private(tls.key, files.key)
    _fits(tls, chain, key)
    authorities = _authorities(tls, files.client_ca)
    pem = serialization.Encoding.PEM
    pair = Pair(
        chain=tuple(each.public_bytes(pem).decode() for each in chain),
        key=key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode(),
        client_ca="".join(each.public_bytes(pem).decode() for each in authorities) or None,
        mark=files.mark,
        ends_at=_instant(chain[0].not_valid_after_utc),
        notes=(*_dates(_CERT, tls.cert, chain), *_dates(_CLIENT_CA, tls.client_ca, authorities)),
    )
    offer(pair, tls)  # what OpenSSL does not take, such as a short key, is told now
    return pair


def offer(pair: Pair, tls: Tls) -> Offer:
    """A context that speaks for this pair; raises SetupError."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    made.set_alpn_protocols(["http/1.1"])
    try:
        _load(made, "".join((*pair.chain, pair.key)))
    except ssl.SSLError as exc:
        raise SetupError(f"{_CERT}: OpenSSL does not take {tls.cert} with {tls.key}: {exc.reason}") from exc
    if pair.client_ca is not None:
        try:
            made.load_verify_locations(cadata=pair.client_ca)
        except ssl.SSLError as exc:
            raise SetupError(f"{_CLIENT_CA}: OpenSSL does not take {tls.client_ca}: {exc.reason}") from exc
        made.verify_mode = ssl.CERT_REQUIRED if tls.client_required else ssl.CERT_OPTIONAL
        made.num_tickets = 0  # who comes again with a ticket would not be held against the authorities again
        made.options |= ssl.OP_NO_TICKET
    suites = {str(each["name"]): int(each["id"]) & 0xFFFF for each in made.get_ciphers()}
    return Offer(context=made, server_cert=pair.chain[0], suites=suites)


def _load(context: ssl.SSLContext, pem: str) -> None:
    """Python takes certificate and key from a path alone: a file in memory has one."""
    with os.fdopen(os.memfd_create("certificate"), "wb") as file:
        file.write(pem.encode())
        file.flush()
        context.load_cert_chain(f"/proc/self/fd/{file.fileno()}")


def _read(setting: str, path: Path) -> tuple[bytes, int]:
    """A file's bytes and mode, both of the file that was opened."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:  # a pipe is no wait
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(_LONGEST + 1) if stat.S_ISREG(mode) else b""
    except OSError as exc:
        raise SetupError(f"{setting}: {path} cannot be read: {exc.strerror}") from exc
    if not stat.S_ISREG(mode):
        raise SetupError(f"{setting}: {path} is no file")
    if not data or len(data) > _LONGEST:
        raise SetupError(f"{setting}: {path} is {'empty' if not data else f'longer than {_LONGEST} bytes'}")
    return data, mode


def _certificates(setting: str, path: Path, data: bytes) -> list[x509.Certificate]:
    try:
        found = x509.load_pem_x509_certificates(data)
        for each in found:
            each.public_key()
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise SetupError(f"{setting}: {path} holds no certificates as PEM that can be read: {exc}") from exc
    return found


def _private(path: Path, data: bytes) -> PrivateKeyTypes:
    block = _KEY_BLOCK.search(data)  # parameters, or the certificate, may stand before it
    try:
        return serialization.load_pem_private_key(block.group() if block else data, password=None)
    except TypeError as exc:
        raise SetupError(
            f"{_KEY}: the key in {path} is encrypted, and nobody is there to type its password: give it without one "
            "(openssl pkey -in KEY -out PLAIN), in a file that only the service reads"
        ) from exc
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise SetupError(f"{_KEY}: {path} holds no private key as PEM that can be read: {exc}") from exc


def _fits(tls: Tls, chain: list[x509.Certificate], key: PrivateKeyTypes) -> None:
    wanted = key.public_key().public_bytes(*_PUBLIC)
    fits = [each.public_key().public_bytes(*_PUBLIC) == wanted for each in chain]
    if not any(fits):
        raise SetupError(f"{_KEY}: the key in {tls.key} is not the one of the certificate in {tls.cert}")
    if not fits[0]:
        raise SetupError(f"{_CERT}: the service's own certificate comes first in {tls.cert}, who signed it behind it")


def _authorities(tls: Tls, data: bytes | None) -> list[x509.Certificate]:
    if data is None or tls.client_ca is None:
        return []
    if b"-----BEGIN X509 CRL-----" in data:
        raise SetupError(
            f"{_CLIENT_CA}: {tls.client_ca} holds a revocation list, which is not looked at: take it out, and end the "
            "trust in a certificate where Muster knows it"
        )
    return _certificates(_CLIENT_CA, tls.client_ca, data)


def _dates(setting: str, path: Path | None, found: list[x509.Certificate]) -> Iterator[str]:
    """What a person should know of when certificates hold: nothing of that stops a start."""
    now = datetime.now(UTC)
    for each in found:
        name = each.subject.rfc4514_string() or "without a name"
        begins, ends = each.not_valid_before_utc, each.not_valid_after_utc
        if ends <= now:
            yield f"{setting}: the certificate of {name} in {path} ended at {_instant(ends)}: it is refused"
        elif begins > now:
            yield f"{setting}: the certificate of {name} in {path} begins at {_instant(begins)}: it is refused"
        elif (ends - now).days < _SOON_DAYS:
            yield f"{setting}: the certificate of {name} in {path} ends at {_instant(ends)}"


def _instant(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
