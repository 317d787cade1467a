"""What a log's entries prove, computed again for the verifier: one rule for each kind of entry.

A rule reads whatever it needs from the payload, and raises Invalid, before it writes anything: an entry that cannot be
reduced changes nothing. States are changed in place and move with the log; whoever wants to keep one copies it. No date
is added here and no tier concluded: what an entry says is believed, whether it may say so is checked elsewhere.

    person/<ref>         what a person has passed, holds, is excused from       (subject, result, certification, ...)
    approval/<id>        change_window/<id>   token/<id>   request/<id>
    hold/<ref>           alarm/<witness>      log/key
    attempt/<id>         learning/<ref>/<module>   accommodation/<ref>   regrade/<digest>      (`facts_learning`)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from . import facts_learning
from .errors import Invalid
from .facts_learning import State, States, anything, table, text

_SILENT: Final = frozenset({"decision", "expiry", "clock.adjusted", "erasure", "copy", "restored", "rebuilt"})


class Facts:
    """The objects of a log's beginning. Entries are applied in the order of the log; those erased have no payload."""

    def __init__(self) -> None:
        self.active_revision: str | None = None
        self._refs: dict[tuple[str, str] | None, str] = {}
        self._states: States = {}
        self._versions: dict[str, int] = {}

    def apply(
        self,
        *,
        index: int,
        id: str,  # noqa: A002  what the format calls it
        at: str,
        kind: str,
        about: tuple[str, str] | None,
        payload: State | None,
    ) -> tuple[str, ...]:
        """Take the next entry; answers the objects that it changed. Raises Invalid, and then nothing has changed."""
        if payload is None or kind in _SILENT:
            return ()
        if kind == "activation":
            self.active_revision = text(payload, "revision")
            return ()
        rule = _RULES.get(kind)
        if rule is None:
            raise Invalid(f"no entry is of kind {kind!r}")
        ref = self._refs.get(about)
        # The first entry about a person gives the ref, of those that are there: after an erasure it is another one.
        given = text(payload, "ref") if kind == "subject" and about is not None else None
        changed = rule(self._states, given if ref is None else ref, id, at, payload)
        if given is not None:
            self._refs.setdefault(about, given)
        for name in changed:
            self._versions[name] = index
        return changed

    def ref(self, about: tuple[str, str] | None) -> str | None:
        """The pseudonym of the person of this type and ID; None for nobody and for an unknown person."""
        return self._refs.get(about)

    def state(self, name: str) -> State | None:
        """The object's state as it is now; None where it does not exist."""
        return self._states.get(name)

    def version(self, name: str) -> int:
        """The index of the entry that changed the object last; -1 where it does not exist."""
        return self._versions.get(name, -1)

    def objects(self) -> Iterator[tuple[str, int, State]]:
        """Every object with its version and state, in no order."""
        for name, state in self._states.items():
            yield name, self._versions[name], state


def _subject(states: States, ref: str | None, _entry: str, _at: str, payload: State) -> tuple[str, ...]:
    if ref is None:
        return ()
    named, directory = table(payload, "person"), table(payload, "directory")
    kind, identity = text(named, "type"), text(named, "id")
    name = f"person/{ref}"
    person = states.setdefault(name, {"modules": {}, "scopes": {}, "waivers": {}})
    person.update(type=kind, id=identity, ref=ref, directory=directory)
    return (name,)


def _result(states: States, ref: str | None, entry: str, at: str, payload: State) -> tuple[str, ...]:
    """A pass of a whole module is a fact of the person, the newest one; attempt and learning move with any result."""
    proves = payload.get("passed") is True and payload.get("part") is None
    if ref is None or not proves:
        return facts_learning.result(states, ref, entry, at, payload)
    name, module, tier = f"person/{ref}", text(payload, "module"), text(payload, "tier")
    passed_at, modules = text(payload, "occurred_at"), states[name]["modules"]
    held = modules.get(module, {}).get(tier)
    fact: State | None = None
    if held is None or passed_at >= held["passed_at"]:
        fact = {
            "passed_at": passed_at,
            "version": text(payload, "version"),
            "digest": anything(payload, "digest"),
            "imported": payload.get("source") == "import",
            "evidence": entry,
        }
    changed = facts_learning.result(states, ref, entry, at, payload)
    if fact is not None:
        modules.setdefault(module, {})[tier] = fact
    return (name, *changed)


def _certification(states: States, ref: str | None, entry: str, _at: str, payload: State) -> tuple[str, ...]:
    if ref is None:
        return ()
    scope, tier = text(payload, "scope"), text(payload, "tier")
    fact: State = {
        "issued_at": text(payload, "issued_at"),
        "expires_at": text(payload, "expires_at"),
        "evidence": entry,
        "parts": table(payload, "parts"),
    }
    name = f"person/{ref}"
    held = states[name]["scopes"].setdefault(scope, {"tiers": {}})
    held["standing"] = "good"  # an earlier `revoked_at` stays: passes from before it do not count again
    held["tiers"][tier] = fact
    return (name,)


def _revocation(states: States, ref: str | None, entry: str, at: str, payload: State) -> tuple[str, ...]:
    if ref is None:
        return ()
    scope, name = text(payload, "scope"), f"person/{ref}"
    states[name]["scopes"][scope] = {"standing": "revoked", "tiers": {}, "revoked_at": at, "revocation": entry}
    return (name,)


