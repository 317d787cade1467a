"""A user's token: what is taken, what is refused, and by which word."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from engine.access import jwks, jwt
from engine.access.issuers import ALGORITHMS, Issuer
from engine.access.jwt import Refused, Verified
from ledger import instants
from tests.access.pinned import ISSUER, NOW, claims, pinned
from tests.access.signing import SigningKey, b64, key, key_set, mac

RSA = key("one", "RS256")
KEYS = jwks.read(key_set(RSA))


def ask(token: str, issuer: Issuer | None = None, keys: jwks.KeySet = KEYS, now: int = NOW) -> Verified | Refused:
    """Read and verify."""
    unverified = jwt.read(token)
    return unverified if isinstance(unverified, Refused) else jwt.verify(unverified, issuer or pinned(), keys, now)


def code(token: str, issuer: Issuer | None = None, keys: jwks.KeySet = KEYS, now: int = NOW) -> str:
    """The word of the refusal, or `verified`."""
    result = ask(token, issuer, keys, now)
    return result.code if isinstance(result, Refused) else "verified"


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
def test_every_algorithm_that_may_be_pinned_verifies(algorithm: str) -> None:
    """Signed by another library than the one that verifies; with one bit of the signature turned it is refused."""
    signing = key("k", algorithm)
    keys = jwks.read(key_set(signing))
    token = signing.token(claims())
    assert code(token, pinned(algorithms=[algorithm]), keys) == "verified"
    signed, _, signature = token.rpartition(".")
    wrong = bytearray(signing.sign(signed.encode()))
    wrong[7] ^= 1
    assert code(f"{signed}.{b64(bytes(wrong))}", None, keys) == "signature"
    assert code(token.replace(signature, ""), None, keys) == "signature"


def test_what_is_known_of_a_verified_token() -> None:
    """Issuer, subject, identifiers, end and hash; the token is in none of it."""
    token = RSA.token(claims())
    result = ask(token)
    assert isinstance(result, Verified)
    assert (result.issuer, result.subject_type, result.subject_id, result.kid) == ("company", "user", "alice", "one")
    assert result.expires_at == instants.from_ms(NOW + 3_600_000)
    assert result.holds_until == instants.from_ms(NOW + 3_630_000)
    assert result.evidence() == {
        "issuer": "company",
        "iss": ISSUER,
        "sub": "alice",
        "jti": "t-1",
        "kid": "one",
        "expires_at": instants.from_ms(NOW + 3_600_000),
        "sha256": sha256(token.encode()).hexdigest(),
        "verified_by": "muster",
    }
    assert not any(part in repr(result) for part in token.split("."))


@pytest.mark.parametrize(
    "algorithm",
    ["none", "None", "NONE", "nOnE", "", "HS256", "HS384", "HS512", "ES256K", "rs256", "RS256 ", 5, None, ...],
)
def test_an_algorithm_that_is_not_pinned_is_refused(algorithm: Any) -> None:
    """Whatever the signature is, and with none at all."""
    token = RSA.token(claims(), alg=algorithm)
    assert code(token) == "algorithm"
    assert code(token.rpartition(".")[0] + ".") == "algorithm"


@pytest.mark.parametrize("algorithm", ["RS384", "PS256"])
def test_only_pinned_algorithms_count(algorithm: str) -> None:
    """A good signature by another algorithm of the same key is refused."""
    keys = jwks.read(key_set(RSA.jwk(alg=...)))
    token = RSA.token(claims(), alg=algorithm)
    assert code(token, pinned(algorithms=["RS256"]), keys) == "algorithm"
    assert code(token, pinned(algorithms=["RS256", algorithm]), keys) == "verified"


def test_the_public_key_is_no_shared_secret() -> None:
    """HS256 with any spelling of the public key as its secret is refused, and HS256 cannot be pinned."""
    public = RSA.private.public_key()
    secrets = [
        public.public_bytes(encoding, form)
        for encoding in (Encoding.PEM, Encoding.DER)
        for form in (PublicFormat.SubjectPublicKeyInfo, PublicFormat.PKCS1)
    ]
    for secret in [*secrets, json.dumps(RSA.jwk()).encode(), RSA.jwk()["n"].encode(), b""]:
        assert code(mac(secret, {"alg": "HS256", "kid": "one"}, claims())) == "algorithm"
        assert code(mac(secret, {"alg": "RS256", "kid": "one"}, claims())) == "signature"
    assert not any(name.startswith("HS") or name.lower() == "none" for name in ALGORITHMS)


def test_a_key_is_used_with_its_own_algorithm_only() -> None:
    """A key that names RS256 verifies no PS256, and its family is not enough."""
    assert code(RSA.token(claims(), alg="PS256")) == "unknown_key"
    assert code(RSA.token(claims(), alg="RS512")) == "unknown_key"
    curve = key("one", "ES256")
    assert code(curve.token(claims(), alg="ES384"), None, jwks.read(key_set(curve.jwk(alg=...)))) == "unknown_key"


@pytest.mark.parametrize(("member", "value"), [("crit", ["exp"]), ("crit", []), ("b64", False), ("zip", "DEF")])
def test_a_header_that_changes_the_reading_is_refused(member: str, value: Any) -> None:
    """Even over a good signature."""
    assert code(RSA.token(claims(), **{member: value})) == "critical"


def test_keys_in_the_header_are_never_used() -> None:
    """An attacker's own key, embedded or pointed to, does not verify; beside a good signature it does not matter."""
    other = key("two", "RS256")
    carried: dict[str, Any] = {
        "jwk": other.jwk(),
        "jku": "https://evil.example/jwks",
        "x5u": "https://evil.example/cert",
        "x5c": ["MIIB"],
    }
    assert code(other.token(claims(), **carried)) == "unknown_key"
    assert code(other.token(claims(), kid="one", **carried)) == "signature"
    assert code(RSA.token(claims(), **carried)) == "verified"


