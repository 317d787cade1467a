"""The projection: what a log proves now, as a pure reduction of its entries.

Owns the states of `person/`, `approval/`, `change_window/` and `token/` objects. It copies and never
computes: no date is added, no tier concluded. A state is replaced, never changed in place, so that whoever
holds one holds it for good. An object's version is the index of the newest entry that `changed` names it for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeAlias

from ledger.canonical import JSON
from ledger.errors import Malformed
from ledger.model import Entry, Person

REDUCER: Final = 1

State: TypeAlias = dict[str, JSON]
Payload: TypeAlias = Mapping[str, JSON]


def changed(kind: str, payload: Payload, about_ref: str | None, entry_id: str) -> tuple[str, ...]:
    """The objects that this entry changes; raises Malformed for a kind that the format does not have."""
    if kind not in KINDS:
        raise Malformed(f"no entry is of kind {kind!r}")
    if kind in _PERSON:
        # Nothing is kept of a person who has no `subject` entry, and a failed result proves nothing.
        if about_ref is None or (kind == "result" and payload.get("passed") is not True):
            return ()
        return (f"person/{about_ref}",)
    if kind in ("approval", "change_window"):
        return (f"{kind}/{entry_id}",)
    if kind == "token":
        return (f"token/{_text(payload, 'token')}",)
    return ()


def reduce(name: str, state: State | None, *, kind: str, payload: Payload, entry_id: str, at: str) -> State:
    """The state of the object `name` after this entry, from its state before; raises Malformed."""
    room, _, key = name.partition("/")
    if room == "person":
        return _PERSON[kind](state, key, payload, entry_id, at)
    if room == "approval":
        return {
            "approver": _text(payload, "ref"),
            "request_digest": _text(payload, "request_digest"),
            "expires_at": _text(payload, "expires_at"),
            "evidence": entry_id,
        }
    if room == "change_window":
        return {
            "starts_at": _text(payload, "starts_at"),
            "ends_at": _text(payload, "ends_at"),
            "resources": _field(payload, "resources"),
            "evidence": entry_id,
        }
    if room == "token":
        return _token(state, payload, at)
    raise Malformed(f"no object is called {name!r}")


def _subject(state: State | None, ref: str, payload: Payload, entry_id: str, at: str) -> State:
    del entry_id, at
    person = _object(payload, "person")
    before: State = state or {"modules": {}, "scopes": {}, "waivers": {}}
    return before | {
        "type": _text(person, "type"),
        "id": _text(person, "id"),
        "ref": ref,
        "directory": _object(payload, "directory"),
    }


def _result(state: State | None, ref: str, payload: Payload, entry_id: str, at: str) -> State:
    del ref, at
    person, module, tier = _known(state), _text(payload, "module"), _text(payload, "tier")
    modules = _object(person, "modules")
    tiers = _member(modules, module)
    passed_at = _text(payload, "occurred_at")
    held = tiers.get(tier)
    if isinstance(held, dict) and _text(held, "passed_at") > passed_at:
        return person
    fact: State = {
        "passed_at": passed_at,
        "version": _text(payload, "version"),
        "digest": _field(payload, "digest"),
        "imported": payload.get("source") == "import",
        "evidence": entry_id,
    }
    return person | {"modules": modules | {module: tiers | {tier: fact}}}


def _certification(state: State | None, ref: str, payload: Payload, entry_id: str, at: str) -> State:
    del ref, at
    person, scope = _known(state), _text(payload, "scope")
    scopes = _object(person, "scopes")
    held = _member(scopes, scope)
    tiers = _member(held, "tiers")
    fact: State = {
        "issued_at": _text(payload, "issued_at"),
        "expires_at": _text(payload, "expires_at"),
        "evidence": entry_id,
        "parts": _object(payload, "parts"),
    }
    # `revoked_at` stays: whatever asks which passes count again after a revocation needs its instant.
    renewed = held | {"standing": "good", "tiers": tiers | {_text(payload, "tier"): fact}}
    return person | {"scopes": scopes | {scope: renewed}}


def _revocation(state: State | None, ref: str, payload: Payload, entry_id: str, at: str) -> State:
    del ref
    person = _known(state)
    revoked: State = {"standing": "revoked", "tiers": {}, "revoked_at": at, "revocation": entry_id}
    return person | {"scopes": _object(person, "scopes") | {_text(payload, "scope"): revoked}}


def _waiver(state: State | None, ref: str, payload: Payload, entry_id: str, at: str) -> State:
    del ref, at
    person = _known(state)
    requirement = _object(payload, "requirement")
    if len(requirement) != 1 or not requirement.keys() <= {"scope", "track", "module"}:
        raise Malformed("a waiver's requirement names one scope, track or module")
    [what] = requirement
    waiver: State = {"until": _text(payload, "until"), "evidence": entry_id}
    key = f"{what}:{_text(requirement, what)}"
    return person | {"waivers": _object(person, "waivers") | {key: waiver}}


def _token(state: State | None, payload: Payload, at: str) -> State:
    event = _text(payload, "event")
    if event == "issued" and state is None:
        return {
            "hash": _text(payload, "hash"),
            "role": _text(payload, "role"),
            "principal": _object(payload, "principal"),
            "expires_at": _text(payload, "expires_at"),
        }
    if event == "revoked" and state is not None:
        return {"revoked_at": at} | state  # the first revocation is the one that counts
    raise Malformed("a token is issued once, and revoked only after that")


_Reducer: TypeAlias = Callable[[State | None, str, Payload, str, str], State]
_PERSON: Final[dict[str, _Reducer]] = {
    "subject": _subject,
    "result": _result,
    "certification": _certification,
    "revocation": _revocation,
    "waiver": _waiver,
}
KINDS: Final = frozenset(_PERSON) | {
    "decision",
    "approval",
    "change_window",
    "token",
    "activation",
    "clock.adjusted",
}


def _field(payload: Payload, key: str) -> JSON:
    if key not in payload:
        raise Malformed(f"the payload has no `{key}`")
    return payload[key]


def _text(payload: Payload, key: str) -> str:
    value = _field(payload, key)
    if not isinstance(value, str):
        raise Malformed(f"`{key}` is not a string")
    return value


def _object(payload: Payload, key: str) -> State:
    value = _field(payload, key)
    if not isinstance(value, dict):
        raise Malformed(f"`{key}` is not an object")
    return value


def _member(states: State, key: str) -> State:
    return _object(states, key) if key in states else {}


def _known(state: State | None) -> State:
    if state is None:
        raise Malformed("a fact about a person who has no `subject` entry")
    return state


class Reduction:
    """The projection of a log's beginning, made by applying its entries in order."""

    def __init__(self) -> None:
        self.size = 0
        self.active_revision: str | None = None
        self._refs: dict[Person, str] = {}
        self._objects: dict[str, tuple[int, State]] = {}

    def apply(self, entry: Entry) -> tuple[str, ...]:
        """Take the next entry; answers the objects that it changed; raises Malformed."""
        if entry.index != self.size:
            raise Malformed(f"entry {entry.index} where {self.size} is the next one")
        self.size += 1
        if entry.payload is None:
            return ()  # erased: what it changed was erased with it
        payload = entry.value
        if entry.kind == "activation":
            self.active_revision = _text(payload, "revision")
        if entry.kind == "subject" and entry.about is not None:
            self._refs.setdefault(entry.about, _text(payload, "ref"))
        names = changed(entry.kind, payload, self.ref(entry.about), entry.id)
        for name in names:
            state = reduce(name, self.state(name), kind=entry.kind, payload=payload, entry_id=entry.id, at=entry.at)
            self._objects[name] = (entry.index, state)
        return names

    def ref(self, person: Person | None) -> str | None:
        """The person's pseudonym; None for nobody and for an unknown person."""
        return None if person is None else self._refs.get(person)

    def state(self, name: str) -> State | None:
        """The object's state; None where it does not exist."""
        return self._objects[name][1] if name in self._objects else None

    def version(self, name: str) -> int:
        """The object's version; -1 where it does not exist."""
        return self._objects[name][0] if name in self._objects else -1

    def objects(self) -> Iterator[tuple[str, int, State]]:
        """Every object with its version and state, in no order."""
        for name, (version, state) in self._objects.items():
            yield name, version, state
