"""The verifier's facts are those of the writer's reduction, whatever the log; and the verifier stands by itself."""

from __future__ import annotations

import ast
import copy
import importlib
import json
import random
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger import canonical as writers
from ledger.errors import LedgerError
from ledger.model import Entry, Person
from ledger.reduce import KINDS, Reduction
from ledger.verifier import canonical, facts
from ledger.verifier.errors import Invalid
from tests.ledger.builders import ANN, BOB, BY, ref_of

VERIFIER = Path(canonical.__file__).parent
EARLY, LATE, END = "2026-01-01T00:00:00.000Z", "2026-02-01T00:00:00.000Z", "2027-01-01T00:00:00.000Z"
NOBODY_YET = Person("user", "eve")
Payload = dict[str, Any]


@dataclass(frozen=True)
class Written:
    """One entry of a made log: its kind, whom it is about, its payload (None: erased)."""

    kind: str
    about: Person | None
    payload: Payload | None


@dataclass
class Maker:
    """Makes entries that are well-formed where they stand: what they name was there before."""

    pick: Callable[[Sequence[Any]], Any]
    joined: set[Person] = field(default_factory=set)
    attempts: dict[str, tuple[Person, str, str]] = field(default_factory=dict)
    results: list[str] = field(default_factory=lambda: ["r"])
    certifications: list[str] = field(default_factory=lambda: ["c"])
    tokens: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def one(self, *choices: Any) -> Any:
        """Any of these."""
        return self.pick(choices)

    def entry(self, kind: str, identifier: str) -> Written:
        """An entry of a kind under an ID."""
        make = getattr(self, f"_{kind.replace('.', '_')}", None)
        if make is None:
            return Written(kind, self.one(None, ANN), {"event": "x", "indices": [0], "reads": [], "input": {}})
        about, payload = make(identifier)
        return Written(kind, about, payload | {"by": BY})

    def _person(self) -> tuple[Person, Payload]:
        person = self.one(ANN, ANN, ANN, BOB, NOBODY_YET)
        return person, {"person": {"type": person.type, "id": person.id}}

    def _subject(self, _: str) -> tuple[Person | None, Payload]:
        person = self.one(ANN, ANN, BOB)
        named = {"type": person.type, "id": person.id}
        payload = {"person": named, "ref": ref_of(person), "directory": self.one({}, {"active": True})}
        about = self.one(person, person, person, None)
        if about is not None:  # an entry about nobody makes nobody known
            self.joined.add(about)
        return about, payload

    def _result(self, identifier: str) -> tuple[Person, Payload]:
        person, payload = self._person()
        payload |= {
            "module": self.one("m1", "m2"),
            "version": "1.0.0",
            "digest": self.one(None, "d" * 64),
            "tier": self.one("completed", "proficient"),
            "passed": self.one(True, True, False),
            "part": self.one(None, None, "p1", "p2"),
            "occurred_at": self.one(EARLY, LATE),
            "score": self.one(None, {"points": 3, "max": 4, "percent": 75}),
            "source": self.one("attempt", "import"),
        }
        how = self.one("attempt", "attempt", "course", "plain")
        if how == "attempt" and self.attempts:
            attempt = self.one(*self.attempts)
            person, module, strand = self.attempts[attempt]
            payload |= self._end(attempt, module, strand)
        elif how == "course":
            payload |= {"strand": "course", "attempt": None, "source": "course"}
        self.results.append(identifier)
        return person, payload

    def _end(self, attempt: str, module: str, strand: str) -> Payload:
        named = {"attempt": attempt, "module": module, "strand": strand}
        return named | {"number": self.one(1, 2), "failures": self.one(0, 1), "counted_from": self.one(EARLY, LATE)}

    def _attempt(self, identifier: str) -> tuple[Person, Payload]:
        event = self.one("opened", "saved", "stepped", "expired", "voided")
        if event == "opened" or not self.attempts:
            return self._opened(identifier)
        attempt = self.one(*self.attempts)
        person, module, strand = self.attempts[attempt]
        payload: Payload = {"event": event} | self._end(attempt, module, strand)
        payload |= {"answers": self.one({}, {"i1": ["a", "b"]}), "active": self.one(0, 7), "saves": self.one(1, 2)}
        return person, payload | {"choice": self.one("left", ["a"]), "place": self.one("s2", "s3")}

    def _opened(self, identifier: str) -> tuple[Person, Payload]:
        person, payload = self._person()
        module, strand = self.one("m1", "m2"), self.one("quiz", "quiz", "scenario", "p1", "course")
        if person in self.joined:
            self.attempts[identifier] = (person, module, strand)
        return person, payload | {
            "event": "opened",
            "module": module,
            "version": "1.0.0",
            "digest": "d" * 64,
            "strand": strand,
            "kind": "quiz",
            "locale": "en",
            "seed": "0",
            "items": [{"id": "i1", "options": ["a", "b"]}],
            "place": self.one(None, "s1"),
            "seen": self.one([], ["i1"]),
            "number": 1,
            "deadline": END,
            "tested_out": self.one(True, False),
        }

    def _learning(self, _: str) -> tuple[Person, Payload]:
        person, payload = self._person()
        read = self.one([], ["s1"], ["s1", "s2"])
        return person, payload | {"module": self.one("m1", "m2"), "read": read, "part": self.one(None, "p1", "p2")}

    def _accommodation(self, _: str) -> tuple[Person, Payload]:
        person, payload = self._person()
        return person, payload | {"granted": self.one({}, {"time": 25, "tries": 1}), "reason": "x"}

    def _certification(self, identifier: str) -> tuple[Person, Payload]:
        person, payload = self._person()
        self.certifications.append(identifier)
        named = {"scope": self.one("s1", "s2"), "tier": self.one("completed", "proficient")}
        return person, payload | named | {"issued_at": EARLY, "expires_at": END, "parts": {"m1": "1.0.0"}}

    def _revocation(self, _: str) -> tuple[Person, Payload]:
        person, payload = self._person()
        return person, payload | {"scope": self.one("s1", "s2"), "certification": "c"}

    def _waiver(self, _: str) -> tuple[Person, Payload]:
        person, payload = self._person()
        requirement = {self.one("scope", "track", "module"): self.one("a", "b")}
        return person, payload | {"requirement": requirement, "until": self.one(LATE, END)}

    def _regrade(self, _: str) -> tuple[Person | None, Payload]:
        event = self.one("voided", "pending", "rescored", "lowered", "lowered")
        if event == "voided":
            return None, {
                "event": event, "module": "m1", "digest": self.one("d" * 64, "e" * 64), "item": self.one("i1", "i2"),
            }  # fmt: skip
        person, payload = self._person()
        payload |= {"event": event, "module": "m1", "result": self.one(*self.results), "score": None, "until": LATE}
        course = self.one(None, *self.results)
        return person, payload | {"course": course, "certifications": [self.one(*self.certifications)]}

    def _approval(self, _: str) -> tuple[Person, Payload]:
        person, payload = self._person()
        return person, payload | {"ref": ref_of(person), "request_digest": "q" * 64, "expires_at": self.one(LATE, END)}

    def _change_window(self, _: str) -> tuple[None, Payload]:
        return None, {
            "title": "t",
            "starts_at": EARLY,
            "ends_at": self.one(LATE, END),
            "resources": self.one([], ["db"]),
        }

    def _request(self, identifier: str) -> tuple[Person, Payload]:
        person, payload = self._person()
        if self.requests and self.one(True, False):
            return person, payload | {"request": self.one(*self.requests), "event": "withdrawn", "reason": "x"}
        self.requests.append(identifier)
        return person, payload | {
            "event": "stored",
            "ref": ref_of(person),
            "action": {"name": "a"},
            "resource": self.one({"type": "t", "id": "i"}, {"type": "user", "ref": ref_of(BOB)}),
            "context": self.one({}, {"columns": ["c"]}),
            "request_digest": "q" * 64,
            "expires_at": self.one(LATE, END),
        }

    def _token(self, identifier: str) -> tuple[Person | None, Payload]:
        if self.tokens and self.one(True, False):
            return None, {"token": self.one(*self.tokens), "event": "revoked"}
        self.tokens.append(identifier)
        issued = {"token": identifier, "event": "issued", "hash": "h", "role": "admin", "expires_at": END}
        session = self.one({}, {"origin": "x"}, {"origin": None, "since": EARLY})
        return self.one(None, ANN), issued | {"principal": {"type": "user", "id": "ann"}} | session

    def _activation(self, _: str) -> tuple[None, Payload]:
        return None, {"revision": self.one("a" * 64, "b" * 64)}

    def _hold(self, _: str) -> tuple[Person, Payload]:
        person, payload = self._person()
        return person, payload | {"event": self.one("held", "released"), "reason": "x"}

    def _alarm(self, _: str) -> tuple[None, Payload]:
        return None, {"witness": self.one("w1", "w2"), "event": self.one("raised", "over"), "reason": "x"}

    def _log_key(self, _: str) -> tuple[None, Payload]:
        return None, {"origin": "muster.example/log", "vkey": self.one("k1", "k2"), "event": "rotated", "reason": "x"}


