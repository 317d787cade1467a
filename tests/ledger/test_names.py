"""Instants, IDs and the bytes of an entry have one spelling each."""

from __future__ import annotations

import hashlib
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import canonical, entry, ids, instants
from ledger.errors import Malformed, MalformedInstant, TooLarge

_FIRST, _LAST = "2000-01-01T00:00:00.000Z", "2200-12-31T23:59:59.999Z"


@given(st.integers(instants.parse(_FIRST), instants.parse(_LAST)))
def test_instants_round_trip(milliseconds: int) -> None:
    """Every millisecond of the years 2000 to 2200 has one text of 24 characters, in order."""
    text = instants.from_ms(milliseconds)
    assert len(text) == 24
    assert instants.parse(text) == milliseconds
    assert _FIRST <= text <= _LAST


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-23T12:00:00Z",
        "2026-11-23T12:00:00.0Z",
        "2026-11-23T12:00:00.000000Z",
        "2026-11-23T12:00:00.000+00:00",
        "2026-11-23t12:00:00.000z",
        "2026-11-23 12:00:00.000Z",
        "2026-02-29T12:00:00.000Z",
        "2026-11-23T24:00:00.000Z",
        "2026-11-23T23:59:60.000Z",
        "1999-12-31T23:59:59.999Z",
        "2201-01-01T00:00:00.000Z",
        "2026-11-23T12:00:00.000Z\n",
        "２026-11-23T12:00:00.000Z",
        "",
    ],
)
def test_other_spellings_are_no_instants(text: str) -> None:
    """Anything but the one form is refused."""
    assert not instants.is_instant(text)
    with pytest.raises(MalformedInstant):
        instants.parse(text)


def test_instants_are_cut_not_rounded() -> None:
    """A clock's nanoseconds give the millisecond that has begun; the epoch's other side gives an error."""
    assert instants.now_from(1_795_435_200_123_999_999) == "2026-11-23T12:00:00.123Z"
    for milliseconds in (0, instants.parse(_FIRST) - 1, instants.parse(_LAST) + 1):
        with pytest.raises(MalformedInstant):
            instants.from_ms(milliseconds)


def test_ids_are_uuids_of_version_seven() -> None:
    """The standard library reads them as what they are, and no two are equal."""
    drawn = [ids.uuid7(time_ms=1_795_435_200_123) for _ in range(1000)]
    assert len(set(drawn)) == 1000
    for text in drawn:
        parsed = uuid.UUID(text)
        assert (str(parsed), parsed.version, parsed.variant) == (text, 7, uuid.RFC_4122)
        assert parsed.int >> 80 == 1_795_435_200_123
        assert ids.is_uuid7(text)
    for other in (str(uuid.uuid4()), drawn[0].upper(), drawn[0] + "\n", "{" + drawn[0] + "}", None):
        assert not ids.is_uuid7(other)


def _header(**changes: object) -> bytes:
    fields: dict[str, object] = {
        "v": 1,
        "id": "01a20880-0000-7000-8000-000000000000",
        "at": "2026-11-23T12:00:00.000Z",
        "kind": "decision",
        "tenant": "default",
        "tag": None,
        "commitment": "0" * 64,
    }
    return canonical.encode(fields | changes)


def test_a_header_has_these_bytes() -> None:
    """The format, written down once as bytes."""
    expected = (
        b'{"at":"2026-11-23T12:00:00.000Z","commitment":"' + b"0" * 64 + b'",'
        b'"id":"01a20880-0000-7000-8000-000000000000","kind":"decision","tag":null,"tenant":"default","v":1}'
    )
    assert _header() == expected
    assert entry.parse_header(expected).to_bytes() == expected


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"\xff",
        _header()[:-1],
        _header() + b"\n",
        _header().replace(b":1}", b":2}"),
        _header().replace(b":1}", b":true}"),
        _header().replace(b":1}", b":1.0}"),
        _header(more="x"),
        _header(tag="A" * 32),
        _header(tag="0" * 31),
        _header(tag=5),
        _header(tag=["0" * 32]),
        _header(at="2026-11-23T12:00:00Z"),
        _header(id="x"),
        _header(kind=None),
        _header(commitment="0" * 63),
        _header(kind="x" * 70_000),
    ],
    ids=lambda data: data[-24:],
)
def test_other_headers_are_malformed(data: bytes) -> None:
    """A header that is not whole and canonical is refused."""
    with pytest.raises(Malformed):
        entry.parse_header(data)


def test_a_header_fits_a_logs_entry() -> None:
    """65,535 bytes are the bound of a tlog's entry."""
    header = entry.parse_header(_header())
    with pytest.raises(TooLarge):
        entry.Header(
            id=header.id, at=header.at, kind="x" * 65_535, tenant="t", tag=None, commitment=header.commitment
        ).to_bytes()


def test_commitment_and_tag_are_these_hashes() -> None:
    """Each is the SHA-256 of the design; a salt is 16 bytes and nothing else."""
    salt, key = bytes(range(16)), bytes(32)
    assert entry.commitment(salt, b"{}") == hashlib.sha256(b"muster/payload/v1\0" + salt + b"{}").hexdigest()
    assert entry.tag(key, "id") == hashlib.sha256(key + b"id").hexdigest()[:32]
    assert entry.key_commitment(key) == hashlib.sha256(b"muster/tag-key/v1\0" + key).hexdigest()
    for length in (0, 15, 17, 32):
        with pytest.raises(Malformed):
            entry.commitment(bytes(length), b"{}")
