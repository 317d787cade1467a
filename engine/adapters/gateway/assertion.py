"""`Muster-Assertion`: a short proof, for the backend behind a gateway, that this request passed the gate.

A JWT (RFC 7519) signed by EdDSA, with a key of the tenant that is used for nothing else. A backend holds it against its
own name (`aud`), the method and the path that it serves, and refuses a call without it: then nobody gets to it around
the gateway.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from engine.access.signer import Signer
from engine.decide.request import Request
from engine.home import Home
from ledger.model import JSON

TYPE: Final = "muster-assertion+jwt"
SECONDS: Final = 30


@dataclass(frozen=True, slots=True)
class Assertions:
    """Signs for one tenant. `issuer` is the service's address."""

    issuer: str
    tenant: str
    signer: Signer

    @classmethod
    def of(cls, home: Home, issuer: str, tenant: str) -> Assertions:
        """The tenant's own key, the same in every process of the home; raises SetupError."""
        return cls(issuer, tenant, Signer.of(home, f"gateway-assertion/{tenant}"))

    def sign(self, decision_id: str, request: Request, *, audience: str, method: str, path: bytes, now_ms: int) -> str:
        """The assertion of one allow. `path` is the request's raw target up to its query."""
        claims: dict[str, JSON] = {
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
        return self.signer.token(TYPE, claims)