@pytest.mark.parametrize(
    ("now", "word"),
    [
        (NOW + 3_600_000 + 29_999, "verified"),
        (NOW + 3_600_000 + 30_000, "expired"),
        (NOW - 60_000 - 30_000, "verified"),
        (NOW - 60_000 - 30_001, "not_yet"),
    ],
)
def test_the_leeway_is_exact(now: int, word: str) -> None:
    """To the millisecond, at both ends."""
    assert code(RSA.token(claims()), now=now) == word


def test_without_leeway_the_claims_are_the_limits() -> None:
    """A token ends at its `exp`, not after it, and begins at its `nbf`."""
    issuer = pinned(leeway_seconds=0)
    token = RSA.token(claims(nbf=NOW // 1000 + 10))
    assert code(token, issuer, now=NOW + 9_999) == "not_yet"
    assert code(token, issuer, now=NOW + 10_000) == "verified"
    assert code(token, issuer, now=NOW + 3_599_999) == "verified"
    assert code(token, issuer, now=NOW + 3_600_000) == "expired"


def test_fractions_of_a_second_count() -> None:
    """A NumericDate may have them; what is written as `1.0` is a whole number."""
    issuer = pinned(leeway_seconds=0)
    token = RSA.token(claims(exp=NOW / 1000 + 0.5, iat=NOW / 1000 - 0.5, nbf=NOW / 1000 - 0.25))
    assert code(token, issuer, now=NOW + 499) == "verified"
    assert code(token, issuer, now=NOW + 500) == "expired"
    assert code(token, issuer, now=NOW - 251) == "not_yet"
    assert code(RSA.raw(b'{"alg":"RS256","kid":"one"}', json.dumps(claims(exp=1790003600.0)).encode())) == "verified"


@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
@pytest.mark.parametrize(
    "value", [True, False, None, "1790003600", [], {}, -1, NOW + 3_600_000, 1e11 + 0.5, 7_258_118_400]
)
def test_a_time_that_is_none_is_refused(name: str, value: Any) -> None:
    """Booleans, texts, null, what is before 1970, and milliseconds where seconds are meant."""
    assert code(RSA.token(claims(**{name: value}))) == "claims"


@pytest.mark.parametrize("text", ["1e400", "NaN", "Infinity", "-Infinity", "9007199254740993"])
def test_a_number_that_is_not_json_is_malformed(text: str) -> None:
    """JSON has no such numbers, or no two readers agree on them."""
    payload = json.dumps(claims(exp=0)).replace('"exp": 0', f'"exp": {text}')
    assert text in payload
    assert code(RSA.raw(b'{"alg":"RS256","kid":"one"}', payload.encode())) == "malformed"


@pytest.mark.parametrize(
    ("name", "word"), [("exp", "claims"), ("iat", "claims"), ("sub", "claims"), ("iss", "issuer"), ("aud", "audience")]
)
def test_what_is_required(name: str, word: str) -> None:
    """A token without it is refused; one without `nbf`, `jti` or `typ` is not."""
    assert code(RSA.token(claims(**{name: ...}))) == word
    assert code(RSA.token(claims(nbf=..., jti=...), typ=...)) == "verified"


@pytest.mark.parametrize(
    ("aud", "word"),
    [
        ("muster", "verified"),
        (["a", "https://api.example.com"], "verified"),
        ([f"https://api-{n}.example.com" for n in range(199)] + ["muster"], "verified"),
        ([f"https://api-{n}.example.com" for n in range(200)], "audience"),
        ("Muster", "audience"),
        ("muster ", "audience"),
        ("https://api.example.com/", "audience"),
        ([], "audience"),
        ("", "audience"),
        (["muster", 5], "audience"),
        ([["muster"]], "audience"),
        ({"muster": True}, "audience"),
        (None, "audience"),
    ],
)
def test_the_audience(aud: Any, word: str) -> None:
    """One of those that are pinned, to the letter, in a text or a list of texts."""
    assert code(RSA.token(claims(aud=aud))) == word


@pytest.mark.parametrize(
    "iss", [ISSUER + "/", ISSUER.upper(), ISSUER.replace("https", "http"), [ISSUER], {}, None, 5, ""]
)
def test_the_issuer_is_compared_to_the_letter(iss: Any) -> None:
    """A slash, a case or a list makes another one."""
    assert code(RSA.token(claims(iss=iss))) == "issuer"


@pytest.mark.parametrize(
    ("typ", "word"),
    [
        ("at+jwt", "verified"),
        ("AT+JWT", "verified"),
        ("application/at+jwt", "verified"),
        ("JWT", "type"),
        ("logout+jwt", "type"),
        (None, "type"),
        (["at+jwt"], "type"),
        (..., "type"),
    ],
)
def test_a_pinned_type(typ: Any, word: str) -> None:
    """So that an identity or logout token is not taken for an access token."""
    assert code(RSA.token(claims(), typ=typ), pinned(typ="at+jwt")) == word


@pytest.mark.parametrize("sub", ["", "a" * 256, "a\nb", "a\x00", "\x7f", "a\u2028", "\x85", 5, None, ["alice"], {}])
def test_a_subject_that_is_no_name_is_refused(sub: Any) -> None:
    """Empty, too long, with control characters, or no text."""
    assert code(RSA.token(claims(sub=sub))) == "claims"


def test_the_subject_is_the_pinned_claim() -> None:
    """A text of its own rules; `sub` is required beside it."""
    issuer = pinned(subject={"type": "employee", "claim": "oid"})
    result = ask(RSA.token(claims(oid="e-17")), issuer)
    assert isinstance(result, Verified)
    assert (result.subject_type, result.subject_id, result.sub) == ("employee", "e-17", "alice")
    assert code(RSA.token(claims()), issuer) == "claims"
    assert code(RSA.token(claims(oid=17)), issuer) == "claims"
    assert code(RSA.token(claims(oid="e-17", sub=...)), issuer) == "claims"
    assert code(RSA.token(claims(sub="a" * 255))) == "verified"


@pytest.mark.parametrize("jti", ["", "a" * 256, "a\n", 5, None, []])
def test_an_identifier_that_is_no_text_is_refused(jti: Any) -> None:
    """It goes into the record."""
    assert code(RSA.token(claims(jti=jti))) == "claims"


@pytest.mark.parametrize("kid", ["", "a" * 256, "a\n", 5, None, [], {}])
def test_a_key_name_that_is_no_text_is_malformed(kid: Any) -> None:
    """It goes into the record."""
    assert code(RSA.token(claims(), kid=kid)) == "malformed"


def test_a_token_without_a_key_name() -> None:
    """Is verified where there is one key for its algorithm, and refused where there are two."""
    assert code(RSA.token(claims(), kid=...)) == "verified"
    keys = jwks.read(key_set(RSA, key("two", "RS256"), key("three", "ES256")))
    assert code(RSA.token(claims(), kid=...), None, keys) == "unknown_key"
    assert code(key("three", "ES256").token(claims(), kid=...), None, keys) == "verified"


def test_claims_that_a_gateway_vouches_for() -> None:
    """Are judged like a token's, with numbers as Envoy writes them; the record says who verified."""
    said: dict[str, Any] = {**claims(), "exp": float(claims()["exp"]), "iat": float(claims()["iat"])}
    result = jwt.vouched(said, pinned(), NOW)
    assert isinstance(result, Verified)
    assert (result.subject_id, result.kid, result.digest) == ("alice", None, None)
    assert result.evidence()["verified_by"] == "gateway"
    cases: list[tuple[dict[str, Any], str]] = [
        ({"iss": "x"}, "issuer"),
        ({"aud": "x"}, "audience"),
        ({"exp": 1.0}, "expired"),
        ({"sub": ""}, "claims"),
    ]
    for more, word in cases:
        refused = jwt.vouched({**said, **more}, pinned(), NOW)
        assert isinstance(refused, Refused)
        assert refused.code == word
    assert isinstance(jwt.vouched({}, pinned(), NOW), Refused)


def _spelled(change: Callable[[str], str]) -> str:
    return change(RSA.token(claims()))


HEADER = b'{"alg":"RS256","kid":"one"}'
GOOD = json.dumps(claims()).encode()
_DEEP = b'{"a":' + b"[" * 10_000


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "a.b.c",
        "Bearer x.y.z",
        "mst.default.secret",
        _spelled(lambda t: t + "\n"),
        _spelled(lambda t: " " + t),
        _spelled(lambda t: t + "="),
        _spelled(lambda t: t + "."),
        _spelled(lambda t: t.replace(".", "..", 1)),
        _spelled(lambda t: t.replace(".", "\n.", 1)),
        _spelled(lambda t: t.replace(".", "=.", 1)),
        _spelled(lambda t: t.replace(".", "\u2024", 1)),
        _spelled(lambda t: t + "\ud800"),
        _spelled(lambda t: t.rpartition(".")[0]),
        _spelled(lambda t: t + ".x.y"),
        _spelled(lambda t: json.dumps({"payload": t, "signatures": []})),
        "a" * 16_385,
        RSA.raw(HEADER, GOOD[:-1]),
        RSA.raw(HEADER, GOOD + b"{}"),
        RSA.raw(HEADER, b"[]"),
        RSA.raw(HEADER, b'"alice"'),
        RSA.raw(HEADER, b""),
        RSA.raw(HEADER, b"\xef\xbb\xbf" + GOOD),
        RSA.raw(HEADER, GOOD.decode().encode("utf-16")),
        RSA.raw(HEADER, b'{"sub":"\xff"}'),
        RSA.raw(HEADER, b'{"sub":"\\ud800"}'),
        RSA.raw(HEADER, b'{"sub":"eve",' + GOOD[1:]),
        RSA.raw(HEADER, b'{"s\\u0075b":"eve",' + GOOD[1:]),
        RSA.raw(HEADER, _DEEP),
        RSA.raw(HEADER, _DEEP.replace(b"[", b'{"a":')[:12_000]),
        RSA.raw(HEADER, b'{"a":' + b"[" * 40 + b"]" * 40 + b"," + GOOD[1:]),
        RSA.raw(_DEEP, GOOD),
        RSA.raw(b"", GOOD),
        RSA.raw(b"[]", GOOD),
        RSA.raw(b'{"alg":"none","alg":"RS256","kid":"one"}', GOOD),
        RSA.raw(b'{"alg":"RS256","kid":"two","kid":"one"}', GOOD),
    ],
)
def test_what_is_no_token_is_malformed(token: str) -> None:
    """Before anything of it is believed, and however good its signature is."""
    assert code(token) == "malformed"


