"""The verifier joins a leased decision to the one that it leans on, and names what may not be joined."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.decide import joined
from engine.decide.record import lease_key
from ledger import canonical
from ledger.canonical import JSON
from ledger.ids import uuid7
from ledger.model import Append, Draft, Person
from ledger.sqlite import SqliteLedger
from ledger.verifier import entries, leases
from ledger.verify import verify
from tests.ledger.builders import ANN, BOB, REVISION, TENANT, FakeClock, activation, joins, name_of, one, result

_ANN = 1  # the index of Ann's first entry
_UNTIL = "2026-11-23T12:00:10.000Z"


class Log:
    """A ledger with a whole decision about Ann, which others lean on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = FakeClock()
        self.ledger = SqliteLedger(path, clock=self.clock)
        self.submit(one(activation()))
        self.submit(joins(ANN))
        self.submit(joins(BOB))
        self.value = self.whole()
        self.first = self.decide(self.value)
        self.clock.run(1)

    def submit(self, append: Append) -> None:
        """Append, and wait."""
        self.ledger.submit(append).result(timeout=20)

    def whole(self, person: Person = ANN, **changed: JSON) -> dict[str, Any]:
        """The payload of a whole decision."""
        subject: JSON = {"type": person.type, "id": person.id, "known": True}
        value: dict[str, JSON] = {
            "input": {"subject": subject, "context": {"ticket": "é"}, "now": self.ledger.now(TENANT)},
            "reads": [[name_of(ANN), _ANN]],
            "revision": REVISION,
            "entrypoint": "muster/gate/decision",
            "result": {"verdict": "allow", "valid_until": _UNTIL},
            "undecided": None,
        }
        return value | changed

    def leased(self, **changed: JSON) -> dict[str, Any]:
        """The payload of a decision that is leased from the first."""
        asked = {k: v for k, v in self.value["input"].items() if k != "now"}
        value: dict[str, JSON] = {
            "leans_on": self.first,
            "lease": sha256(REVISION.encode() + canonical.encode(asked)).hexdigest(),
            "now": self.ledger.now(TENANT),
            "caller": {},
            "request_id": "r",
            "dropped": [],
        }
        return value | changed

    def decide(self, payload: dict[str, Any], about: Person | None = ANN, entry_id: str | None = None) -> str:
        """Append a decision; its ID."""
        draft = Draft(id=entry_id or uuid7(), kind="decision", payload=payload, about=about)
        self.submit(one(draft))
        return draft.id

    def found(self) -> list[tuple[str | None, str, str]]:
        """ID, check and sentence of all that is found."""
        self.ledger.close()
        return [(f.id, f.check, f.detail) for f in verify(self.path, TENANT).findings]


@pytest.fixture
def log(tmp_path: Path) -> Log:
    """A log to append to; `found` closes it."""
    return Log(tmp_path / "ledger.db")


def test_right_leases_are_no_finding(log: Log) -> None:
    """On one first and on many."""
    firsts = [log.decide(log.value) for _ in range(3)]
    for first in (log.first, *firsts):
        for _ in range(3):
            log.decide(log.leased(leans_on=first))
    assert log.found() == []


Forge = Callable[[Log], str]


def _of(**changed: Any) -> Forge:
    """A right lease of a whole decision that is bent."""
    return lambda log: log.decide(log.leased(leans_on=log.decide(log.whole(**changed))))


def _unknown(log: Log) -> str:
    stranger: dict[str, Any] = log.whole()
    stranger["input"]["subject"]["known"] = False
    return log.decide(log.leased(leans_on=log.decide(stranger)))


def _later(log: Log) -> str:
    named = uuid7()
    leased = log.decide(log.leased(leans_on=named))
    log.decide(log.whole(), entry_id=named)
    return leased


def _other_kind(log: Log) -> str:
    passed = result(ANN)
    log.submit(one(passed))
    return log.decide(log.leased(leans_on=passed.id, now=log.ledger.now(TENANT)))