# Entries of a log that are of few kinds, or of kinds that belong together, meet.
TOGETHER = (
    ("subject", "attempt", "result", "learning"),
    ("subject", "result", "certification", "revocation", "regrade"),
    ("attempt", "result", "regrade", "accommodation"),
    ("subject", "request", "approval"),
    tuple(sorted(KINDS)),
)


def make_log(pick: Callable[[Sequence[Any]], Any], *, broken: bool) -> list[Written]:
    """A log of well-formed entries; `broken`: of which some are erased, lack a field or have a wrong one."""
    maker = Maker(pick)
    some = maker.one(*TOGETHER, *((kind,) for kind in sorted(KINDS)))
    kinds = ["subject", *(pick(some) for _ in range(pick(range(25))))]
    log = [maker.entry(kind, f"e{n}") for n, kind in enumerate(kinds)]
    for n, written in enumerate(log if broken else ()):
        payload, other = copy.deepcopy(written.payload), pick(log).payload
        if payload is not None and not pick(range(3)):
            payload = _broken(pick, payload, other or {}) if pick(range(8)) else None
            log[n] = Written(written.kind, written.about, payload)
    return log


def _broken(pick: Callable[[Sequence[Any]], Any], payload: Payload, other: Payload) -> Payload:
    how, part, key = pick(("drop", "wrong", "rename", "add", "other")), payload, pick(sorted(payload))
    while isinstance(part[key], dict) and part[key] and how != "other" and pick((True, False)):
        part, key = part[key], pick(sorted(part[key]))
    if how == "other":
        part[key] = copy.deepcopy(other.get(key))
    elif how == "add":
        part["x"] = "y"
    else:
        value = part.pop(key)
        if how == "rename":
            part["x"] = value
        elif how == "wrong":
            part[key] = pick((None, 7, True, "x", "lowered", "course", "issued", [], {}, {"x": "y"}))
    return payload


