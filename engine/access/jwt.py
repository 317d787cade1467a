"""One user's token: read strictly (`Unverified`), then held against its pinned issuer (`Verified`), or `Refused`.

JWT (RFC 7519) in JWS compact serialisation (RFC 7515), under the rules of RFC 8725. Nothing that a caller can send is
an exception, and no sentence of a refusal quotes the token. The token itself is kept nowhere: what remains of it is its
SHA-256. A key in the token's own header (`jwk`, `x5c`), or an address of one (`jku`, `x5u`), is never looked at.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Literal

from engine.access import base64url
from engine.access.issuers import Issuer, media_type
from engine.access.jwks import NAME, KeySet
from ledger import instants, strict
from ledger.errors import StrictError
from ledger.instants import Instant
from ledger.model import JSON

MOST_BYTES: Final = 16 * 1024
_AFTER_SECONDS: Final = 7_258_118_400  # 2200-01-01: what is later is no time, or milliseconds where seconds are meant
_UNREADABLE: Final = ("crit", "b64", "zip")
"""Members of a header that change how a token is to be read; none of them is known here."""

Code = Literal[
    "malformed", "algorithm", "critical", "type", "issuer", "unknown_key", "signature", "claims", "expired", "not_yet",
    "audience",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Refused:
    """A token that says nothing about anybody: why, as a word for programs and a sentence that is fit for a caller."""

    code: Code
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unverified:
    """A token that was read and not verified. Only `iss` may be used, to choose among pinned issuers."""

    digest: str
    header: Mapping[str, JSON]
    claims: Mapping[str, JSON]
    signed: bytes
    signature: bytes

    @property
    def iss(self) -> JSON:
        """Who says that they issued it."""
        return self.claims.get("iss")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What a pinned issuer says of a user. It holds for `from_ms <= now < until_ms` (milliseconds since 1970)."""

    issuer: str
    issuer_url: str
    subject_type: str
    subject_id: str
    sub: str
    jti: str | None
    kid: str | None
    digest: str | None
    """SHA-256 of the token, in hexadecimal; None where a gateway vouched for its claims and the token was not seen."""
    expires_at: Instant
    """Its `exp`."""
    holds_until: Instant
    """Its `exp` and the issuer's leeway: from then on the answer would be another."""
    from_ms: int
    until_ms: int

    def evidence(self) -> dict[str, JSON]:
        """How a record names the token that it leans on."""
        return {
            "issuer": self.issuer,
            "iss": self.issuer_url,
            "sub": self.sub,
            "jti": self.jti,
            "kid": self.kid,
            "expires_at": self.expires_at,
            "sha256": self.digest,
            "verified_by": "gateway" if self.digest is None else "muster",
        }


class _No(Exception):
    """Carries a refusal out of the functions below; never leaves this module."""

    def __init__(self, code: Code, detail: str) -> None:
        super().__init__(detail)
        self.refused = Refused(code, detail)


@dataclass(frozen=True, slots=True)
class _Times:
    """When a token begins and ends, in milliseconds since 1970, as it says."""

    expires: int
    issued: int
    not_before: int


def read(token: str) -> Unverified | Refused:
    """The token's parts, with nothing of them believed."""
    try:
        return _read(token)
    except _No as no:
        return no.refused


def verify(token: Unverified, issuer: Issuer, keys: KeySet, now_ms: int) -> Verified | Refused:
    """Hold a token against an issuer and the keys that it has now."""
    try:
        return _verify(token, issuer, keys, now_ms)
    except _No as no:
        return no.refused


def vouched(claims: Mapping[str, JSON], issuer: Issuer, now_ms: int) -> Verified | Refused:
    """Hold claims against an issuer whose signature a gateway has checked; the caller knows that it is that gateway.

    For Envoy's `jwt_authn` payload. Everything but the signature and the header is judged as in a token.
    """
    try:
        _issued_by(claims, issuer)
        return _judged(claims, issuer, now_ms, kid=None, digest=None)
    except _No as no:
        return no.refused


def _read(token: str) -> Unverified:
    if len(token) > MOST_BYTES:
        raise _No("malformed", f"the token is longer than {MOST_BYTES} characters")
    if not token.isascii():
        raise _No("malformed", "the token has characters that are not of base64url")
    data = token.encode("ascii")
    parts = data.split(b".")
    if len(parts) == 5:
        raise _No("malformed", "the token is encrypted (five parts); send a signed one")
    if len(parts) != 3:
        raise _No("malformed", "the token has not the three parts of a signed one")
    header, payload, signature = (base64url.decoded(part) for part in parts)
    if header is None or payload is None or signature is None:
        raise _No("malformed", "a part of the token is not base64url in its one spelling, without padding")
    return Unverified(
        digest=sha256(data).hexdigest(),
        header=_object(header, "header", 16),
        claims=_object(payload, "payload", 32),
        signed=data[: data.rindex(b".")],
        signature=signature,
    )


def _object(data: bytes, what: str, depth: int) -> dict[str, JSON]:
    try:
        value = strict.read(data, max_bytes=MOST_BYTES, max_depth=depth, max_array=MOST_BYTES, max_string=MOST_BYTES)
    except StrictError as exc:
        # The reader's own sentence can quote a key, and so a part of the token.
        detail = f"the token's {what} is not I-JSON (RFC 7493) with each key once and at most {depth} levels"
        raise _No("malformed", detail) from exc
    if not isinstance(value, dict):
        raise _No("malformed", f"the token's {what} is not a JSON object")
    return value


