"""What the verifier computes from one stored row, without the writer's code: header, payload, tree.

Shares SHA-256, canonical JSON and the shapes of IDs and instants with the rest of the room, nothing else.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

import orjson

from ledger import canonical, instants
from ledger.canonical import JSON
from ledger.errors import LedgerError
from ledger.model import Person, RawEntry
from ledger.reduce import KINDS

_FIELDS: Final = {"v", "id", "at", "kind", "tenant", "tag", "commitment"}


class Tree:
    """The root of a growing tree by RFC 6962's definition: a stack of (height, hash), merged where equal."""

    def __init__(self) -> None:
        self._stack: list[tuple[int, bytes]] = []

    def append(self, leaf: bytes) -> None:
        """Add one leaf hash."""
        height, node = 0, leaf
        while self._stack and self._stack[-1][0] == height:
            node = sha256(b"\x01" + self._stack.pop()[1] + node).digest()
            height += 1
        self._stack.append((height, node))

    def root(self) -> bytes:
        """The root over all leaves so far."""
        if not self._stack:
            return sha256(b"").digest()
        root = self._stack[-1][1]
        for _, left in self._stack[-2::-1]:
            root = sha256(b"\x01" + left + root).digest()
        return root


def leaf(raw: RawEntry) -> bytes:
    """The leaf hash of a stored header."""
    return sha256(b"\x00" + raw.header).digest()


def tag(key: bytes, entry_id: str) -> str:
    """What the header says where the entry is about the person of this key."""
    return sha256(key + entry_id.encode()).digest()[:16].hex()


def key_commitment(key: bytes) -> str:
    """What the person's first entry says of their key."""
    return sha256(b"muster/tag-key/v1\0" + key).hexdigest()


def header(raw: RawEntry, tenant: str) -> dict[str, JSON] | str:
    """The header, if it is one that the format allows; else the sentence that says why not."""
    value = _object(raw.header)
    if value is None or len(raw.header) > 65_535:
        return "the header is not a canonical JSON object of at most 65,535 bytes"
    if value.keys() != _FIELDS or type(value["v"]) is not int or value["v"] != 1:
        return "the header has other fields than the format's"
    if value["id"] != raw.id or value["tenant"] != tenant:
        return "the header is of another ID or tenant than its row"
    if not isinstance(value["kind"], str) or value["kind"] not in KINDS:
        return "no entry is of this kind"
    if not instants.is_instant(value["at"]):
        return "the header's `at` is not an instant"
    return value


def opens(raw: RawEntry, commitment: JSON) -> bool:
    """Whether payload and salt are what the header commits to."""
    if raw.payload is None or raw.salt is None or len(raw.salt) != 16:
        return False
    return sha256(b"muster/payload/v1\0" + raw.salt + raw.payload).hexdigest() == commitment


def payload(raw: RawEntry) -> dict[str, JSON] | None:
    """The payload, if it is a canonical JSON object."""
    return None if raw.payload is None else _object(raw.payload)


def named(kind: str, value: dict[str, JSON]) -> Person | None:
    """Whom the payload itself says that it is about, where its kind says so by type and ID."""
    person = value.get("person")
    if kind == "decision":
        given = value.get("input")
        person = given.get("subject") if isinstance(given, dict) else None
    if not isinstance(person, dict):
        return None
    kind_of, identity = person.get("type"), person.get("id")
    return Person(kind_of, identity) if isinstance(kind_of, str) and isinstance(identity, str) else None


def _object(data: bytes) -> dict[str, JSON] | None:
    try:
        value = orjson.loads(data)
        return value if isinstance(value, dict) and canonical.encode(value) == data else None
    except (orjson.JSONDecodeError, LedgerError):
        return None
