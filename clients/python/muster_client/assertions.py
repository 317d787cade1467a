"""`Muster-Assertion`: the proof that this very request passed the gate, verified by the backend behind a gateway.

A JWT (RFC 7519) signed with EdDSA over Ed25519 (RFC 8037). It is held against what this backend knows by itself: who
signs (issuer, tenant), its own name (audience), the clock, and the method and path that it is about to serve. It says
nothing of the query and the body, and it holds for 30 s: whoever can read it could send the same method and path again.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from muster_client import strict
from muster_client.errors import Unproven

TYPE: Final = "muster-assertion+jwt"
_LEEWAY: Final = 5
_LONGEST: Final = 60
_MOST: Final = 8192
_TEXTS: Final = ("iss", "tenant", "aud", "jti", "sub", "sub_type", "action", "htm", "path_sha256")


@dataclass(frozen=True, slots=True)
class Assertion:
    """What was decided: who may do what, by which recorded decision."""

    decision_id: str
    subject_type: str
    subject_id: str
    action: str
    expires: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Verifier:
    """Verifies for one backend. `key_of` gives the public key of a key ID, and None where there is none."""

    issuer: str
    audience: str
    key_of: Callable[[str], Ed25519PublicKey | None]
    tenant: str = "default"
    clock: Callable[[], float] = time.time

    def verify(self, token: str, *, method: str, path: bytes, decision_id: str) -> Assertion:
        """The assertion of this request; raises Unproven.

        `path` is the request's raw target up to its `?`, as the gateway asked about it; `decision_id` the request's
        `Muster-Decision-Id`.
        """
        claims = self._signed(token)
        if any(not isinstance(claims.get(name), str) for name in _TEXTS):
            raise Unproven("malformed", "a claim is missing, or is no text")
        self._timely(claims)
        expected = {
            "iss": self.issuer,
            "tenant": self.tenant,
            "aud": self.audience,
            "htm": method,
            "path_sha256": hashlib.sha256(path).hexdigest(),
            "jti": decision_id,
        }
        for name, value in expected.items():
            if claims[name] != value:
                raise Unproven(f"wrong-{name}", "the assertion was made for something else")
        return Assertion(claims["jti"], claims["sub_type"], claims["sub"], claims["action"], claims["exp"])

    def _signed(self, token: str) -> dict[str, Any]:
        """The claims, if a key of the issuer has signed them."""
        parts = token.split(".")
        if len(parts) != 3 or len(token) > _MOST:
            raise Unproven("malformed", "it is not of three parts")
        header, claims, signature = (_decoded(part) for part in parts)
        said = _table(header)
        if said.get("alg") != "EdDSA" or said.get("typ") != TYPE or "crit" in said:
            raise Unproven("wrong-type", "it is signed in another way, or is no assertion of Muster")
        kid = said.get("kid")
        key = self.key_of(kid) if isinstance(kid, str) else None
        if key is None:
            raise Unproven("unknown-key", "no key of the issuer has this name")
        try:
            key.verify(signature, f"{parts[0]}.{parts[1]}".encode())
        except InvalidSignature as exc:
            raise Unproven("bad-signature", "the key that it names has not signed it") from exc
        return _table(claims)

    def _timely(self, claims: Mapping[str, Any]) -> None:
        issued, expires, now = claims.get("iat"), claims.get("exp"), self.clock()
        if type(issued) is not int or type(expires) is not int:
            raise Unproven("malformed", "iat or exp is no number")
        if now >= expires + _LEEWAY or now < issued - _LEEWAY or not 0 < expires - issued <= _LONGEST:
            raise Unproven("expired", "it does not hold now: it is old, or the clocks differ")


def _decoded(part: str) -> bytes:
    """base64url without padding; one spelling for each string of bytes."""
    try:
        data = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except (binascii.Error, ValueError) as exc:
        raise Unproven("malformed", "a part is not base64url") from exc
    if base64.urlsafe_b64encode(data).rstrip(b"=").decode() != part:
        raise Unproven("malformed", "a part is not base64url")
    return data


def _table(data: bytes) -> dict[str, Any]:
    try:
        return strict.table(data)
    except strict.NotJSON as exc:
        raise Unproven("malformed", str(exc)) from exc