def test_each_part_has_one_spelling() -> None:
    """Trailing bits that decoders pass over make another token, and so do the signs of plain base64."""
    token = RSA.token(claims())
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for position, part in enumerate(token.split(".")):
        if len(part) % 4 == 0:
            continue
        last = alphabet[alphabet.index(part[-1]) ^ 1]
        parts = token.split(".")
        parts[position] = part[:-1] + last
        assert code(".".join(parts)) == "malformed"
    assert len(token.split(".")[2]) % 4 == 2, "an RSA signature of 256 bytes leaves bits over"
    assert code(token.replace("-", "+").replace("_", "/") if "-" in token or "_" in token else "+.a.a") == "malformed"


@pytest.mark.parametrize("length", [0, 1, 32, 63, 65, 96, 1024])
def test_an_elliptic_signature_of_another_length_is_refused(length: int) -> None:
    """Cut, filled up, or of nothing."""
    curve = key("one", "ES256")
    signed = curve.token(claims()).rpartition(".")[0]
    whole = curve.sign(signed.encode()) * 16
    assert code(f"{signed}.{b64(whole[:length])}", None, jwks.read(key_set(curve))) == "signature"


@pytest.mark.parametrize(
    "value", [b"\x00" * 64, b"\xff" * 64, b"\x00" * 63 + b"\x01", b"0\x06\x02\x01\x01\x02\x01\x01"]
)
def test_an_elliptic_signature_of_no_numbers_is_refused(value: bytes) -> None:
    """Zeros (CVE-2022-21449), numbers beyond the curve's order, and DER."""
    curve = key("one", "ES256")
    signed = curve.token(claims()).rpartition(".")[0]
    assert code(f"{signed}.{b64(value)}", None, jwks.read(key_set(curve))) == "signature"


