"""The client's certificate of a TLS connection, as far as it says who is calling.

It stands in the scope only if one of the authorities of `MUSTER_TLS_CLIENT_CA` signed it and it holds; who has ended or
never had one is nobody here. Which principal it stands for is for whoever asks to know.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID
from starlette.types import Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCertificate:
    """Names are as the certificate spells them, host names in lower case.

    `fingerprint` is the SHA-256 of the certificate's bytes (DER) in lower-case hex. `common_name` is None as well where
    the subject has several: then none of them is the one.
    """

    fingerprint: str
    common_name: str | None
    dns: tuple[str, ...]
    uris: tuple[str, ...]


def presented(scope: Scope) -> ClientCertificate | None:
    """The verified certificate of whoever made this connection; None if it showed none, or does not speak TLS."""
    extensions: Any = scope.get("extensions")
    tls: Any = extensions.get("tls") if isinstance(extensions, dict) else None
    chain: Iterable[str] = tls.get("client_cert_chain", ()) if isinstance(tls, dict) else ()
    if not chain or tls.get("client_cert_error") is not None:
        return None
    return _read(next(iter(chain)))


@lru_cache(maxsize=1024)
def _read(pem: str) -> ClientCertificate:
    found = x509.load_pem_x509_certificate(pem.encode())
    names = [str(each.value) for each in found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    try:
        others: Any = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):  # nothing that could be read is nothing that could be matched
        others = None
    return ClientCertificate(
        fingerprint=found.fingerprint(hashes.SHA256()).hex(),
        common_name=names[0] if len(names) == 1 else None,
        dns=tuple(each.lower() for each in others.get_values_for_type(x509.DNSName)) if others else (),
        uris=tuple(others.get_values_for_type(x509.UniformResourceIdentifier)) if others else (),
    )
