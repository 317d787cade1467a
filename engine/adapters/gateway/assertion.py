"""`Muster-Assertion`: a short proof, for the backend behind a gateway, that this request passed the gate.

A JWT (RFC 7519) signed by EdDSA, with a key of the tenant that is used for nothing else. A backend holds it against its
own name (`aud`), the method and the path that it serves, and refuses a call without it: then nobody gets to it around
the gateway.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from engine.access import base64url
from engine.decide.request import Request
from engine.home import Home
from ledger import canonical
from ledger.model import JSON

TYPE: Final = "muster-assertion+jwt"
SECONDS: Final = 30


@dataclass(frozen=True, slots=True)
class Assertions:
    """Signs for one tenant. `issuer` is the service's address."""

    issuer: str
    tenant: str
    key: Ed25519PrivateKey
    kid: str

    @classmethod
    def of(cls, home: Home, issuer: str, tenant: str) -> Assertions:
        """The tenant's own key, the same in every process of the home; raises SetupError."""
        key = Ed25519PrivateKey.from_private_bytes(home.derived_key(f"gateway-assertion/{tenant}"))
        return cls(issuer, tenant, key, thumbprint(key))

    def sign(self, decision_id: str, request: Request, *, audience: str, method: str, path: bytes, now_ms: int) -> str:
        """The assertion of one allow. `path` is the request's raw target up to its query."""
        header: JSON = {"alg": "EdDSA", "typ": TYPE, "kid": self.kid}
        claims: JSON = {
            "iss": self.issuer,
            "tenant": self.tenant,
            "aud": audience,
            "iat": now_ms // 1000,
            "exp": now_ms // 1000 + SECONDS,
            "jti": decision_id,
            "sub": request.subject.id,
            "sub_type": request.subject.type,
            "action": request.action,
            "htm": method,
            "path_sha256": hashlib.sha256(path).hexdigest(),
        }
        signed = b"%b.%b" % tuple(base64url.encoded(canonical.encode(part)) for part in (header, claims))
        return (signed + b"." + base64url.encoded(self.key.sign(signed))).decode("ascii")

    def jwk(self) -> dict[str, JSON]:
        """The public key (RFC 8037)."""
        return {**_public(self.key), "kid": self.kid, "alg": "EdDSA", "use": "sig"}


def thumbprint(key: Ed25519PrivateKey) -> str:
    """The name of a key (RFC 7638)."""
    return base64url.encoded(hashlib.sha256(canonical.encode(_public(key))).digest()).decode("ascii")


def _public(key: Ed25519PrivateKey) -> dict[str, JSON]:
    raw = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return {"crv": "Ed25519", "kty": "OKP", "x": base64url.encoded(raw).decode("ascii")}
