"""The metadata of the policy decision point (section 9), plain and signed.

The key of `signed_metadata` is derived from a key of the home for this purpose alone, so that nothing else that the
home signs can pass for metadata, nor metadata for it. Its public half is a JWK (RFC 8037) of the service's key set.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.access.signer import Signer
from engine.home import Home
from ledger.model import JSON

WELL_KNOWN = "/.well-known/authzen-configuration"
JWKS = "/.well-known/jwks.json"
SECONDS = 3600
"""How long it may be kept by whoever asked for it."""

EVALUATION = "/access/v1/evaluation"
EVALUATIONS = "/access/v1/evaluations"
SEARCHES = {kind: f"/access/v1/search/{kind}" for kind in ("subject", "resource", "action")}


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a service at `base` (https, without a path) says of itself."""

    base: str
    signer: Signer

    @classmethod
    def of(cls, base: str, home: Home) -> Metadata:
        """Raises SetupError where the home's key cannot be read."""
        return cls(base, Signer.of(home, "authzen-metadata"))

    def parameters(self) -> dict[str, JSON]:
        """The parameters of section 9.1.1, and where the key set is."""
        return {
            "policy_decision_point": self.base,
            "access_evaluation_endpoint": self.base + EVALUATION,
            "access_evaluations_endpoint": self.base + EVALUATIONS,
            **{f"search_{kind}_endpoint": self.base + path for kind, path in SEARCHES.items()},
            "jwks_uri": self.base + JWKS,
        }

    def document(self, issued_at: int) -> dict[str, JSON]:
        """The whole document, signed as of now (seconds since 1970)."""
        return {**self.parameters(), "signed_metadata": self.signed(issued_at)}

    def signed(self, issued_at: int) -> str:
        """The parameters as claims of a JWT (RFC 7519) by the service itself."""
        return self.signer.token("JWT", {**self.parameters(), "iss": self.base, "iat": issued_at})