FORGERIES: dict[str, tuple[Forge, str, str]] = {
    "nothing": (lambda log: log.decide(log.leased(leans_on=uuid7())), "lease", "not here"),
    "no ID": (lambda log: log.decide(log.leased(leans_on=None)), "lease", "not here"),
    "a later one": (_later, "lease", "not before it"),
    "another kind": (_other_kind, "lease", "of kind result"),
    "a leased one": (
        lambda log: log.decide(log.leased(leans_on=log.decide(log.leased()))), "lease", "leans on another itself",
    ),
    "an undecided one": (_of(result=None, undecided={"cause": "x"}), "lease", "could not decide"),
    "no answer": (_of(result=None), "lease", "could not decide"),
    "is-certified": (_of(entrypoint="muster/certification/certified"), "lease", "not the answer of a gate"),
    "an unknown person's": (_unknown, "lease", "not in the directory"),
    "another person's": (lambda log: log.decide(log.leased(), about=BOB), "lease", "another person"),
    "nobody's": (lambda log: log.decide(log.leased(), about=None), "lease", "another person"),
    "another key": (lambda log: log.decide(log.leased(lease="0" * 64)), "lease", "its key"),
    "another question": (
        lambda log: log.decide(log.leased(leans_on=log.decide(log.whole(revision="b" * 64)))), "lease", "its key",
    ),
    "more fields": (lambda log: log.decide(log.leased(reads=[])), "lease", "other fields"),
    "no instant": (lambda log: log.decide(log.leased(now="now")), "lease", "its instant is none"),
    "before the first": (
        lambda log: log.decide(log.leased(now="2026-11-23T11:59:59.000Z")), "lease", "before the answer",
    ),
    "when it had ended": (lambda log: log.decide(log.leased(now=_UNTIL)), "lease", "had ended"),
    "too early": (lambda log: log.decide(log.leased(now="2026-11-23T12:00:09.999Z")), "now", "decided"),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_lease_is_named(log: Log, name: str) -> None:
    """At the leased entry, by a sentence of its own."""
    forge, check, words = FORGERIES[name]
    forged = forge(log)
    assert [d for i, c, d in log.found() if i == forged and c == check and words in d]


def test_a_lease_is_checked_by_what_its_first_read(log: Log) -> None:
    """A fact that has moved, or a revision that was replaced, between the two: named at the leased one alone."""
    log.submit(one(result(ANN)))
    moved = log.decide(log.leased())
    log.submit(one(activation("b" * 64)))
    replaced = log.decide(log.leased())
    assert [(i, c) for i, c, _ in log.found()] == [(moved, "reads"), (replaced, "revision"), (replaced, "reads")]


@pytest.mark.parametrize("damage", ["DELETE FROM payloads WHERE idx = 3", "UPDATE payloads SET salt = zeroblob(16)"])
def test_a_first_that_cannot_be_opened_holds_nothing(log: Log, damage: str) -> None:
    """Erased without what leans on it, or another than its header commits to."""
    leased = log.decide(log.leased())
    log.ledger.close()
    db = apsw.Connection(str(log.path))
    db.execute(damage)
    db.close()
    assert (leased, "lease", "it leans on entry 3, which has no payload any more") in log.found()


def test_the_lookup_of_a_first_is_not_believed(log: Log) -> None:
    """An ID that leads to another entry's row finds nothing to lean on."""
    leased = log.decide(log.leased())
    other = log.decide(log.whole())
    log.ledger.close()
    db = apsw.Connection(str(log.path))
    db.execute("UPDATE entries SET id = 'x' WHERE id = ?", (log.first,))
    db.execute("UPDATE entries SET id = ? WHERE id = ?", (log.first, other))
    db.close()
    assert any(i == leased and c == "lease" and "not here" in d for i, c, d in log.found())


_TEXT = st.text("aé\uff00\U0001f600", max_size=3)
_JSON: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-9, 9), _TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_TEXT, inner, max_size=4)),
    max_leaves=12,
)
_NAMES = st.sampled_from(
    ["input", "now", "result", "reads", "caller", "dropped", "lease", "leans_on", "request_id", "é"]
)
_OBJECTS = st.dictionaries(_NAMES, _JSON | st.dictionaries(_NAMES, _JSON, max_size=3), max_size=8)


@given(_OBJECTS, _OBJECTS)
def test_service_and_verifier_join_alike(leased: dict[str, Any], first: dict[str, Any]) -> None:
    """By two paths, of whatever two payloads."""
    assert canonical.encode(joined.whole(leased, first)) == canonical.encode(leases.joined(leased, first))
    assert joined.is_leased(leased) is leases.is_leased("decision", leased)


@given(st.dictionaries(_TEXT | _NAMES, _JSON, max_size=6), st.sampled_from(["a" * 64, "b" * 64]), _JSON)
def test_service_and_verifier_have_the_same_key(asked: dict[str, Any], revision: str, now: Any) -> None:
    """Which does not depend on the instant, and does on all else."""
    assert lease_key(revision, asked) == leases.key(revision, asked) == leases.key(revision, asked | {"now": now})
    assert leases.key(revision, asked | {"more than this": 1}) != leases.key(revision, asked)


@given(st.sampled_from(sorted(entries.KINDS)), st.none() | _OBJECTS, _OBJECTS, st.integers(0, 3))
def test_the_verifier_does_not_stumble(
    kind: str, first: dict[str, Any] | None, leased: dict[str, Any], at: int
) -> None:
    """Over payloads that nobody ever wrote: without the right six fields there is always a sentence."""
    value = leased | {"leans_on": "x"}
    assert list(leases.wrong(at, value, leases.first(1, kind, first)))
    assert list(leases.wrong(at, value, None))
