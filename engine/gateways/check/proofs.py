"""Whether a request that arrived has a decision that Muster signed for it: its `Muster-Assertion`, by a tenant's keys.

A JWT (RFC 7519) by EdDSA over Ed25519 (RFC 8037), held against the request's own method, path and `Muster-Decision-Id`,
as a backend does that verifies it; whom it is for (`aud`) the backend alone knows.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import httpx
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from engine.errors import Unavailable
from engine.gateways.check.backend import Seen

_SECONDS: Final = 10.0
_LEEWAY: Final = 5


class Unproved(Exception):
    """What is wrong with a proof."""


@dataclass(frozen=True, slots=True)
class Keys:
    """A tenant's public keys, by their names."""

    keys: dict[str, Ed25519PublicKey]

    @classmethod
    def of(cls, muster: str, tenant: str) -> Keys:
        """Ask Muster for them, once; raises Unavailable."""
        url = f"{muster}/tenants/{tenant}/jwks.json"
        try:
            answer = httpx.get(url, timeout=_SECONDS, follow_redirects=False)
            found = answer.raise_for_status().json()["keys"]
            return cls({str(jwk["kid"]): Ed25519PublicKey.from_public_bytes(_decoded(jwk["x"])) for jwk in found})
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as exc:
            raise Unavailable(f"--muster: {url} has no keys that can be read: {exc}") from exc

    def claims(self, token: str) -> dict[str, Any]:
        """What an assertion says, if one of these keys signed it and it holds now; raises Unproved."""
        try:
            head, body, signature = token.split(".")
            said, claims = json.loads(_decoded(head)), json.loads(_decoded(body))
            if said["alg"] != "EdDSA" or said["typ"] != "muster-assertion+jwt":
                raise Unproved("it is no assertion of Muster")
            self.keys[said["kid"]].verify(_decoded(signature), f"{head}.{body}".encode())
            if not claims["iat"] - _LEEWAY <= time.time() < claims["exp"] + _LEEWAY:
                raise Unproved("it does not hold now")
        except (ValueError, KeyError, TypeError, InvalidSignature) as exc:
            raise Unproved("none of the tenant's keys has signed it") from exc
        made: dict[str, Any] = claims
        return made

    def judge(self, seen: Seen) -> Iterator[tuple[str, str]]:
        """What is wrong with an arrival: the name of a fault, and why."""
        decisions, proofs = (seen.message.all(name) for name in ("muster-decision-id", "muster-assertion"))
        if len(decisions) != 1 or len(proofs) != 1:
            yield "unproved", f"{len(decisions)} Muster-Decision-Id, {len(proofs)} Muster-Assertion"
            return
        try:
            claims = self.claims(proofs[0])
        except Unproved as exc:
            yield "unproved", f"its Muster-Assertion: {exc}"
            return
        if claims.get("jti") != decisions[0]:
            yield "forged", "its Muster-Assertion is of another decision"
        path = seen.target.encode("latin-1").partition(b"?")[0]
        if (claims.get("htm"), claims.get("path_sha256")) != (seen.method, hashlib.sha256(path).hexdigest()):
            yield "other_target", "its Muster-Assertion is about another method or path"


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
