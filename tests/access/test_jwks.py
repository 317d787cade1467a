"""Key sets: what is taken, what is ignored and counted, and what is not believed at all."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed448, x25519

from engine.access import jwks
from engine.access.issuers import ALGORITHMS
from tests.access.signing import SigningKey, b64, key, key_set

RSA, EC, ED = key("rsa", "RS256"), key("ec", "ES256"), key("ed", "EdDSA")


def test_the_keys_of_a_set() -> None:
    """Each is found by its name and algorithm; one that names no algorithm by each that fits it."""
    keys = jwks.read(key_set(RSA, EC.jwk(alg=...), ED.jwk(alg=..., use=..., key_ops=["verify"])))
    assert [each.kid for each in keys.keys] == ["rsa", "ec", "ed"]
    assert {(kid, name) for kid in ("rsa", "ec", "ed") for name in ALGORITHMS if keys.find(kid, name)} == {
        ("rsa", "RS256"),
        ("ec", "ES256"),
        ("ed", "EdDSA"),
        ("ed", "Ed25519"),
    }
    assert keys.ignored == {}


@pytest.mark.parametrize(
    ("member", "value", "reason"),
    [
        ("use", "enc", "not for signatures"),
        ("use", None, "not for signatures"),
        ("key_ops", ["sign"], "not for verifying"),
        ("key_ops", "verify", "not for verifying"),
        ("kty", "oct", "symmetric"),
        ("kty", "RSA2", "of a type that is not used here"),
        ("kty", ["RSA"], "of a type that is not used here"),
        ("kty", ..., "of a type that is not used here"),
        ("alg", "RSA-OAEP", "for an algorithm or on a curve that is not used here"),
        ("alg", "HS256", "for an algorithm or on a curve that is not used here"),
        ("alg", "ES256", "for an algorithm or on a curve that is not used here"),
        ("alg", ["RS256"], "for an algorithm or on a curve that is not used here"),
        ("kid", "", "with a `kid` that is no text of 1 to 255 characters"),
        ("kid", 5, "with a `kid` that is no text of 1 to 255 characters"),
        ("kid", "a\n", "with a `kid` that is no text of 1 to 255 characters"),
        ("d", "AQAB", "private: whoever reads the set can sign with it"),
        ("n", ..., "malformed"),
        ("n", "", "malformed"),
        ("n", "????", "malformed"),
        ("n", 17, "malformed"),
        ("e", "AQAB=", "malformed"),
        ("n", b64(b"\xff" * 255), "RSA of a size outside 2048 to 8192 bits"),
        ("n", b64(b"\xff" * 1025), "RSA of a size outside 2048 to 8192 bits"),
        ("e", "AQ", "RSA with an exponent that is even, 1, or above 2^32"),
        ("e", "Ag", "RSA with an exponent that is even, 1, or above 2^32"),
        ("e", b64(b"\x01\x00\x00\x00\x01"), "RSA with an exponent that is even, 1, or above 2^32"),
    ],
)
def test_a_key_of_no_use_is_ignored(member: str, value: Any, reason: str) -> None:
    """And counted by its reason; the others of the set stay."""
    keys = jwks.read(key_set(RSA.jwk(**{member: value}), EC))
    assert keys.ignored == {reason: 1}
    assert [each.kid for each in keys.keys] == ["ec"]


def test_rsa_of_1024_bits_is_ignored() -> None:
    """A real one; its neighbour of 2048 bits is taken."""
    keys = jwks.read(key_set(key("weak", "RS256", 1024), RSA))
    assert [each.kid for each in keys.keys] == ["rsa"]
    assert keys.ignored == {"RSA of a size outside 2048 to 8192 bits": 1}


def test_other_curves_are_ignored() -> None:
    """Ed448 and X25519 keys, secp256k1, and a point that is not on its curve."""
    other = SigningKey("ed448", "EdDSA", ed448.Ed448PrivateKey.generate())
    agreement = x25519.X25519PrivateKey.generate().public_key().public_bytes_raw()
    listed = [
        other,
        {"kty": "OKP", "crv": "X25519", "kid": "x", "x": b64(agreement)},
        EC.jwk(crv="secp256k1", alg=...),
        EC.jwk(y=EC.jwk()["x"]),
        ED.jwk(x=b64(b"\x01" * 31)),
        "RSA",
        None,
    ]
    keys = jwks.read(key_set(*listed))  # type: ignore[arg-type]
    assert keys.keys == ()
    assert keys.ignored == {
        "for an algorithm or on a curve that is not used here": 3,
        "malformed": 2,
        "not an object": 2,
    }


def test_one_name_for_two_keys_of_one_algorithm_is_not_believed() -> None:
    """Which of them signed would be a guess; the whole set is refused."""
    with pytest.raises(jwks.NotAKeySet, match="two different keys of one `kid`, both for RS256"):
        jwks.read(key_set(RSA, key("other", "RS256").jwk(kid="rsa")))
    with pytest.raises(jwks.NotAKeySet, match="two different keys"):
        jwks.read(key_set(RSA, key("other", "RS256").jwk(kid="rsa", alg=...)))


def test_one_name_for_keys_that_cannot_be_confused() -> None:
    """The same key twice, under two algorithms, or an RSA and an EC key (RFC 7517 section 4.5)."""
    keys = jwks.read(key_set(RSA, RSA, RSA.jwk(alg="PS256"), EC.jwk(kid="rsa")))
    for name in ("RS256", "PS256", "ES256"):
        assert keys.find("rsa", name) is not None
        assert keys.find(None, name) is not None
    assert keys.find("rsa", "RS512") is None


def test_at_most_64_keys() -> None:
    """64 are taken, 65 are not, whatever they are."""
    listed = [EC.jwk(kid=f"k{n}") for n in range(65)]
    assert len(jwks.read(key_set(*listed[:64])).keys) == 64
    with pytest.raises(jwks.NotAKeySet, match="65 keys, and at most 64"):
        jwks.read(key_set(*listed))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"keys":{}}',
        b'{"keys":null}',
        b'{"keys":[],"keys":[]}',
        b'{"keys":[NaN]}',
        b"\xef\xbb\xbf" + key_set(RSA),
        key_set(RSA)[:-2],
        b'{"keys":' + b"[" * 10_000,
        b'{"keys":[],"x":"' + b"x" * 262_144 + b'"}',
    ],
)
def test_what_is_no_key_set_is_not_believed(data: bytes) -> None:
    """With a sentence that says what is wrong."""
    with pytest.raises(jwks.NotAKeySet, match="its key set"):
        jwks.read(data)


def test_a_set_without_keys_is_believed() -> None:
    """That is how an issuer withdraws them."""
    assert jwks.read(b'{"keys": []}').keys == ()


def test_the_same_keys_have_the_same_digest() -> None:
    """In any order, and however they are written; another name or algorithm makes another set."""
    one = jwks.read(key_set(RSA, EC))
    assert jwks.read(json.dumps(json.loads(key_set(EC, RSA)), indent=2).encode()).digest == one.digest
    assert jwks.read(key_set(RSA.jwk(x5c=["MIIB"], x5t="x"), EC)).digest == one.digest
    assert jwks.read(key_set(RSA.jwk(kid="new"), EC)).digest != one.digest
    assert jwks.read(key_set(RSA.jwk(alg=...), EC)).digest != one.digest
