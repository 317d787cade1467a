"""The projection: what a log proves now, as a pure reduction of its entries.

Owns the states of `person/`, `approval/`, `change_window/`, `request/`, `token/`, `hold/`, `alarm/` and `log/` objects;
those of learning are in `ledger.learning`. It copies and never computes: no date is added, no tier concluded. A state
is replaced, never changed in place, so that whoever holds one holds it for good. An object's version is the index of
the newest entry that `changed` names it for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from ledger import learning
from ledger.canonical import JSON
from ledger.errors import Malformed
from ledger.fields import Payload, State, field, known, mapping, member, text
from ledger.model import Entry, Person

REDUCER: Final = 2


def changed(kind: str, payload: Payload, about_ref: str | None, entry_id: str) -> tuple[str, ...]:
    """The objects that this entry changes; raises Malformed for a kind that the format does not have."""
    if kind not in KINDS:
        raise Malformed(f"no entry is of kind {kind!r}")
    if kind in _PERSON:
        # Nothing is kept of a person who has no `subject` entry.
        person = (f"person/{about_ref}",) if about_ref is not None and _proves(kind, payload) else ()
        return (*person, *learning.changed(kind, payload, about_ref, entry_id))
    if kind in learning.KINDS:
        return learning.changed(kind, payload, about_ref, entry_id)
    if kind in ("approval", "change_window"):
        return (f"{kind}/{entry_id}",)
    if kind == "request":
        return (f"request/{entry_id if text(payload, 'event') == 'stored' else text(payload, 'request')}",)
    if kind == "token":
        return (f"token/{text(payload, 'token')}",)
    if kind == "log.key":
        return ("log/key",)
    if kind == "alarm":
        return (f"alarm/{text(payload, 'witness')}",)
    if kind == "hold":
        return () if about_ref is None else (f"hold/{about_ref}",)
    return ()


def reduce(name: str, state: State | None, *, kind: str, payload: Payload, entry_id: str, at: str) -> State:
    """The state of the object `name` after this entry, from its state before; raises Malformed."""
    room, _, key = name.partition("/")
    if room in learning.ROOMS:
        return learning.reduce(name, state, kind=kind, payload=payload, entry_id=entry_id, at=at)
    if room == "person":
        return _PERSON[kind](state, key, payload, entry_id, at)
    if room == "approval":
        return {
            "approver": text(payload, "ref"),
            "request_digest": text(payload, "request_digest"),
            "expires_at": text(payload, "expires_at"),
            "evidence": entry_id,
        }
    if room == "change_window":
        return {
            "starts_at": text(payload, "starts_at"),
            "ends_at": text(payload, "ends_at"),
            "resources": field(payload, "resources"),
            "evidence": entry_id,
        }
    if room == "request":
        return _request(state, payload, entry_id, at)
    if room == "token":
        return _token(state, payload, at)
    if room == "log":
        return {"origin": text(payload, "origin"), "vkey": text(payload, "vkey"), "evidence": entry_id}
    if room in ("alarm", "hold"):
        return {"event": text(payload, "event"), "reason": text(payload, "reason"), "since": at, "evidence": entry_id}
    raise Malformed(f"no object is called {name!r}")


def _proves(kind: str, payload: Payload) -> bool:
    """Whether an entry about a person is a fact: a failed result proves nothing, nor does a part of a course."""
    if kind == "result":
        return payload.get("passed") is True and payload.get("part") is None
    return kind != "regrade" or payload.get("event") == "lowered"


def _subject(state: State | None, ref: str, payload: Payload, entry_id: str, at: str) -> State:
    del entry_id, at
    person = mapping(payload, "person")
    before: State = state or {"modules": {}, "scopes": {}, "waivers": {}}
    return before | {
        "type": text(person, "type"),
        "id": text(person, "id"),
        "ref": ref,
        "directory": mapping(payload, "directory"),
    }


def _result(state: State | None, ref: str, payload: Payload, entry_id: str, at: str) -> State:
    del ref, at
    person, module, tier = (
        known(state, "the learning of a person who has no `subject` entry"),
        text(payload, "module"),
        text(payload, "tier"),
    )
    modules = mapping(person, "modules")
    tiers = member(modules, module)
    passed_at = text(payload, "occurred_at")
    held = tiers.get(tier)
    if isinstance(held, dict) and text(held, "passed_at") > passed_at:
        return person
    fact: State = {
        "passed_at": passed_at,
        "version": text(payload, "version"),
        "digest": field(payload, "digest"),
        "imported": payload.get("source") == "import",
        "evidence": entry_id,
    }
    return person | {"modules": modules | {module: tiers | {tier: fact}}}


def _certification(state: State | None, ref: str, payload: Payload, entry_id: str, at: str) -> State:
    del ref, at
    person, scope = known(state, "the learning of a person who has no `subject` entry"), text(payload, "scope")
    scopes = mapping(person, "scopes")
    held = member(scopes, scope)
    tiers = member(held, "tiers")
    fact: State = {
        "issued_at": text(payload, "issued_at"),
        "expires_at": text(payload, "expires_at"),
        "evidence": entry_id,
        "parts": mapping(payload, "parts"),
    }
    # `revoked_at` stays: whatever asks which passes count again after a revocation needs its instant.
    renewed = held | {"standing": "good", "tiers": tiers | {text(payload, "tier"): fact}}
    return person | {"scopes": scopes | {scope: renewed}}


def _revocation(state: State | None, ref: str, payload: Payload, entry_id: str, at: str) -> State:
    del ref
    person = known(state, "the learning of a person who has no `subject` entry")
    revoked: State = {"standing": "revoked", "tiers": {}, "revoked_at": at, "revocation": entry_id}
    return person | {"scopes": mapping(person, "scopes") | {text(payload, "scope"): revoked}}


def _waiver(state: State | None, ref: str, payload: Payload, entry_id: str, at: str) -> State:
    del ref, at
    person = known(state, "the learning of a person who has no `subject` entry")
    requirement = mapping(payload, "requirement")
    if len(requirement) != 1 or not requirement.keys() <= {"scope", "track", "module"}:
        raise Malformed("a waiver's requirement names one scope, track or module")
    [what] = requirement
    waiver: State = {"until": text(payload, "until"), "evidence": entry_id}
    key = f"{what}:{text(requirement, what)}"
    return person | {"waivers": mapping(person, "waivers") | {key: waiver}}


def _token(state: State | None, payload: Payload, at: str) -> State:
    event = text(payload, "event")
    if event == "issued" and state is None:
        return {
            "hash": text(payload, "hash"),
            "role": text(payload, "role"),
            "principal": mapping(payload, "principal"),
            "expires_at": text(payload, "expires_at"),
            **{name: payload[name] for name in ("origin", "since") if name in payload},
        }
    if event == "revoked" and state is not None:
        return {"revoked_at": at} | state  # the first revocation is the one that counts
    raise Malformed("a token is issued once, and revoked only after that")


def _request(state: State | None, payload: Payload, entry_id: str, at: str) -> State:
    event = text(payload, "event")
    if event == "stored" and state is None:
        return {
            "ref": text(payload, "ref"),
            "action": mapping(payload, "action"),
            "resource": mapping(payload, "resource"),
            "context": mapping(payload, "context"),
            "request_digest": text(payload, "request_digest"),
            "expires_at": text(payload, "expires_at"),
            "stored_by": mapping(mapping(payload, "by"), "principal"),
            "evidence": entry_id,
        }
    if event == "withdrawn" and state is not None:
        return {"withdrawn_at": at, "withdrawal": entry_id} | state  # the first withdrawal is the one that counts
    raise Malformed("a request is stored once, and withdrawn only after that")


def _lowered(state: State | None, ref: str, payload: Payload, entry_id: str, at: str) -> State:
    """What was passed by an item that is void counts until the day of grace, and so does what was earned with it."""
    del ref, at
    person, until = known(state, "the learning of a person who has no `subject` entry"), text(payload, "until")
    course = payload.get("course")  # the result of the course, where the one that is lowered is of a part
    lowered = {text(payload, "result"), *([course] if isinstance(course, str) else [])}
    modules: State = {m: _ended(tiers, lowered, until, entry_id) for m, tiers in mapping(person, "modules").items()}
    certifications = {str(c) for c in _list(payload, "certifications")}
    scopes: State = {
        name: scope | {"tiers": _ended(mapping(scope, "tiers"), certifications, until, entry_id)}
        for name, scope in mapping(person, "scopes").items()
        if isinstance(scope, dict)
    }
    return person | {"modules": modules, "scopes": scopes}


def _ended(tiers: JSON, which: set[str], until: str, entry_id: str) -> JSON:
    assert isinstance(tiers, dict)
    return {
        tier: fact | {"until": until, "lowered": entry_id}
        if isinstance(fact, dict) and fact.get("evidence") in which
        else fact
        for tier, fact in tiers.items()
    }


def _list(payload: Payload, key: str) -> list[JSON]:
    value = field(payload, key)
    if not isinstance(value, list):
        raise Malformed(f"`{key}` is not a list")
    return value


_Reducer: TypeAlias = Callable[[State | None, str, Payload, str, str], State]
_PERSON: Final[dict[str, _Reducer]] = {
    "subject": _subject,
    "result": _result,
    "certification": _certification,
    "revocation": _revocation,
    "waiver": _waiver,
    "regrade": _lowered,
}
KINDS: Final = (frozenset(_PERSON) | learning.KINDS) | {
    "decision",
    "approval",
    "change_window",
    "request",
    "token",
    "activation",
    "clock.adjusted",
    "expiry",
    "hold",
    "log.key",
    "erasure",
    "copy",
    "restored",
    "rebuilt",
    "alarm",
}


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
            self.active_revision = text(payload, "revision")
        if entry.kind == "subject" and entry.about is not None:
            self._refs.setdefault(entry.about, text(payload, "ref"))
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
