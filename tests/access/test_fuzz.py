"""Tokens mutated in one place, and made-up ones: never an exception, and never verified unless it is the same token."""

from __future__ import annotations

import base64
from contextlib import suppress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.access import jwks, jwt
from engine.access.jwt import Refused, Verified
from tests.access.pinned import NOW, claims, pinned
from tests.access.signing import b64, key, key_set

SIGNING = [key("one", "RS256"), key("two", "ES256"), key("three", "EdDSA"), key("four", "PS256")]
KEYS = jwks.read(key_set(*SIGNING))
ISSUER = pinned()
TOKENS = [each.token(claims()) for each in SIGNING]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
MEMBERS = ["kty", "kid", "alg", "use", "key_ops", "n", "e", "crv", "x", "y", "d"]


def ask(token: str) -> Verified | Refused:
    """Read and verify."""
    unverified = jwt.read(token)
    return unverified if isinstance(unverified, Refused) else jwt.verify(unverified, ISSUER, KEYS, NOW)


@settings(max_examples=800, deadline=None)
@given(
    token=st.sampled_from(TOKENS),
    place=st.floats(0, 1, exclude_max=True),
    put=st.text(max_size=3),
    take=st.integers(0, 3),
)
def test_text_put_or_taken_anywhere(token: str, place: float, put: str, take: int) -> None:
    """Only the token itself is verified."""
    at = int(place * len(token))
    changed = token[:at] + put + token[at + take :]
    assert isinstance(ask(changed), Verified) == (changed == token)


@settings(max_examples=1500, deadline=None)
@given(
    token=st.sampled_from(TOKENS),
    part=st.integers(0, 2),
    place=st.floats(0, 1, exclude_max=True),
    byte=st.integers(1, 255),
)
def test_one_byte_of_a_decoded_part(token: str, part: int, place: float, byte: int) -> None:
    """Encoded again as it should be, it is refused."""
    parts = token.split(".")
    data = bytearray(base64.urlsafe_b64decode(parts[part] + "=="))
    data[int(place * len(data))] ^= byte
    parts[part] = b64(bytes(data))
    assert isinstance(ask(".".join(parts)), Refused)


@settings(max_examples=500, deadline=None)
@given(
    header=st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "x"]), JSON, max_size=3),
    which=st.integers(0, 3),
)
def test_headers_of_any_shape(header: dict[str, Any], which: int) -> None:
    """Signed as they stand: an answer, and verified only by the key and algorithm that the header names."""
    result = ask(SIGNING[which].token(claims(), **header))
    if isinstance(result, Verified):
        assert "alg" not in header
        assert "crit" not in header


@settings(max_examples=800, deadline=None)
@given(
    said=st.dictionaries(
        st.sampled_from(["exp", "iat", "nbf", "aud", "sub", "jti", "iss", "x"]), JSON, min_size=1, max_size=4
    )
)
def test_claims_of_any_shape(said: dict[str, Any]) -> None:
    """Signed as they stand: an answer, and what is verified is a text within its bounds."""
    result = ask(SIGNING[1].token({**claims(), **said}))
    if isinstance(result, Verified):
        assert result.subject_id == {**claims(), **said}["sub"]
        assert 0 < len(result.subject_id) <= 255


@settings(max_examples=500, deadline=None)
@given(st.text(max_size=64) | st.lists(st.binary(max_size=40).map(b64), max_size=6).map(".".join))
def test_anything_at_all(text: str) -> None:
    """Is refused."""
    assert isinstance(ask(text), Refused)


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=200) | st.lists(st.dictionaries(st.sampled_from(MEMBERS), JSON, max_size=4), max_size=3))
def test_key_sets_of_any_shape(made: bytes | list[dict[str, Any]]) -> None:
    """Are read, with what is of no use ignored, or not believed: nothing else can happen."""
    with suppress(jwks.NotAKeySet):
        assert jwks.read(made if isinstance(made, bytes) else key_set(*made)).keys == ()


@settings(max_examples=800, deadline=None)
@given(which=st.integers(0, 3), member=st.sampled_from(MEMBERS), value=JSON | st.binary(max_size=64).map(b64))
def test_a_key_with_one_member_changed(which: int, member: str, value: Any) -> None:
    """Is taken or ignored; a set of good keys beside it keeps them."""
    changed = {**SIGNING[which].jwk(), member: value}
    others = [each for at, each in enumerate(SIGNING) if at != which]
    try:
        keys = jwks.read(key_set(changed, *others))
    except jwks.NotAKeySet:  # a float that JSON cannot write, or the name of one of the others
        return
    assert len(keys.keys) + sum(keys.ignored.values()) == 4
    assert all(keys.find(each.kid, each.algorithm) for each in others)
