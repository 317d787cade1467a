"""What a log's entries prove of attempts, of reading, and of what is granted; and how fields of a payload are read.

The rules are those of `facts`: everything is read before anything is written. A *strand* is what is attempted for
itself in a module; `course` is the strand that is passed with the last part of a course, and begins the parts anew.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from .errors import Invalid

State: TypeAlias = dict[str, Any]
States: TypeAlias = dict[str, State]

_PINNED: Final = (
    "person", "module", "version", "digest", "strand", "kind", "locale", "items", "place", "number", "deadline",
    "tested_out",
)  # fmt: skip
_COURSE: Final = "course"


def anything(payload: State, key: str) -> Any:
    """A field that has to be there."""
    try:
        return payload[key]
    except KeyError:
        raise Invalid(f"the payload has no `{key}`") from None


def text(payload: State, key: str) -> str:
    """A field that is a string."""
    value = payload.get(key)
    if type(value) is not str:
        raise Invalid(f"the payload has no `{key}` that is a string")
    return value


def table(payload: State, key: str) -> State:
    """A field that is an object."""
    value = payload.get(key)
    if type(value) is not dict:
        raise Invalid(f"the payload has no `{key}` that is an object")
    return value


def attempt(states: States, ref: str | None, entry: str, at: str, payload: State) -> tuple[str, ...]:
    """An attempt was opened, went on, or ended without a result."""
    if ref is None:
        return ()
    event = text(payload, "event")
    if event == "opened":
        return _opened(states, ref, entry, at, payload)
    name = f"attempt/{text(payload, 'attempt')}"
    held = _open(states, name)
    if event == "saved":
        answers, active, saves = table(payload, "answers"), anything(payload, "active"), anything(payload, "saves")
        held.update(answers=answers, active=active, saves=saves, save=entry)
        return (name,)
    if event == "stepped":
        choice, place = anything(payload, "choice"), anything(payload, "place")
        held["trail"].append({"place": held["place"], "choice": choice})
        held.update(place=place, save=entry)
        return (name,)
    if event not in ("expired", "voided"):
        raise Invalid(f"nothing happens to an attempt that is called {event!r}")
    learned = _ended(states, ref, entry, at, payload, passed=False)
    held.update(status=event, closed_at=at, save=entry)
    return (name, learned)


def result(states: States, ref: str | None, entry: str, at: str, payload: State) -> tuple[str, ...]:
    """A result closes its attempt; one of a course has none."""
    if ref is None:
        return ()
    tried = payload.get("attempt")
    if type(tried) is not str:
        if payload.get("strand") != _COURSE:
            return ()
        return (_ended(states, ref, entry, at, payload, passed=False),)
    name = f"attempt/{tried}"
    held, passed = _open(states, name), payload.get("passed") is True
    learned = _ended(states, ref, entry, at, payload, passed=passed)
    held.update(status="passed" if passed else "failed", closed_at=at, result=entry, save=entry)
    return (name, learned)


def learning(states: States, ref: str | None, _entry: str, at: str, payload: State) -> tuple[str, ...]:
    """Slides were read; with the last ones of a course's lesson that part is done."""
    if ref is None:
        return ()
    name, read, part = f"learning/{ref}/{text(payload, 'module')}", anything(payload, "read"), payload.get("part")
    held = _begun(states, name)
    held.update(read=read, opened_at=at)
    if part is not None:
        held["parts"][str(part)] = {"at": at}
    return (name,)


def accommodation(states: States, ref: str | None, entry: str, _at: str, payload: State) -> tuple[str, ...]:
    """What a person is granted; it replaces what was granted before."""
    if ref is None:
        return ()
    states[f"accommodation/{ref}"] = {**table(payload, "granted"), "evidence": entry}
    return (f"accommodation/{ref}",)


def regrade(states: States, entry: str, payload: State) -> tuple[str, ...]:
    """An item of one version of a module was voided; what else is said of a regrade changes nothing."""
    if text(payload, "event") != "voided":
        return ()
    digest, item = text(payload, "digest"), text(payload, "item")
    name = f"regrade/{digest}"
    if name not in states:
        states[name] = {"module": text(payload, "module"), "digest": digest, "items": {}}
    states[name]["items"][item] = entry
    return (name,)


def _opened(states: States, ref: str, entry: str, at: str, payload: State) -> tuple[str, ...]:
    pinned = {key: anything(payload, key) for key in _PINNED}
    strand, learned = text(payload, "strand"), f"learning/{ref}/{text(payload, 'module')}"
    seen = None if strand == _COURSE else anything(payload, "seen")
    states[f"attempt/{entry}"] = pinned | {
        "answers": {}, "trail": [], "active": 0, "saves": 0, "result": None,
        "status": "open", "opened_at": at, "closed_at": None, "save": entry,
    }  # fmt: skip
    held = _begun(states, learned)
    if strand == _COURSE:
        held["parts"] = {}
    else:
        held["open"][strand] = entry
        held["seen"][strand] = seen
    return (f"attempt/{entry}", learned)


def _ended(states: States, ref: str, entry: str, at: str, payload: State, *, passed: bool) -> str:
    """A try of a strand has ended; answers the name of the learning that it moved. Raises Invalid, nothing written."""
    name, strand = f"learning/{ref}/{text(payload, 'module')}", text(payload, "strand")
    if strand == _COURSE:
        _begun(states, name)["parts"] = {}
        return name
    last = {
        "attempt": text(payload, "attempt"),
        "number": anything(payload, "number"),
        "failures": anything(payload, "failures"),
        "passed": passed,
        "counted_from": text(payload, "counted_from"),
    }
    part = text(payload, "part") if passed and payload.get("part") is not None else None
    done = {"at": at, "score": anything(payload, "score"), "result": entry} if part is not None else None
    held = _begun(states, name)
    # A regrade ends an attempt again, maybe while a newer one of the strand is open.
    if held["open"].get(strand) == last["attempt"]:
        del held["open"][strand]
    held["last"][strand] = last
    if part is not None:
        held["parts"][part] = done
    return name


def _open(states: States, name: str) -> State:
    held = states.get(name)
    if held is None:
        raise Invalid(f"an entry about {name}, which was never opened")
    return held


def _begun(states: States, name: str) -> State:
    held = states.get(name)
    if held is None:
        held = states[name] = {"open": {}, "last": {}, "seen": {}, "parts": {}, "read": [], "opened_at": None}
    return held
