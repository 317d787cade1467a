"""The projection of learning: what a person's attempts and reading stand at, copied from the entries that say so.

    attempt/<id>            one attempt: what was drawn, what is answered, where a scenario stands, how it ended
    learning/<ref>/<module> one person and one module: what is open, how the last try ended, what was read
    accommodation/<ref>     what a person is granted (more time, more tries); the reason stays in the entry
    regrade/<digest>        the items of one version of a module that were voided

`save` of an attempt is the newest entry that changed it: who saves or submits has to name it, so an older tab loses.
A *strand* is one thing of a module that is attempted for itself: `quiz`, `scenario`, `walkthrough`, a course's part, or
the `course`, which is passed with its last part.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from ledger.canonical import JSON
from ledger.errors import Malformed
from ledger.fields import Payload, State, field, known, mapping, member, text

_FACTS: Final = (
    "person", "module", "version", "digest", "strand", "kind", "locale", "items", "place", "number", "deadline",
    "tested_out",
)  # fmt: skip
_ENDS: Final = ("expired", "voided")
COURSE: Final = "course"


def changed(kind: str, payload: Payload, ref: str | None, entry_id: str) -> tuple[str, ...]:
    """The objects of this room that an entry changes."""
    if kind == "regrade":
        return (f"regrade/{text(payload, 'digest')}",) if text(payload, "event") == "voided" else ()
    if ref is None:
        return ()
    if kind == "accommodation":
        return (f"accommodation/{ref}",)
    if kind == "learning":
        return (f"learning/{ref}/{text(payload, 'module')}",)
    if kind == "attempt":
        event = text(payload, "event")
        attempt = f"attempt/{entry_id if event == 'opened' else text(payload, 'attempt')}"
        return (attempt, f"learning/{ref}/{text(payload, 'module')}") if event in ("opened", *_ENDS) else (attempt,)
    if kind == "result" and isinstance(payload.get("attempt"), str):
        return (f"attempt/{text(payload, 'attempt')}", f"learning/{ref}/{text(payload, 'module')}")
    if kind == "result" and payload.get("strand") == COURSE:
        return (f"learning/{ref}/{text(payload, 'module')}",)
    return ()


def reduce(name: str, state: State | None, *, kind: str, payload: Payload, entry_id: str, at: str) -> State:
    """The state of an object of this room after an entry."""
    room, _, key = name.partition("/")
    return ROOMS[room](state, key, kind, payload, entry_id, at)


def _attempt(state: State | None, key: str, kind: str, payload: Payload, entry_id: str, at: str) -> State:
    if kind == "attempt" and text(payload, "event") == "opened":
        opened: State = {name: field(payload, name) for name in _FACTS}
        fresh: State = {"answers": {}, "trail": [], "active": 0, "saves": 0, "result": None, "closed_at": None}
        return {**opened, **fresh, "opened_at": at, "status": "open", "save": entry_id}
    before = known(state, f"an attempt {key} that was never opened")
    if kind == "result":
        ended = "passed" if payload.get("passed") is True else "failed"
        return before | {"status": ended, "closed_at": at, "result": entry_id, "save": entry_id}
    event = text(payload, "event")
    if event in _ENDS:
        return before | {"status": event, "closed_at": at, "save": entry_id}
    if event == "saved":
        kept: State = {"answers": mapping(payload, "answers")}
        return before | kept | {name: field(payload, name) for name in ("active", "saves")} | {"save": entry_id}
    if event == "stepped":
        trail = field(before, "trail")
        assert isinstance(trail, list)
        step: JSON = {"place": before["place"], "choice": field(payload, "choice")}
        return before | {"place": field(payload, "place"), "trail": [*trail, step], "save": entry_id}
    raise Malformed(f"nothing happens to an attempt that is called {event!r}")


def _learning(state: State | None, key: str, kind: str, payload: Payload, entry_id: str, at: str) -> State:
    del key
    before: State = state or {"open": {}, "last": {}, "seen": {}, "parts": {}, "read": [], "opened_at": None}
    if kind == "learning":
        after = before | {"read": field(payload, "read"), "opened_at": at}
        part = payload.get("part")
        return after if part is None else after | {"parts": _with(before, "parts", str(part), {"at": at})}
    strand = text(payload, "strand")
    if strand == COURSE:
        return before | {"parts": {}}  # the next time begins anew
    if kind == "attempt" and text(payload, "event") == "opened":
        seen = _with(before, "seen", strand, field(payload, "seen"))
        return before | {"open": _with(before, "open", strand, entry_id), "seen": seen}
    # A regrade closes an attempt again, maybe while a newer one is open.
    attempt = text(payload, "attempt")
    still_open: JSON = {s: a for s, a in mapping(before, "open").items() if (s, a) != (strand, attempt)}
    last: State = {
        "attempt": attempt,
        "number": field(payload, "number"),
        "failures": field(payload, "failures"),
        "passed": kind == "result" and payload.get("passed") is True,
        "counted_from": text(payload, "counted_from"),
    }
    after = before | {"open": still_open, "last": _with(before, "last", strand, last)}
    if last["passed"] and payload.get("part") is not None:
        done: State = {"at": at, "score": field(payload, "score"), "result": entry_id}
        return after | {"parts": _with(before, "parts", text(payload, "part"), done)}
    return after


def _accommodation(state: State | None, key: str, kind: str, payload: Payload, entry_id: str, at: str) -> State:
    del state, key, kind, at
    return {**mapping(payload, "granted"), "evidence": entry_id}


def _regrade(state: State | None, key: str, kind: str, payload: Payload, entry_id: str, at: str) -> State:
    del kind, at
    before: State = state or {"module": text(payload, "module"), "digest": key, "items": {}}
    return before | {"items": _with(before, "items", text(payload, "item"), entry_id)}


def _with(state: State, table: str, key: str, value: JSON) -> State:
    return member(state, table) | {key: value}


_Reducer: TypeAlias = Callable[[State | None, str, str, Payload, str, str], State]
ROOMS: Final[dict[str, _Reducer]] = {
    "attempt": _attempt,
    "learning": _learning,
    "accommodation": _accommodation,
    "regrade": _regrade,
}
KINDS: Final = frozenset({"attempt", "learning", "accommodation", "regrade"})