@pytest.mark.parametrize("algorithm", ["EdDSA", "RS256", "PS256"])
@pytest.mark.parametrize("value", [b"", b"\x00", b"\x00" * 64, b"\xff" * 256, b"\x00" * 4096])
def test_a_signature_of_no_shape_is_refused(algorithm: str, value: bytes) -> None:
    """Whatever its length."""
    signing = key("one", algorithm)
    signed = signing.token(claims()).rpartition(".")[0]
    assert code(f"{signed}.{b64(value)}", None, jwks.read(key_set(signing))) == "signature"


def test_no_refusal_quotes_the_token() -> None:
    """Not its parts, and not what stands in them."""
    secret = "wholly-secret"
    tokens = [
        RSA.token(claims(sub=secret), kid=secret),
        RSA.token(claims(sub=secret), alg=secret),
        RSA.token(claims(iss=secret)),
        RSA.token(claims(aud=[secret])),
        RSA.token(claims(sub=secret, exp=1)),
        RSA.token(claims(sub=secret + "\n")),
        RSA.token(claims(), crit=[secret]),
        RSA.token(claims(), typ=secret),
        RSA.raw(HEADER, f'{{"{secret}":1,"{secret}":2}}'.encode()),
        SigningKey("one", "RS256", key("two", "RS256").private).token(claims(sub=secret)),
    ]
    for token in tokens:
        result = ask(token, pinned(typ="jwt"))
        assert isinstance(result, Refused)
        assert secret not in result.detail
        assert not any(part in result.detail for part in token.split("."))
