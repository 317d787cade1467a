"""The bytes of an entry: header, commitment, tag. What they are is fixed for ever by `v`.

header      canonical JSON {v:1, id, at, kind, tenant, tag, commitment}, at most 65,535 bytes; the Merkle leaf
commitment  SHA-256("muster/payload/v1\\0" || salt || canonical payload), the salt exactly 16 bytes
tag         the first 16 bytes of SHA-256(k || id text); null where it is about nobody or an unknown person
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

import orjson

from ledger import canonical, ids, instants
from ledger.errors import LedgerError, Malformed, TooLarge

VERSION: Final = 1
MAX_HEADER: Final = 65_535
MAX_PAYLOAD: Final = 1 << 20
SALT_BYTES: Final = 16
KEY_BYTES: Final = 32

_HEX_32: Final = re.compile(r"[0-9a-f]{32}")
_HEX_64: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """A parsed header."""

    id: str
    at: str
    kind: str
    tenant: str
    tag: str | None
    commitment: str

    def to_bytes(self) -> bytes:
        """The canonical bytes; raises TooLarge."""
        data = canonical.encode(
            {
                "v": VERSION,
                "id": self.id,
                "at": self.at,
                "kind": self.kind,
                "tenant": self.tenant,
                "tag": self.tag,
                "commitment": self.commitment,
            }
        )
        if len(data) > MAX_HEADER:
            raise TooLarge(f"a header of {len(data)} bytes; at most {MAX_HEADER} fit a log's entry")
        return data


def header_bytes(*, id_text: str, at: str, kind: str, tenant: str, tag: str | None, commitment: str) -> bytes:
    """`Header.to_bytes` of values that JSON writes as they are, which `prepare` and the writer see to; 4 us cheaper."""
    mark = "null" if tag is None else f'"{tag}"'
    return (
        f'{{"at":"{at}","commitment":"{commitment}","id":"{id_text}","kind":"{kind}","tag":{mark},'
        f'"tenant":"{tenant}","v":1}}'
    ).encode()


def parse_header(data: bytes) -> Header:
    """The header in `data`, whole and canonical; raises Malformed."""
    if len(data) > MAX_HEADER:
        raise Malformed("the header is longer than 65,535 bytes")
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as exc:
        raise Malformed(f"the header is not JSON: {exc}") from exc
    if not isinstance(value, dict):
        raise Malformed("the header is not an object")
    version = value.pop("v", None)
    if version != VERSION or type(version) is not int:
        raise Malformed("the header's `v` is not 1")
    if value.keys() != {"id", "at", "kind", "tenant", "tag", "commitment"}:
        raise Malformed("the header has other fields than the format's")
    tag = value.pop("tag")
    if not all(isinstance(text, str) for text in value.values()) or not (tag is None or isinstance(tag, str)):
        raise Malformed("a header field is not a string")
    header = Header(tag=tag, **value)
    if not ids.is_uuid7(header.id) or not instants.is_instant(header.at):
        raise Malformed("the header's `id` or `at` is not well formed")
    if not is_hex64(header.commitment) or not (tag is None or is_hex32(tag)):
        raise Malformed("the header's `commitment` or `tag` is not well formed")
    try:
        same = header.to_bytes() == data
    except LedgerError as exc:
        raise Malformed(f"the header is not canonical: {exc}") from exc
    if not same:
        raise Malformed("the header is not canonical")
    return header


def commitment(salt: bytes, payload: bytes) -> str:
    """What the header says of a payload; raises Malformed where the salt is not 16 bytes."""
    if len(salt) != SALT_BYTES:
        # Another length would let one commitment open to two payloads.
        raise Malformed(f"a salt of {len(salt)} bytes; it is always {SALT_BYTES}")
    return sha256(b"muster/payload/v1\0" + salt + payload).hexdigest()


def tag(key: bytes, id_text: str) -> str:
    """The mark by which the holder of a person's `key`, and nobody else, knows the entries about them."""
    return sha256(key + id_text.encode()).hexdigest()[:32]


def key_commitment(key: bytes) -> str:
    """What a person's first entry says of their key."""
    return sha256(b"muster/tag-key/v1\0" + key).hexdigest()


def is_hex32(text: object) -> bool:
    """16 bytes in lower-case hex: a ref, a tag."""
    return isinstance(text, str) and _HEX_32.fullmatch(text) is not None


def is_hex64(text: object) -> bool:
    """32 bytes in lower-case hex: a SHA-256."""
    return isinstance(text, str) and _HEX_64.fullmatch(text) is not None
