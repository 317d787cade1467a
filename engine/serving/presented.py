"""What a TLS connection says of itself, as the ASGI TLS extension (version 0.2) has it in `scope["extensions"]["tls"]`.

Of the client's chain Python gives the first certificate only. It stands there if it was verified, and not otherwise.
"""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from typing import Final, TypeAlias

from cryptography import x509

from engine.serving.certificates import Offer

Extension: TypeAlias = dict[str, object]

_VERSIONS: Final = {"TLSv1.2": 0x0303, "TLSv1.3": 0x0304}


def extension(connection: ssl.SSLObject, offer: Offer) -> tuple[Extension, float | None]:
    """The extension's fields, and for how many seconds the client's certificate still holds; None if it has none.

    Raises ValueError for a certificate that cannot be read. OpenSSL has verified it when it was first shown; of a
    session that is resumed nothing is looked at again but by the caller, who holds it to the seconds.
    """
    cipher, der = connection.cipher(), connection.getpeercert(binary_form=True)
    found: Extension = {
        "server_cert": offer.server_cert,
        "client_cert_chain": (),
        "client_cert_name": None,
        "client_cert_error": None,
        "tls_version": _VERSIONS.get(connection.version() or ""),
        "cipher_suite": offer.suites.get(cipher[0]) if cipher else None,
    }
    if not der:
        return found, None
    try:
        client = x509.load_der_x509_certificate(der)
    except x509.InvalidVersion as exc:
        raise ValueError(str(exc)) from exc
    found["client_cert_chain"] = (ssl.DER_cert_to_PEM_cert(der),)
    found["client_cert_name"] = client.subject.rfc4514_string()
    return found, (client.not_valid_after_utc - datetime.now(UTC)).total_seconds()
