"""Who issues badges: a key of the home, and the public address that their IDs begin with.

A badge is a compact JWS (Open Badges 3.0, section 8.2: the payload is the credential itself, with the registered claims
beside it), signed with EdDSA (RFC 8037). Ed25519 is deterministic: a badge made again from the ledger is the same text.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from engine.errors import BadRequest, SetupError
from ledger import canonical, strict
from ledger.errors import StrictError
from ledger.model import JSON

MOST_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """One issuer; `base` is where the service is reached from outside, without a slash at its end."""

    key: Ed25519PrivateKey
    base: str
    tenant: str

    @property
    def id(self) -> str:
        """The issuer's address."""
        return f"{self.base}/badges/{self.tenant}/issuer"

    def url(self, *parts: str) -> str:
        """An address of this issuer."""
        return "/".join((f"{self.base}/badges/{self.tenant}", *parts))

    def jwk(self) -> dict[str, JSON]:
        """The public key (RFC 8037), named by its thumbprint (RFC 7638)."""
        raw = self.key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        public: dict[str, JSON] = {"crv": "Ed25519", "kty": "OKP", "x": _encoded(raw)}
        return {**public, "kid": _encoded(hashlib.sha256(canonical.encode(public)).digest()), "alg": "EdDSA"}

    def profile(self) -> dict[str, JSON]:
        """The issuer as badges name it."""
        return {"id": self.id, "type": ["Profile"], "name": f"Muster ({self.tenant})", "url": self.base}

    def sign(self, credential: dict[str, JSON], *, typ: str = "JWT") -> str:
        """A credential as a compact JWS."""
        jwk = self.jwk()
        header: JSON = {"alg": "EdDSA", "typ": typ, "jwk": {k: v for k, v in jwk.items() if k != "alg"}}
        signed = f"{_encoded(canonical.encode(header))}.{_encoded(canonical.encode(credential))}"
        return f"{signed}.{_encoded(self.key.sign(signed.encode()))}"

    def read(self, token: str) -> dict[str, JSON]:
        """The credential in a JWS that this issuer signed; raises BadRequest for anything else."""
        if len(token) > MOST_BYTES or token.count(".") != 2:
            raise BadRequest("this is not a badge: expected a compact JWS")
        signed, _, signature = token.rpartition(".")
        try:
            self.key.public_key().verify(_decoded(signature), signed.encode())
            header, payload = (strict.read(_decoded(part), max_bytes=MOST_BYTES) for part in signed.split("."))
        except (InvalidSignature, ValueError, StrictError) as exc:
            raise BadRequest("this badge was not signed here, or it was changed") from exc
        if not isinstance(payload, dict) or not isinstance(header, dict) or header.get("alg") != "EdDSA":
            raise BadRequest("this badge was not signed here, or it was changed")
        return payload


def load_key(path: Path) -> Ed25519PrivateKey:
    """The issuer's key from its file (PEM); raises SetupError."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError) as exc:
        raise SetupError(f"the key of badges, {path}, cannot be read: restore it from a backup ({exc})") from exc
    if not isinstance(key, Ed25519PrivateKey):
        raise SetupError(f"{path} is not an Ed25519 key")
    return key


def tenant_of(token: str) -> str:
    """Whose a badge says that it is, nothing believed; raises BadRequest for what is no badge at all."""
    try:
        payload = strict.read(_decoded(token.strip().split(".")[1]), max_bytes=MOST_BYTES)
        said = str(payload["iss"]) if isinstance(payload, dict) else ""
        return said.split("/")[-2]
    except (ValueError, KeyError, IndexError, StrictError) as exc:
        raise BadRequest("this is not a badge: expected a compact JWS") from exc


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