@st.composite
def logs(draw: st.DrawFn, *, broken: bool) -> list[Written]:
    """Logs that hypothesis makes, and makes small."""
    return make_log(lambda choices: draw(st.sampled_from(choices)), broken=broken)


def seeded(count: int, *, broken: bool) -> Iterator[list[Written]]:
    """Many logs, the same ones each time: a hundred times faster."""
    for seed in range(count):
        yield make_log(random.Random(seed).choice, broken=broken)


def _entry(index: int, written: Written) -> Entry:
    return Entry(
        index=index,
        id=f"e{index}",
        at=f"2026-11-23T12:00:{index:02}.000Z",
        kind=written.kind,
        tenant="default",
        header=b"",
        payload=None if written.payload is None else orjson.dumps(written.payload),
        salt=None,
        about=written.about,
    )


def _objects(of: Any) -> dict[str, tuple[int, bytes]]:
    return {name: (version, writers.encode(state)) for name, version, state in of.objects()}


def _kept(reduction: Reduction) -> Reduction:
    """A reduction as it is now: its states are never changed in place."""
    kept = copy.copy(reduction)
    kept._refs, kept._objects = dict(reduction._refs), dict(reduction._objects)
    return kept


def compare(log: list[Written], module: Any = facts, invalid: type[Exception] = Invalid) -> int:
    """Take a log with both; answers how many entries both refused. An AssertionError says where they differ."""
    reduction, found, refused = Reduction(), module.Facts(), 0
    for index, written in enumerate(log):
        entry, payload = _entry(index, written), copy.deepcopy(written.payload)
        about = None if entry.about is None else (entry.about.type, entry.about.id)
        named: tuple[str, ...] | None
        after, expected = _kept(reduction), None
        try:
            expected = after.apply(entry)
            reduction = after
        except LedgerError:
            # The writer takes back all of an append that is refused, and so do the facts.
            reduction.size += 1
            refused += 1
        try:
            named = found.apply(index=index, id=entry.id, at=entry.at, kind=entry.kind, about=about, payload=payload)
        except invalid:
            named = None
        assert named == expected, written
        assert payload == written.payload, "a payload is read, and never written"
        assert found.active_revision == reduction.active_revision
        assert _objects(found) == _objects(reduction)
        for person in (ANN, BOB, NOBODY_YET, None):
            assert found.ref(None if person is None else (person.type, person.id)) == reduction.ref(person)
    for name in ("person/x", *_objects(reduction)):
        assert (found.version(name), found.state(name)) == (reduction.version(name), reduction.state(name))
    return refused


