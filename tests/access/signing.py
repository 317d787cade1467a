"""Keys and tokens made by `cryptography` alone, so that what verifies them is held against somebody else's work."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

Private = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey
HASHES: dict[str, type[hashes.HashAlgorithm]] = {"256": hashes.SHA256, "384": hashes.SHA384, "512": hashes.SHA512}
_HASHED = {family + size for family in ("RS", "PS", "ES") for size in HASHES}
CURVES: dict[str, tuple[str, type[ec.EllipticCurve]]] = {
    "ES256": ("P-256", ec.SECP256R1),
    "ES384": ("P-384", ec.SECP384R1),
    "ES512": ("P-521", ec.SECP521R1),
}


def b64(data: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _number(value: int, length: int | None = None) -> str:
    return b64(value.to_bytes(length or (value.bit_length() + 7) // 8))


@dataclass(frozen=True)
class SigningKey:
    """A private key under a name, and the algorithm that it signs by unless told otherwise."""

    kid: str
    algorithm: str
    private: Private

    def jwk(self, **more: Any) -> dict[str, Any]:
        """Its public half as a key set shows it; a member that is given as `...` is left out."""
        shown = {"kid": self.kid, "use": "sig", "alg": self.algorithm, **self._public(), **more}
        return {name: value for name, value in shown.items() if value is not ...}

    def _public(self) -> dict[str, str]:
        public = self.private.public_key()
        if isinstance(public, rsa.RSAPublicKey):
            numbers = public.public_numbers()
            return {"kty": "RSA", "n": _number(numbers.n), "e": _number(numbers.e)}
        if isinstance(public, ec.EllipticCurvePublicKey):
            point, length = public.public_numbers(), (public.curve.key_size + 7) // 8
            name = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}[public.curve.name]
            return {"kty": "EC", "crv": name, "x": _number(point.x, length), "y": _number(point.y, length)}
        name = "Ed25519" if isinstance(public, ed25519.Ed25519PublicKey) else "Ed448"
        return {"kty": "OKP", "crv": name, "x": b64(public.public_bytes_raw())}

    def sign(self, data: bytes, algorithm: str | None = None) -> bytes:
        """A signature as JWS has it."""
        name, private = algorithm or self.algorithm, self.private
        if isinstance(private, rsa.RSAPrivateKey):
            digest = HASHES[name[2:]]()
            salted = padding.PSS(padding.MGF1(digest), digest.digest_size)
            return private.sign(data, salted if name.startswith("PS") else padding.PKCS1v15(), digest)
        if isinstance(private, ec.EllipticCurvePrivateKey):
            r, s = decode_dss_signature(private.sign(data, ec.ECDSA(HASHES[name[2:]]())))
            length = (private.curve.key_size + 7) // 8
            return r.to_bytes(length) + s.to_bytes(length)
        return private.sign(data)

    def token(self, claims: Mapping[str, Any], **header: Any) -> str:
        """A token of these claims; a member of the header that is given as `...` is left out."""
        told = {"alg": self.algorithm, "kid": self.kid, "typ": "JWT", **header}
        told = {name: value for name, value in told.items() if value is not ...}
        return self.raw(json.dumps(told).encode(), json.dumps(claims).encode(), told.get("alg"))

    def raw(self, header: bytes, claims: bytes, algorithm: object = None) -> str:
        """A token of exactly these bytes."""
        signed = f"{b64(header)}.{b64(claims)}"
        name = algorithm if isinstance(algorithm, str) and algorithm in _HASHED else self.algorithm
        return f"{signed}.{b64(self.sign(signed.encode(), name))}"


@cache
def key(kid: str, algorithm: str, size: int = 2048) -> SigningKey:
    """A key, the same each time that a test run asks for it."""
    if algorithm in CURVES:
        return SigningKey(kid, algorithm, ec.generate_private_key(CURVES[algorithm][1]()))
    if algorithm in ("EdDSA", "Ed25519"):
        return SigningKey(kid, algorithm, ed25519.Ed25519PrivateKey.generate())
    return SigningKey(kid, algorithm, rsa.generate_private_key(65537, size))


def key_set(*keys: SigningKey | dict[str, Any]) -> bytes:
    """A key set as a document."""
    return json.dumps({"keys": [each.jwk() if isinstance(each, SigningKey) else each for each in keys]}).encode()


def mac(secret: bytes, header: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
    """A token that is authenticated by a shared secret."""
    signed = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(claims).encode())}"
    return f"{signed}.{b64(hmac.digest(secret, signed.encode(), hashlib.sha256))}"
