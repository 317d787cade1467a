"""One entry as bytes: its header, what the header commits to, and the mark of whom it is about.

A header is canonical JSON of seven fields in one order, so its canonical form is one pattern: what matches is
canonical, and nothing is parsed. Payloads are canonical JSON of any shape.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from . import canonical

KINDS: Final = frozenset(
    {
        "accommodation", "activation", "alarm", "approval", "attempt", "certification", "change_window",
        "clock.adjusted", "copy", "decision", "erasure", "expiry", "hold", "learning", "log.key", "rebuilt", "regrade",
        "request", "restored", "result", "revocation", "subject", "token", "waiver",
    }
)  # fmt: skip
MOST_BYTES: Final = 65_535
_DAY: Final = rb"(?:2[01]\d\d|2200)-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])"
_INSTANT: Final = _DAY + rb"T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{3}Z"
_ONE_INSTANT: Final = re.compile(_INSTANT)
_HEADER: Final = re.compile(
    rb'\{"at":"(' + _INSTANT + rb')","commitment":"([0-9a-f]{64})",'
    rb'"id":"([0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12})",'
    rb'"kind":"([a-z._]+)","tag":(null|"[0-9a-f]{32}"),"tenant":"([A-Za-z0-9][A-Za-z0-9._-]{0,127})","v":1\}'
)


@dataclass(frozen=True, slots=True)
class Header:
    """The fields of a header; `tag` is None where it is about nobody, or about a person who is not known."""

    at: str
    commitment: str
    id: str
    kind: str
    tag: str | None
    tenant: str


def is_instant(text: str) -> bool:
    """Whether this is an instant in the one spelling that entries use."""
    return _ONE_INSTANT.fullmatch(text.encode()) is not None


def header(data: bytes) -> Header | None:
    """The header in these bytes; None where they are not one in its canonical form."""
    match = _HEADER.fullmatch(data)
    if match is None or len(data) > MOST_BYTES:
        return None
    at, commitment, identifier, kind, tag, tenant = match.groups()
    mark = None if tag == b"null" else tag[1:-1].decode()
    found = Header(at.decode(), commitment.decode(), identifier.decode(), kind.decode(), mark, tenant.decode())
    return found if found.kind in KINDS else None


def commitment(salt: bytes, payload: bytes) -> str:
    """What a header says of a payload; with a salt of another length than 16 one commitment would open twice."""
    return sha256(b"muster/payload/v1\0" + salt + payload).hexdigest()


def opens(said: str, salt: bytes | None, payload: bytes | None) -> bool:
    """Whether payload and salt are what a header commits to."""
    return payload is not None and salt is not None and len(salt) == 16 and commitment(salt, payload) == said


def tag(key: bytes, entry_id: str) -> str:
    """What the header says where the entry is about the person of this key."""
    return sha256(key + entry_id.encode()).hexdigest()[:32]


def key_commitment(key: bytes) -> str:
    """What the person's first entry says of their key."""
    return sha256(b"muster/tag-key/v1\0" + key).hexdigest()


def payload(data: bytes | None) -> dict[str, Any] | None:
    """The payload, if it is a canonical JSON object."""
    return None if data is None else canonical.parse(data)


def named(kind: str, value: dict[str, Any]) -> tuple[str, str] | None:
    """Whom the payload itself says that it is about, where its kind says so by type and ID."""
    person = value.get("person")
    if kind == "token":
        holder = value.get("principal")
        person = holder if isinstance(holder, dict) and holder.get("type") == "user" else None
    if kind == "decision":
        given = value.get("input")
        person = given.get("subject") if isinstance(given, dict) else None
    if not isinstance(person, dict):
        return None
    kind_of, identity = person.get("type"), person.get("id")
    return (kind_of, identity) if isinstance(kind_of, str) and isinstance(identity, str) else None