@given(logs(broken=False))
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # beside other work a log takes long to make
def test_facts_are_the_reductions(log: list[Written]) -> None:
    """After each entry of a well-formed log the names, versions and states are the same, and nothing is refused."""
    assert compare(log) == 0


@given(logs(broken=True))
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # beside other work a log takes long to make
def test_what_one_refuses_the_other_refuses(log: list[Written]) -> None:
    """Entries that are erased, malformed or about a second ref come out the same on both sides."""
    compare(log)


@pytest.mark.parametrize("broken", [False, True])
def test_many_logs_are_the_same(broken: bool) -> None:
    """So do a thousand logs that are the same ones each time; they have every kind, and something to refuse."""
    made, refused = set(), 0
    for log in seeded(1000, broken=broken):
        refused += compare(log)
        made |= {written.kind for written in log}
    assert made == KINDS
    assert (refused > 100) == broken


_ANN: Payload = {"person": {"type": "user", "id": "ann"}, "ref": ref_of(ANN), "directory": {}}
_OPENED = Maker(lambda choices: choices[0], joined={ANN}).entry("attempt", "e1")
_ISSUED = {"token": "t", "event": "issued", "hash": "h", "role": "r", "principal": {}, "expires_at": END}
REFUSED: dict[str, list[Written]] = {
    "unknown kind": [Written("gossip", None, {})],
    "waiver of two": [Written("waiver", ANN, {"requirement": {"scope": "a", "track": "b"}, "until": END})],
    "waiver of nothing": [Written("waiver", ANN, {"requirement": {}, "until": END})],
    "waiver of something else": [Written("waiver", ANN, {"requirement": {"person": "a"}, "until": END})],
    "lowered without a list": [
        Written("regrade", ANN, {"event": "lowered", "result": "r", "until": END, "certifications": "c"})
    ],
    "unheard of an attempt": [
        _OPENED,
        Written(
            "attempt",
            ANN,
            (_OPENED.payload or {}) | {"event": "x", "attempt": "e1", "failures": 0, "counted_from": LATE},
        ),
    ],
    "attempt never opened": [Written("attempt", ANN, {"event": "saved", "attempt": "e9", "answers": {}})],
    "issued twice": [Written("token", None, _ISSUED), Written("token", None, _ISSUED)],
    "revoked and never issued": [Written("token", None, {"token": "t", "event": "revoked"})],
    "pass without an instant": [
        Written("result", ANN, {"passed": True, "module": "m", "tier": "t", "version": "1", "digest": None})
    ],
}


