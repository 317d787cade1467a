"""Pinned issuers: whose tokens say who a user is, and what such a token must be.

An issuer is what `issuers.yaml` of a source says of it. It was checked when the bundle was built, so nothing is checked
here again; what is missing there has its default here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ledger.model import JSON

ALGORITHMS: Final[Mapping[str, tuple[str, str | None]]] = {
    **{f"{family}{size}": ("RSA", None) for family in ("RS", "PS") for size in (256, 384, 512)},
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
    "Ed25519": ("OKP", "Ed25519"),
}
"""What may be pinned (RFC 7518 section 3.1, RFC 8037, RFC 9864), with the type and curve of the keys that it takes."""
LEEWAY_SECONDS: Final = 30
MAX_AGE_HOURS: Final = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """One issuer of one tenant. `typ` is lower case and without `application/`; None: any type of token will do."""

    name: str
    url: str
    audiences: frozenset[str]
    algorithms: frozenset[str]
    subject_type: str
    subject_claim: str
    jwks: str | None = None
    typ: str | None = None
    leeway_ms: int = LEEWAY_SECONDS * 1000
    max_age_seconds: float = MAX_AGE_HOURS * 3600.0
    """How long a key set is used after the fetch that brought it began."""


def read(name: str, said: Mapping[str, JSON]) -> Issuer:
    """The issuer that `issuers.yaml` calls `name`, from what stands there."""
    audience, algorithms, subject = said["audience"], said["algorithms"], said["subject"]
    assert isinstance(audience, list)
    assert isinstance(algorithms, list)
    assert isinstance(subject, dict)
    jwks, typ = said.get("jwks"), said.get("typ")
    return Issuer(
        name=name,
        url=str(said["issuer"]),
        audiences=frozenset(map(str, audience)),
        algorithms=frozenset(map(str, algorithms)),
        subject_type=str(subject.get("type", "user")),
        subject_claim=str(subject.get("claim", "sub")),
        jwks=None if jwks is None else str(jwks),
        typ=None if typ is None else media_type(str(typ)),
        leeway_ms=round(_number(said.get("leeway_seconds"), LEEWAY_SECONDS) * 1000),
        max_age_seconds=_number(said.get("max_age_hours"), MAX_AGE_HOURS) * 3600,
    )


def media_type(text: str) -> str:
    """A `typ` as it is compared (RFC 7515 section 4.1.9): without regard to case, `application/` left out."""
    return text.lower().removeprefix("application/")


def _number(value: JSON, otherwise: int) -> float:
    if value is None:
        return otherwise
    assert isinstance(value, (int, float))
    return value