def _waiver(states: States, ref: str | None, entry: str, _at: str, payload: State) -> tuple[str, ...]:
    if ref is None:
        return ()
    requirement, until = table(payload, "requirement"), text(payload, "until")
    [what] = requirement if len(requirement) == 1 else [""]
    if what not in ("scope", "track", "module"):
        raise Invalid("a waiver's requirement names one scope, track or module")
    waived, name = text(requirement, what), f"person/{ref}"
    states[name]["waivers"][f"{what}:{waived}"] = {"until": until, "evidence": entry}
    return (name,)


def _regrade(states: States, ref: str | None, entry: str, _at: str, payload: State) -> tuple[str, ...]:
    """An item was voided, or a pass lowered: it then ends on a day, and so does what was earned with it."""
    if text(payload, "event") != "lowered":
        return facts_learning.regrade(states, entry, payload)
    if ref is None:
        return ()
    result, course, until = text(payload, "result"), payload.get("course"), text(payload, "until")
    certifications = anything(payload, "certifications")
    if type(certifications) is not list:
        raise Invalid("`certifications` is not a list")
    name = f"person/{ref}"
    person, earned = states[name], {str(certification) for certification in certifications}
    end = {"until": until, "lowered": entry}
    for tiers in person["modules"].values():
        for fact in tiers.values():
            if fact["evidence"] == result or fact["evidence"] == course:
                fact.update(end)
    for scope in person["scopes"].values():
        for fact in scope["tiers"].values():
            if fact["evidence"] in earned:
                fact.update(end)
    return (name,)


def _approval(states: States, _ref: str | None, entry: str, _at: str, payload: State) -> tuple[str, ...]:
    approver, digest, until = text(payload, "ref"), text(payload, "request_digest"), text(payload, "expires_at")
    name = f"approval/{entry}"
    states[name] = {"approver": approver, "request_digest": digest, "expires_at": until, "evidence": entry}
    return (name,)


def _change_window(states: States, _ref: str | None, entry: str, _at: str, payload: State) -> tuple[str, ...]:
    start, end, resources = text(payload, "starts_at"), text(payload, "ends_at"), anything(payload, "resources")
    name = f"change_window/{entry}"
    states[name] = {"starts_at": start, "ends_at": end, "resources": resources, "evidence": entry}
    return (name,)


def _request(states: States, _ref: str | None, entry: str, at: str, payload: State) -> tuple[str, ...]:
    event = text(payload, "event")
    if event == "stored":
        stored: State = {field: table(payload, field) for field in ("action", "resource", "context")}
        stored |= {field: text(payload, field) for field in ("ref", "request_digest", "expires_at")}
        stored |= {"stored_by": table(table(payload, "by"), "principal"), "evidence": entry}
        states[f"request/{entry}"] = stored
        return (f"request/{entry}",)
    name = f"request/{text(payload, 'request')}"
    request = states.get(name)
    if event != "withdrawn" or request is None:
        raise Invalid("a request is stored once, and withdrawn only after that")
    if "withdrawn_at" not in request:
        request.update(withdrawn_at=at, withdrawal=entry)
    return (name,)


def _token(states: States, _ref: str | None, _entry: str, at: str, payload: State) -> tuple[str, ...]:
    name, event = f"token/{text(payload, 'token')}", text(payload, "event")
    token = states.get(name)
    if event == "revoked" and token is not None:
        token.setdefault("revoked_at", at)
    elif event == "issued" and token is None:
        token = {field: text(payload, field) for field in ("hash", "role", "expires_at")}
        token["principal"] = table(payload, "principal")
        states[name] = token | {field: payload[field] for field in ("origin", "since") if field in payload}
    else:
        raise Invalid("a token is issued once, and revoked only after that")
    return (name,)


def _log_key(states: States, _ref: str | None, entry: str, _at: str, payload: State) -> tuple[str, ...]:
    states["log/key"] = {"origin": text(payload, "origin"), "vkey": text(payload, "vkey"), "evidence": entry}
    return ("log/key",)


def _alarm(states: States, _ref: str | None, entry: str, at: str, payload: State) -> tuple[str, ...]:
    return _warning(states, f"alarm/{text(payload, 'witness')}", entry, at, payload)


def _hold(states: States, ref: str | None, entry: str, at: str, payload: State) -> tuple[str, ...]:
    return () if ref is None else _warning(states, f"hold/{ref}", entry, at, payload)


def _warning(states: States, name: str, entry: str, at: str, payload: State) -> tuple[str, ...]:
    event, reason = text(payload, "event"), text(payload, "reason")
    states[name] = {"event": event, "reason": reason, "since": at, "evidence": entry}
    return (name,)


_Rule: TypeAlias = Callable[[States, str | None, str, str, State], tuple[str, ...]]
"""states, the ref of whom the entry is about, its ID, its instant, its payload: the names of what has changed."""


_RULES: Final[dict[str, _Rule]] = {
    "subject": _subject,
    "result": _result,
    "certification": _certification,
    "revocation": _revocation,
    "waiver": _waiver,
    "regrade": _regrade,
    "attempt": facts_learning.attempt,
    "learning": facts_learning.learning,
    "accommodation": facts_learning.accommodation,
    "approval": _approval,
    "change_window": _change_window,
    "request": _request,
    "token": _token,
    "log.key": _log_key,
    "alarm": _alarm,
    "hold": _hold,
}