def _refused(what: str) -> list[Written]:
    return [Written("subject", ANN, _ANN), *REFUSED[what]]


@pytest.mark.parametrize("what", REFUSED)
def test_these_are_refused(what: str) -> None:
    """The last entry, on both sides; erased it is nothing to either."""
    log = _refused(what)
    assert compare(log) == 1
    assert compare([*log[:-1], Written(log[-1].kind, log[-1].about, None)]) == 0


MUTANTS = [
    ("facts", "passed_at >= held", "passed_at > held"),
    ("facts", "self._versions[name] = index", "self._versions.setdefault(name, index)"),
    ("facts", 'and payload.get("part") is None', ""),
    ("facts", 'token.setdefault("revoked_at", at)', 'token["revoked_at"] = at'),
    ("facts", '("origin", "since") if field in payload', '("origin",) if field in payload'),
    ("facts", '.setdefault(scope, {"tiers": {}})', '.setdefault(scope, {"tiers": {}, "revoked_at": None})'),
    ("facts", '"standing": "revoked", "tiers": {}, ', '"standing": "revoked", "tiers": held_before, '),
    ("facts", ' or fact["evidence"] == course', ""),
    ("facts", 'fact["evidence"] in earned', 'fact["evidence"] not in earned'),
    ("facts", 'f"{what}:{waived}"', 'f"{what}"'),
    ("facts", '"since": at', '"since": entry'),
    ("facts_learning", 'held["open"].get(strand) == last["attempt"]', 'strand in held["open"]'),
    ("facts_learning", 'held.update(status="passed" if passed', 'held.update(status="passed" if not passed'),
    ("facts_learning", '{"place": held["place"], "choice": choice}', '{"place": place, "choice": choice}'),
    ("facts_learning", 'held["seen"][strand] = seen', "pass"),
    ("facts_learning", "if passed and payload", "if payload"),
    ("facts_learning", 'if payload.get("strand") != _COURSE:', "if True:"),
    ("facts_learning", '{**table(payload, "granted"), "evidence": entry}', 'table(payload, "granted")'),
    ("facts_learning", "if name not in states:", "if True:"),
]
BROKEN_MUTANTS = [
    ("facts", "self._refs.setdefault(about, given)", "self._refs[about] = given"),
    ("facts", "given if ref is None else ref", "given or ref"),
    ("facts_learning", "held, passed = _open(states, name)", "held, passed = states.get(name, {})"),
    ("facts_learning", "if type(value) is not str:", "if value is None:"),
    ("facts_learning", "if type(value) is not dict:", "if value is None:"),
    ("facts", 'what not in ("scope", "track", "module")', "not what"),
    ("facts", "if type(certifications) is not list:", "if certifications is None:"),
    ("facts", 'elif event == "issued" and token is None', 'elif event == "issued"'),
]


def _mutant(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, old: str, new: str) -> tuple[Any, Any]:
    """The rules with one text replaced, as a package of their own, and its Invalid."""
    package = folder / "mutant"
    package.mkdir()
    for source in ("errors", "facts", "facts_learning"):
        shutil.copy(VERIFIER / f"{source}.py", package)
    text = (package / f"{name}.py").read_text("utf-8")
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {name}.py"
    (package / f"{name}.py").write_text(text.replace(old, new), "utf-8")
    monkeypatch.syspath_prepend(folder)
    try:
        module, errors = importlib.import_module("mutant.facts"), importlib.import_module("mutant.errors")
    finally:
        for loaded in [m for m in sys.modules if m == "mutant" or m.startswith("mutant.")]:
            del sys.modules[loaded]
    return module, errors.Invalid


