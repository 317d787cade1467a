"""What is put into the ledger and what comes out: values that are never changed, shared by every store.

(Those of every decision are not frozen: their constructors would take three times as long.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, cast
from urllib.parse import quote, unquote

import orjson

from ledger.canonical import JSON
from ledger.errors import Erased

__all__ = [
    "JSON",
    "Append",
    "Cosigned",
    "Draft",
    "Entry",
    "Head",
    "NewPerson",
    "Person",
    "Published",
    "RawEntry",
    "Receipt",
    "StoredCheckpoint",
    "unknown_object",
]

_UNKNOWN: Final = "unknown/"


class Person(NamedTuple):
    """A person's key within a tenant."""

    type: str
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPerson:
    """What a person's first `subject` draft brings: `ref`, 32 hex, and `key`, 32 random bytes."""

    ref: str
    key: bytes


@dataclass(slots=True, kw_only=True)
class Draft:
    """An entry to be: the writer adds `at`, index, salt, tag. `id` is a UUIDv7 drawn by the client."""

    id: str
    kind: str
    payload: Mapping[str, JSON]
    about: Person | None = None
    new_person: NewPerson | None = None


@dataclass(slots=True, kw_only=True)
class Append:
    """Drafts that commit together, in order, adjacent, or not at all, and what they lean on.

    reads        (object, version): each must still be the object's version, before the first draft
    revision     must be the tenant's active revision, where given
    now          the instant that was decided with: `0 <= at - now <= 2 s`, where given
    valid_until  `at` must be before it, where given
    erases       whose payloads, key and objects go with this append. Its drafts are of kind `erasure` and list, in
                 `indices`, exactly the entries about that person that have a payload; else it is stale
    """

    tenant: str
    drafts: tuple[Draft, ...]
    reads: tuple[tuple[str, int], ...] = ()
    revision: str | None = None
    now: str | None = None
    valid_until: str | None = None
    erases: Person | None = None


@dataclass(slots=True, kw_only=True)
class Receipt:
    """Where an entry is. `duplicate`: it was in the log before this append was taken."""

    id: str
    index: int
    at: str
    duplicate: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """What a commit moved in one tenant: the objects that have another version now, or are gone.

    A person who became known, or was erased, is also there under the name that stands for an unknown one.
    `revision` is the one that is active since, where an activation was among the entries.
    """

    tenant: str
    objects: frozenset[str]
    revision: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RawEntry:
    """An entry as it is stored, nothing believed: what the verifier reads."""

    index: int
    id: str
    header: bytes
    leaf: bytes
    payload: bytes | None
    salt: bytes | None
    about: Person | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An entry of the log; payload, salt and about are None where they were erased."""

    index: int
    id: str
    at: str
    kind: str
    tenant: str
    header: bytes
    payload: bytes | None
    salt: bytes | None
    about: Person | None

    @property
    def value(self) -> dict[str, JSON]:
        """The parsed payload; raises Erased."""
        if self.payload is None:
            raise Erased(f"the payload of entry {self.id} was erased")
        return cast(dict[str, JSON], orjson.loads(self.payload))


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The published end of a tenant's log; size 0 where it has none."""

    size: int
    root: bytes
    newest_at: str | None
    active_revision: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A checkpoint to be kept: its note as the log signed it, and the instant of that. Answered by None."""

    tenant: str
    size: int
    root: bytes
    at: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cosigned:
    """Signature lines of witnesses, without their newlines, to be kept with a checkpoint. Answered by None."""

    tenant: str
    size: int
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCheckpoint:
    """A checkpoint as it is served: the log's note, and the lines of those who cosigned it."""

    size: int
    at: str
    log_note: str
    cosignatures: tuple[str, ...]

    @property
    def note(self) -> str:
        """The whole note."""
        return self.log_note + "".join(f"{line}\n" for line in self.cosignatures)


def unknown_object(person: Person) -> str:
    """The name that stands in `reads` for a person without a `subject` entry."""
    return f"{_UNKNOWN}{quote(person.type, safe='')}/{person.id}"


def unknown_person(name: str) -> Person | None:
    """The person behind such a name; None for the name of anything else."""
    if not name.startswith(_UNKNOWN):
        return None
    kind, _, identity = name.removeprefix(_UNKNOWN).partition("/")
    return Person(unquote(kind), identity)
