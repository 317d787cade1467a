"""What the service itself signs: JWTs (RFC 7519) by Ed25519, with a key of the home for each purpose."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from engine.access import base64url
from engine.home import Home
from ledger import canonical
from ledger.model import JSON


@dataclass(frozen=True, slots=True)
class Signer:
    """One key. `jwk` is its public half (RFC 8037), named by its thumbprint (RFC 7638)."""

    key: Ed25519PrivateKey
    jwk: dict[str, JSON] = field(init=False)

    def __post_init__(self) -> None:
        """Name the key."""
        raw = self.key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        public: dict[str, JSON] = {"crv": "Ed25519", "kty": "OKP", "x": _text(raw)}
        kid = _text(hashlib.sha256(canonical.encode(public)).digest())
        object.__setattr__(self, "jwk", {**public, "kid": kid, "alg": "EdDSA", "use": "sig"})

    @classmethod
    def of(cls, home: Home, purpose: str) -> Signer:
        """The home's key for a purpose, and for no other: what it signs cannot pass for anything else.

        Raises SetupError where the home's key cannot be read.
        """
        return cls(Ed25519PrivateKey.from_private_bytes(home.derived_key(purpose)))

    def token(self, typ: str, claims: Mapping[str, JSON]) -> str:
        """A signed token of these claims."""
        header: JSON = {"alg": "EdDSA", "typ": typ, "kid": self.jwk["kid"]}
        parts = (canonical.encode(header), canonical.encode(dict(claims)))
        signed = b".".join(base64url.encoded(part) for part in parts)
        return f"{signed.decode()}.{_text(self.key.sign(signed))}"


def _text(data: bytes) -> str:
    return base64url.encoded(data).decode()