@pytest.mark.parametrize(
    ("broken", "name", "old", "new"),
    [*((False, *mutant) for mutant in MUTANTS), *((True, *mutant) for mutant in BROKEN_MUTANTS)],
)
def test_the_comparison_can_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: bool, name: str, old: str, new: str
) -> None:
    """Rules that are wrong in one place differ in one of the logs."""
    module, invalid = _mutant(tmp_path, monkeypatch, name, old, new)

    def differs(log: list[Written]) -> bool:
        try:
            compare(log, module, invalid)
        except Exception:  # noqa: BLE001  or it stumbles, in any way
            return True
        return False

    by_hand = [_refused(what) for what in REFUSED] if broken else []
    assert any(differs(log) for log in chain(by_hand, seeded(1000, broken=broken)))


@pytest.mark.parametrize("path", sorted(VERIFIER.glob("**/*.py")), ids=lambda path: path.name)
def test_the_verifier_stands_by_itself(path: Path) -> None:
    """Its modules import the standard library, three packages, and each other by relative import; nothing of ours."""
    allowed = sys.stdlib_module_names | {"cryptography", "orjson", "rfc8785"}
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            assert {alias.name.partition(".")[0] for alias in node.names} <= allowed, ast.unparse(node)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            assert (node.module or "").partition(".")[0] in allowed, ast.unparse(node)
        elif isinstance(node, ast.ImportFrom):
            depth = len(path.relative_to(VERIFIER).parts)
            assert node.level <= depth, f"{ast.unparse(node)} leaves the package"


_SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
_VALUES = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
)


@given(_VALUES)
def test_canonical_is_the_writers(value: Any) -> None:
    """What the writer encodes the verifier encodes to the same bytes and reads back; what it refuses is refused."""
    try:
        expected = writers.encode({"a": value})
    except LedgerError:
        with pytest.raises(Invalid):
            canonical.encode({"a": value})
        return
    assert canonical.encode({"a": value}) == expected
    assert canonical.parse(expected) == {"a": value}


@given(_VALUES)
def test_any_other_spelling_is_not_canonical(value: Any) -> None:
    """JSON text is read only where it is the one that the writer would write."""
    for text in (json.dumps({"b": value, "a": value}), json.dumps({"a": value}, separators=(",", ":"))):
        data = text.encode()
        try:
            exact = writers.encode(json.loads(text)) == data
        except LedgerError:
            exact = False
        assert (canonical.parse(data) is not None) == exact


@pytest.mark.parametrize(
    "data",
    [
        b"", b"[]", b"null", b'{"a":1.0}', b'{"a":1e15}', b'{"a":-0}', b'{"a":-0.0}', b'{"a":1E2}', b'{"a":1e999}',
        b'{"a":9007199254740992}', b'{"a":100000000000000000000}', b'{"a":1e+21}', b'{"a":1,"a":1}', b'{"b":1,"a":1}',
        b'{"a": 1}', b'{"a":"\\u00e9"}', b'{"a":"\\/"}', b'{"a":"\\ud800"}', b'{"a":"\xff"}', b'{"a":NaN}',
        b'{"a":1}\n',
        '{"\ufb33":1,"\U0001f600":1}'.encode(), b'{"a":' + b"[" * 128 + b"]" * 128 + b"}", b'{"a":' * 9999,
    ],
    ids=lambda data: repr(data[:30]),
)  # fmt: skip
def test_these_are_not_canonical(data: bytes) -> None:
    """No object, numbers that are spelled otherwise or too large, escapes, order, depth: None, and no other error."""
    assert canonical.parse(data) is None


def test_depth_is_counted_as_the_writer_does() -> None:
    """128 levels are read."""
    data = b'{"a":' + b"[" * 127 + b"]" * 127 + b"}"
    assert writers.encode(orjson.loads(data)) == data
    assert canonical.parse(data) is not None