def _verify(token: Unverified, issuer: Issuer, keys: KeySet, now_ms: int) -> Verified:
    """What costs nothing first; what the token claims only after its signature."""
    _issued_by(token.claims, issuer)
    algorithm, kid = _header(token.header, issuer)
    key = keys.find(kid, algorithm)
    if key is None:
        missing = "names no key, and which one is meant is not clear" if kid is None else "names a key that is unknown"
        raise _No("unknown_key", f"the token {missing}: issuer {issuer.name} has {len(keys.keys)} keys")
    if not key.made(algorithm, token.signed, token.signature):
        raise _No("signature", "the token's signature is not of the key that it names")
    return _judged(token.claims, issuer, now_ms, kid=kid, digest=token.digest)


def _judged(
    claims: Mapping[str, JSON], issuer: Issuer, now_ms: int, *, kid: str | None, digest: str | None
) -> Verified:
    """Hold claims of a known origin against what is pinned."""
    times = _times(claims)
    sub = _text(claims, "sub")
    subject = sub if issuer.subject_claim == "sub" else _text(claims, issuer.subject_claim)
    jti = _text(claims, "jti") if "jti" in claims else None
    from_ms, until_ms = _window(times, issuer, now_ms)
    _audience(claims, issuer)
    return Verified(
        issuer=issuer.name,
        issuer_url=issuer.url,
        subject_type=issuer.subject_type,
        subject_id=subject,
        sub=sub,
        jti=jti,
        kid=kid,
        digest=digest,
        expires_at=instants.from_ms(times.expires),
        holds_until=instants.from_ms(until_ms),
        from_ms=from_ms,
        until_ms=until_ms,
    )


def _issued_by(claims: Mapping[str, JSON], issuer: Issuer) -> None:
    if claims.get("iss") != issuer.url:
        raise _No("issuer", "the token was issued by somebody else")


def _header(header: Mapping[str, JSON], issuer: Issuer) -> tuple[str, str | None]:
    """Algorithm and name of the key."""
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in issuer.algorithms:
        allowed = ", ".join(sorted(issuer.algorithms))
        raise _No("algorithm", f"the token is not signed by what is pinned for issuer {issuer.name}: {allowed}")
    for member in _UNREADABLE:
        if member in header:
            raise _No("critical", f"the token's header has `{member}`, which is not understood here")
    typ = header.get("typ")
    if issuer.typ is not None and not (isinstance(typ, str) and media_type(typ) == issuer.typ):
        raise _No("type", f"the token's `typ` is not {issuer.typ}, which is pinned for issuer {issuer.name}")
    kid = header.get("kid")
    if "kid" in header and not (isinstance(kid, str) and NAME.fullmatch(kid)):
        raise _No("malformed", "the token's `kid` is no text of 1 to 255 characters")
    return algorithm, kid if isinstance(kid, str) else None


def _times(claims: Mapping[str, JSON]) -> _Times:
    """`exp` is cut to the millisecond, and what begins later is rounded up: never longer than the token says."""
    for name in ("exp", "iat"):
        if name not in claims:
            raise _No("claims", f"the token has no `{name}`")
    return _Times(
        expires=math.floor(_seconds(claims, "exp") * 1000),
        issued=math.ceil(_seconds(claims, "iat") * 1000),
        not_before=math.ceil(_seconds(claims, "nbf") * 1000) if "nbf" in claims else 0,
    )


def _seconds(claims: Mapping[str, JSON], name: str) -> float:
    """A NumericDate (RFC 7519 section 2). `True` is a number to Python, and none to anybody else."""
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < _AFTER_SECONDS:
        raise _No("claims", f"the token's `{name}` is not a number of seconds since 1970 before the year 2200")
    return value


def _window(times: _Times, issuer: Issuer, now_ms: int) -> tuple[int, int]:
    """From when until when the token is good; the leeway is given at both ends."""
    until_ms = times.expires + issuer.leeway_ms
    if now_ms >= until_ms:
        raise _No("expired", "the token has expired")
    if now_ms < times.issued - issuer.leeway_ms:
        raise _No("not_yet", "the token was issued in the future (`iat`): compare the clocks")
    if now_ms < times.not_before - issuer.leeway_ms:
        raise _No("not_yet", "the token is not valid yet (`nbf`)")
    return max(times.issued, times.not_before) - issuer.leeway_ms, until_ms


def _text(claims: Mapping[str, JSON], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise _No("claims", f"the token's `{name}` is not a text of 1 to 255 characters without control characters")
    return value


def _audience(claims: Mapping[str, JSON], issuer: Issuer) -> None:
    said = claims.get("aud")
    named = [said] if isinstance(said, str) else said
    if not isinstance(named, list) or not all(isinstance(each, str) for each in named):
        raise _No("audience", "the token's `aud` is neither a text nor a list of texts")
    if issuer.audiences.isdisjoint(each for each in named if isinstance(each, str)):
        wanted = ", ".join(sorted(issuer.audiences))
        raise _No("audience", f"the token is for somebody else; issuer {issuer.name} is pinned with: {wanted}")
