"""An append as the writer takes it: shapes checked, payloads canonical, no value of the caller's in it.

This is done in the thread that submits, so that the writer's thread only checks and writes. The salt is drawn here,
and the payload hashed: what is longer than 2 KB is hashed without Python's lock, which the writer could not get back
before its transaction is old.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, NamedTuple, cast

import orjson

from ledger import canonical, instants
from ledger.canonical import JSON
from ledger.chance import sixteen
from ledger.entry import KEY_BYTES, MAX_PAYLOAD, commitment, is_hex32, is_hex64, key_commitment
from ledger.errors import Malformed, TooLarge
from ledger.ids import is_uuid7
from ledger.model import Append, Draft, NewPerson, Person
from ledger.reduce import KINDS

_TENANT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


_ABOUT_NOBODY: Final = frozenset(
    {"activation", "clock.adjusted", "change_window", "log.key", "erasure", "copy", "restored", "rebuilt", "alarm"}
)


@dataclass(slots=True)
class PreparedDraft:
    """A draft whose payload is the bytes that will be kept, and what the header says of them. It is never changed.

    (Not frozen: of that a fifth of all the time of `prepare` would go.)
    """

    id: str
    kind: str
    payload: bytes
    about: Person | None
    new_person: NewPerson | None
    idempotency: tuple[str, str] | None  # key, digest of the request
    salt: bytes = field(init=False, compare=False, repr=False)
    commitment: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        self.salt = sixteen()
        self.commitment = commitment(self.salt, self.payload)

    def value(self) -> dict[str, JSON]:
        """The payload as whoever reads the log will see it."""
        return cast(dict[str, JSON], orjson.loads(self.payload))


class PreparedAppend(NamedTuple):
    """An append without a caller's mutable value in it."""

    tenant: str
    drafts: tuple[PreparedDraft, ...]
    reads: tuple[tuple[str, int], ...]
    revision: str | None
    now: str | None
    now_ms: int
    valid_until: str | None
    erases: Person | None
    erased: tuple[int, ...]

    @property
    def adjusts_clock(self) -> bool:
        """Whether this is the one append that is allowed while the clock is not believed."""
        return self.drafts[0].kind == "clock.adjusted"


def prepare(append: Append) -> PreparedAppend:
    """Check what can be checked without the log; raises Malformed, TooLarge or CanonicalError."""
    tenant, given, now, valid_until = append.tenant, append.drafts, append.now, append.valid_until
    if not _is_tenant(tenant):
        raise Malformed("a tenant is 1 to 128 letters, digits, `.`, `_`, `-`, and begins with one of the first two")
    drafts = (_draft(given[0]),) if len(given) == 1 else tuple([_draft(draft) for draft in given])
    if len(drafts) != 1:
        _check_together(drafts)
    if valid_until is not None and not instants.is_instant(valid_until):
        raise Malformed(f"not an instant: {valid_until!r}")
    if now is not None and not instants.is_instant(now):
        raise Malformed(f"not an instant: {now!r}")
    now_ms = 0 if now is None else instants.parse(now)
    erased = _erased(append)
    return PreparedAppend(
        tenant, drafts, tuple(append.reads), append.revision, now, now_ms, valid_until, append.erases, erased
    )


@lru_cache(maxsize=64)
def _is_tenant(text: str) -> bool:
    return _TENANT.fullmatch(text) is not None


def _check_together(drafts: tuple[PreparedDraft, ...]) -> None:
    if not drafts:
        raise Malformed("an append without drafts")
    if len({draft.id for draft in drafts}) != len(drafts):
        raise Malformed("two drafts of an append have the same ID")
    keys = [draft.idempotency[0] for draft in drafts if draft.idempotency]
    if len(set(keys)) != len(keys):
        raise Malformed("two drafts of an append have the same idempotency key")
    if any(draft.kind == "clock.adjusted" for draft in drafts):
        raise Malformed("a clock adjustment is appended alone")


def _erased(append: Append) -> tuple[int, ...]:
    """The entries whose payloads an append takes away."""
    if append.erases is None:
        if "erasure" in [draft.kind for draft in append.drafts]:
            raise Malformed("an `erasure` entry comes with what it erases")
        return ()
    kinds = {draft.kind for draft in append.drafts}
    if kinds != {"erasure"} or any(draft.about is not None for draft in append.drafts):
        raise Malformed("an append that erases has entries of kind `erasure` only, about nobody")
    listed: list[int] = []
    for draft in append.drafts:
        indices = draft.payload.get("indices")
        if not isinstance(indices, list) or not all(type(index) is int for index in indices):
            raise Malformed("an `erasure` lists the indices of what it erases")
        listed += cast(list[int], indices)
    if listed != sorted(set(listed)):
        raise Malformed("the indices of an erasure ascend")
    return tuple(listed)


def _draft(draft: Draft) -> PreparedDraft:
    entry_id, kind, value, about = draft.id, draft.kind, draft.payload, draft.about
    if not is_uuid7(entry_id):
        raise Malformed(f"an entry's ID is a lower-case UUIDv7, not {entry_id[:40]!r}")
    if kind not in KINDS:
        raise Malformed(f"no entry is of kind {kind!r}")
    payload = canonical.encode(value if type(value) is dict else dict(value))
    if len(payload) > MAX_PAYLOAD:
        raise TooLarge(f"a payload of {len(payload)} bytes; at most {MAX_PAYLOAD} are kept")
    if kind == "activation" and not is_hex64(value.get("revision")):
        raise Malformed("an activation names a revision, 64 hex")
    if about is not None and kind in _ABOUT_NOBODY:
        raise Malformed(f"an entry of kind {kind} is about nobody")
    new, idempotency = draft.new_person, value.get("idempotency")
    return PreparedDraft(
        entry_id,
        kind,
        payload,
        about,
        None if new is None else _new_person(draft, new),
        None if idempotency is None else _idempotency(idempotency),
    )


def _new_person(draft: Draft, new: NewPerson) -> NewPerson:
    if draft.kind != "subject" or draft.about is None:
        raise Malformed("only a `subject` entry about a person brings a new person")
    if len(new.key) != KEY_BYTES or not is_hex32(new.ref):
        raise Malformed("a new person has a ref of 32 hex and a key of 32 bytes")
    if draft.payload.get("ref") != new.ref or draft.payload.get("key_commitment") != key_commitment(new.key):
        raise Malformed("a person's first entry states their ref and commits to their key")
    if draft.payload.get("person") != {"type": draft.about.type, "id": draft.about.id}:
        raise Malformed("a person's first entry names the person that it is about")
    return new


def _idempotency(value: JSON) -> tuple[str, str]:
    if isinstance(value, dict) and value.keys() == {"key", "request"}:
        key, request = value["key"], value["request"]
        if isinstance(key, str) and isinstance(request, str) and is_hex64(key) and is_hex64(request):
            return key, request
    raise Malformed("`idempotency` is {key, request}, each 64 hex")
