"""The reduction copies what entries say, and replaces states instead of changing them."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from ledger import reduce
from ledger.canonical import JSON
from ledger.errors import Malformed

_REF, _AT = "r" * 32, "2026-11-23T12:00:00.000Z"
_NAME = f"person/{_REF}"
_EARLY, _LATE = "2026-01-01T00:00:00.000Z", "2026-02-01T00:00:00.000Z"


def _after(state: Any, kind: str, payload: dict[str, JSON], entry_id: str = "e") -> Any:
    before = copy.deepcopy(state)
    [name] = reduce.changed(kind, payload, _REF, entry_id)
    after = reduce.reduce(name, state, kind=kind, payload=payload, entry_id=entry_id, at=_AT)
    assert state == before
    return after


def _person(**directory: JSON) -> Any:
    return _after(None, "subject", {"person": {"type": "user", "id": "ann"}, "directory": directory})


def _result(when: str, *, tier: str = "completed", source: str = "attempt") -> dict[str, JSON]:
    return {
        "module": "m",
        "version": "1.0.0",
        "digest": None,
        "tier": tier,
        "passed": True,
        "occurred_at": when,
        "source": source,
    }


def _certified(tier: str) -> dict[str, JSON]:
    return {"scope": "s", "tier": tier, "issued_at": _EARLY, "expires_at": _LATE, "parts": {"m": "1.0.0"}}


def test_a_person_begins_empty() -> None:
    """The first `subject` entry makes the whole state, a later one replaces the directory alone."""
    person = _person(active=True)
    assert person == {
        "type": "user",
        "id": "ann",
        "ref": _REF,
        "directory": {"active": True},
        "modules": {},
        "scopes": {},
        "waivers": {},
    }
    person = _after(person, "result", _result(_EARLY))
    moved = _after(person, "subject", {"person": {"type": "user", "id": "ann"}, "directory": {"locale": "de"}})
    assert moved == person | {"directory": {"locale": "de"}}


def test_an_older_pass_never_replaces_a_newer_one() -> None:
    """The newest by `occurred_at` counts; of equal instants, the later entry."""
    late = _after(_person(), "result", _result(_LATE), "late")
    assert _after(late, "result", _result(_EARLY), "early") == late
    again = _after(late, "result", _result(_LATE, source="import"), "again")
    assert again["modules"]["m"]["completed"] == {
        "passed_at": _LATE,
        "version": "1.0.0",
        "digest": None,
        "imported": True,
        "evidence": "again",
    }
    other = _after(again, "result", _result(_EARLY, tier="proficient"), "other")
    assert other["modules"]["m"].keys() == {"completed", "proficient"}


def test_what_proves_nothing_changes_nothing() -> None:
    """Failed results, decisions, activations and facts about unknown people name no object."""
    failed = _result(_EARLY) | {"passed": False}
    assert reduce.changed("result", failed, _REF, "e") == ()
    assert reduce.changed("result", _result(_EARLY), None, "e") == ()
    for kind in ("decision", "activation", "clock.adjusted"):
        assert reduce.changed(kind, {}, _REF, "e") == ()
    with pytest.raises(Malformed):
        reduce.changed("gossip", {}, _REF, "e")


def test_a_revocation_takes_every_tier() -> None:
    """After it the scope holds no tier, until a new certification makes it good again."""
    person = _after(_after(_person(), "certification", _certified("completed")), "certification", _certified("x"))
    assert person["scopes"]["s"]["tiers"].keys() == {"completed", "x"}
    person = _after(person, "revocation", {"scope": "s"}, "r")
    assert person["scopes"]["s"] == {"standing": "revoked", "tiers": {}, "revoked_at": _AT, "revocation": "r"}
    person = _after(person, "certification", _certified("completed"), "c")
    tier = {"issued_at": _EARLY, "expires_at": _LATE, "evidence": "c", "parts": {"m": "1.0.0"}}
    assert person["scopes"]["s"] == {
        "standing": "good",
        "tiers": {"completed": tier},
        "revoked_at": _AT,
        "revocation": "r",
    }


def test_waivers_are_kept_by_what_they_waive() -> None:
    """One for each scope, track or module; the newest replaces."""
    person = _person()
    for until, requirement in [(_EARLY, {"scope": "s"}), (_LATE, {"scope": "s"}), (_LATE, {"track": "a/b"})]:
        person = _after(person, "waiver", {"requirement": dict(requirement), "until": until}, "w")
    held = {"until": _LATE, "evidence": "w"}
    assert person["waivers"] == {"scope:s": held, "track:a/b": held}
    for wrong in ({}, {"scope": "a", "track": "b"}, {"person": "p"}):
        with pytest.raises(Malformed):
            _after(person, "waiver", {"requirement": dict(wrong), "until": _LATE})


def test_a_token_is_issued_once_and_its_first_revocation_counts() -> None:
    """Issuing again, or revoking what was never issued, is malformed."""
    issued: dict[str, JSON] = {
        "token": "t",
        "event": "issued",
        "hash": "h",
        "role": "admin",
        "principal": {"type": "system", "id": "x"},
        "expires_at": _LATE,
    }
    revoked: dict[str, JSON] = {"token": "t", "event": "revoked"}
    token = _after(None, "token", issued)
    gone = _after(token, "token", revoked)
    assert gone == token | {"revoked_at": _AT}
    assert _after(gone | {"revoked_at": _EARLY}, "token", revoked)["revoked_at"] == _EARLY
    unheard: dict[str, JSON] = {"token": "t", "event": "x"}
    wrong: list[tuple[Any, dict[str, JSON]]] = [(token, issued), (None, revoked), (token, unheard)]
    for state, payload in wrong:
        with pytest.raises(Malformed):
            _after(state, "token", payload)


@pytest.mark.parametrize("kind", ["result", "certification", "revocation", "waiver"])
def test_a_fact_needs_a_person(kind: str) -> None:
    """A fact about somebody who has no `subject` entry, or without its fields, is malformed."""
    for state in (None, _person()):
        with pytest.raises(Malformed):
            _after(state, kind, {"passed": True})


def test_a_request_is_stored_once_and_withdrawn_once() -> None:
    """What was stored stays as it was; the first withdrawal counts, and nothing is withdrawn that was not stored."""
    stored: dict[str, JSON] = {
        "event": "stored",
        "ref": _REF,
        "action": {"name": "a"},
        "resource": {"type": "t", "id": "i"},
        "context": {"columns": ["c"]},
        "request_digest": "d",
        "expires_at": _LATE,
        "by": {"role": "app", "principal": {"type": "system", "id": "host"}, "token": "t"},
    }
    state = _after(None, "request", stored, "r1")
    assert state == {
        **{k: v for k, v in stored.items() if k not in ("event", "by")},
        "stored_by": {"type": "system", "id": "host"},
        "evidence": "r1",
    }
    gone = _after(state, "request", {"event": "withdrawn", "request": "r1"}, "r2")
    assert gone == {**state, "withdrawn_at": _AT, "withdrawal": "r2"}
    assert _after(gone, "request", {"event": "withdrawn", "request": "r1"}, "r3") == gone
    withdrawn: dict[str, JSON] = {"event": "withdrawn", "request": "r1"}
    for before, payload in ((None, withdrawn), (state, stored)):
        with pytest.raises(Malformed):
            _after(before, "request", payload)
