"""Who watches the ledger hears of every object that a commit moved, before anybody is answered."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import apsw
import pytest

from ledger import errors
from ledger.canonical import JSON
from ledger.model import Append, Changed, Draft, Person, Receipt, unknown_object
from ledger.prepared import prepare
from ledger.rebuild import Rebuild
from ledger.sqlite import SqliteLedger
from ledger.sqlite.projection import Replace
from tests.ledger.builders import (
    ANN,
    BOB,
    BY,
    REVISION,
    START,
    TENANT,
    activation,
    certification,
    decision,
    draft,
    joins,
    name_of,
    one,
    ref_of,
    result,
    subject,
)
from tests.ledger.faults import FaultyVFS

_OTHER = "b" * 64


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqliteLedger]:
    """A ledger that knows Ann."""
    ledger = SqliteLedger(tmp_path / "ledger.db")
    ledger.submit(one(activation())).result(20)
    ledger.submit(joins(ANN)).result(20)
    yield ledger
    ledger.close()


@pytest.fixture
def told(ledger: SqliteLedger) -> list[Changed]:
    """What is told of that ledger from then on."""
    told: list[Changed] = []
    ledger.watch(told.append)
    return told


def _changed(*objects: str, revision: str | None = None, tenant: str = TENANT) -> Changed:
    return Changed(tenant=tenant, objects=frozenset(objects), revision=revision)


def _token(event: str) -> Draft:
    issued: dict[str, JSON] = {"hash": "h", "role": "admin", "principal": {}, "expires_at": START}
    return draft("token", {"token": "t1", "event": event, **(issued if event == "issued" else {})})


def _signs() -> Draft:
    return draft("log.key", {"event": "first", "origin": "example.org/log", "vkey": "v", "previous": None})


_WINDOW: dict[str, JSON] = {"starts_at": START, "ends_at": START, "resources": []}


def _stores() -> Draft:
    stored: dict[str, JSON] = {
        "event": "stored", "ref": ref_of(ANN), "action": {"name": "a"}, "resource": {"type": "t", "id": "i"},
        "context": {}, "request_digest": "d", "expires_at": START, "by": BY,
    }  # fmt: skip
    return draft("request", stored, about=ANN)


_KINDS: dict[str, tuple[Callable[[], Draft], Callable[[Draft], Changed]]] = {
    "a person who joins": (lambda: subject(BOB), lambda _: _changed(name_of(BOB), unknown_object(BOB))),
    "a person who moves": (lambda: subject(ANN, {"active": False}, first=False), lambda _: _changed(name_of(ANN))),
    "a result": (lambda: result(ANN), lambda _: _changed(name_of(ANN))),
    "a certification": (
        lambda: certification(ANN, of=result(ANN), reads=[], now=START),
        lambda _: _changed(name_of(ANN)),
    ),
    "a revocation": (lambda: draft("revocation", {"scope": "s"}, about=ANN), lambda _: _changed(name_of(ANN))),
    "a token": (lambda: _token("issued"), lambda _: _changed("token/t1")),
    "an approval": (
        lambda: draft("approval", {"ref": ref_of(ANN), "request_digest": "d", "expires_at": START}, about=ANN),
        lambda each: _changed(f"approval/{each.id}"),
    ),
    "a window": (lambda: draft("change_window", _WINDOW), lambda each: _changed(f"change_window/{each.id}")),
    "a stored request": (_stores, lambda each: _changed(f"request/{each.id}")),
    "a hold": (
        lambda: draft("hold", {"event": "set", "reason": "r"}, about=ANN),
        lambda _: _changed(f"hold/{ref_of(ANN)}"),
    ),
    "the log's key": (_signs, lambda _: _changed("log/key")),
    "an alarm": (
        lambda: draft("alarm", {"witness": "w", "event": "raised", "reason": "r"}),
        lambda _: _changed("alarm/w"),
    ),
    "an activation": (lambda: activation(_OTHER), lambda _: _changed(revision=_OTHER)),
}


@pytest.mark.parametrize("kind", _KINDS)
def test_every_kind_of_change_is_told(ledger: SqliteLedger, told: list[Changed], kind: str) -> None:
    """The objects whose version an entry moves, and an active revision, are told once, and nothing else."""
    make, expected = _KINDS[kind]
    each = make()
    ledger.submit(one(each)).result(20)
    assert told == [expected(each)]


def test_what_moves_nothing_is_not_told(ledger: SqliteLedger, told: list[Changed]) -> None:
    """Nothing is told of decisions, of failed results, of what is refused, and of duplicates."""
    again = one(result(ANN))
    ledger.submit(again).result(20)
    told.clear()
    ledger.submit(decision(ANN, now=ledger.now(TENANT))).result(20)
    ledger.submit(one(result(ANN, passed=False))).result(20)
    assert ledger.submit(one(result(ANN), reads=((name_of(ANN), 0),))).exception(20)
    assert ledger.submit(again).result(20)[0].duplicate
    assert told == []


def test_an_erasure_is_told(ledger: SqliteLedger, told: list[Changed]) -> None:
    """Every object that goes with a person is told, and the name that stands for an unknown one."""
    given = draft("approval", {"ref": ref_of(ANN), "request_digest": "d", "expires_at": START}, about=ANN)
    ledger.submit(one(given)).result(20)
    told.clear()
    erased: dict[str, JSON] = {"indices": [1, 2], "reason": "asked", "approved_by": [], "by": BY}
    ledger.submit(Append(tenant=TENANT, drafts=(draft("erasure", erased),), erases=ANN)).result(20)
    assert told == [_changed(name_of(ANN), unknown_object(ANN), f"approval/{given.id}")]


def test_a_replacement_is_told(ledger: SqliteLedger, told: list[Changed], tmp_path: Path) -> None:
    """Objects that a rebuild writes anew are told, whatever their version was."""
    db = apsw.Connection(str(tmp_path / "ledger.db"))
    db.set_busy_timeout(5_000)
    db.execute("UPDATE objects SET version = 7 WHERE name = ?", (name_of(ANN),))
    db.close()
    with TemporaryDirectory() as folder:
        rebuild = Rebuild(tmp_path / "ledger.db", TENANT, Path(folder))
        assert not rebuild.run().equal
        made = one(draft("rebuilt", {"rows": {}, "reason": "test", "by": BY}))
        assert len(ledger.replace(Replace(rebuild.made, lambda _: prepare(made))).result(20)) == 1
        rebuild.close()
    assert told == [_changed(name_of(ANN))]
    ledger.submit(one(result(ANN), reads=((name_of(ANN), 1),))).result(20)


def test_tenants_are_told_by_themselves(ledger: SqliteLedger, told: list[Changed]) -> None:
    """One commit of two tenants is told of as two changes."""
    with ledger._entering:
        first = ledger.submit(one(activation(), tenant="other"))
        second = ledger.submit(one(result(ANN)))
    assert first.result(20)
    assert second.result(20)
    assert told == [_changed(name_of(ANN)), _changed(revision=REVISION, tenant="other")]


def test_it_is_told_after_the_commit_and_before_the_answer(ledger: SqliteLedger) -> None:
    """When it is told, whoever reads sees it, and no append of that commit is answered, a refused one neither."""
    reader = ledger.reader()
    futures: list[Future[tuple[Receipt, ...]]] = []
    seen: list[tuple[int, list[bool]]] = []

    def changed(_: Changed) -> None:
        version, _state = reader.objects(TENANT, [name_of(ANN)])[name_of(ANN)]
        seen.append((version, [future.done() for future in futures]))

    ledger.watch(changed)
    for first in range(2, 42, 2):
        futures.clear()
        stale = one(result(ANN), reads=((name_of(ANN), 0),))
        with ledger._entering:
            futures += [ledger.submit(append) for append in (one(result(ANN)), stale, one(result(ANN)))]
        assert [future.exception(20) is None for future in futures] == [True, False, True]
        assert seen.pop() == (first + 1, [False, False, False])
    assert seen == []
    reader.close()


def test_commits_are_told_in_their_order(ledger: SqliteLedger, told: list[Changed]) -> None:
    """One change after the other, as the log has them."""
    windows = [draft("change_window", dict(_WINDOW)) for _ in range(50)]
    for window in windows:
        ledger.submit(one(window))
    ledger.submit(one(draft("change_window", dict(_WINDOW)))).result(20)
    names = [f"change_window/{window.id}" for window in windows]
    at = {name: number for number, each in enumerate(told) for name in each.objects}
    assert [at[name] for name in names] == sorted(at[name] for name in names)


def test_one_who_fails_to_hear_stops_nobody(
    ledger: SqliteLedger, told: list[Changed], caplog: pytest.LogCaptureFixture
) -> None:
    """What a watcher raises is logged; the others hear, and the append is answered."""

    def fails(_: Changed) -> None:
        raise ZeroDivisionError

    ledger.watch(fails)
    later: list[Changed] = []
    ledger.watch(later.append)
    with caplog.at_level(logging.ERROR):
        assert ledger.submit(one(result(ANN))).result(20)[0].index == 2
    assert told == later == [_changed(name_of(ANN))]
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [ZeroDivisionError]


@pytest.mark.parametrize("how", ["before", "after"])
def test_a_commit_of_unknown_outcome_is_told(tmp_path: Path, vfs: FaultyVFS, how: str) -> None:
    """Whether it was done or not is not known until it is done again: by then it was told, before the answer."""
    failing = vfs.failing
    ledger = SqliteLedger(tmp_path / "ledger.db")
    ledger.submit(one(activation())).result(20)
    ledger.submit(joins(ANN)).result(20)
    told: list[Changed] = []
    done: list[bool] = []
    futures: list[Future[tuple[Receipt, ...]]] = []
    ledger.watch(lambda each: (told.append(each), done.append(futures[0].done()))[0])  # type: ignore[func-returns-value]
    with ledger._entering:
        failing[how] = 1
        futures.append(ledger.submit(one(result(ANN))))
    assert futures[0].result(20)[0].index == 2
    assert told
    assert set(told) == {_changed(name_of(ANN))}
    assert done[0] is False
    # One that stays unknown is told as soon as the database is open again, since it may be there.
    failing["before"] = 1_000
    futures.append(ledger.submit(one(result(ANN))))
    assert isinstance(futures[1].exception(20), errors.Unknown)
    told.clear()
    failing["before"] = 0
    ledger.submit(decision(ANN, now=ledger.now(TENANT))).result(20)
    assert _changed(name_of(ANN)) in told
    ledger.close()


def test_what_certainly_did_not_happen_is_not_told(tmp_path: Path, vfs: FaultyVFS) -> None:
    """A commit that found the disk full moved nothing, also in the eyes of the next one's watchers."""
    ledger = SqliteLedger(tmp_path / "ledger.db")
    ledger.submit(one(activation())).result(20)
    ledger.submit(joins(ANN)).result(20)
    told: list[Changed] = []
    ledger.watch(told.append)
    vfs.failing["full"] = 1
    assert isinstance(ledger.submit(one(result(ANN))).exception(20), errors.Full)
    window = draft("change_window", dict(_WINDOW))
    ledger.submit(one(window)).result(20)
    assert told == [_changed(f"change_window/{window.id}")]
    ledger.close()


def test_a_person_of_any_name_is_told(ledger: SqliteLedger, told: list[Changed]) -> None:
    """The unknown name is the one that decisions read, whatever is in it."""
    zoe = Person("us/er", "zoë/\x00\"'")
    first = subject(zoe)
    stale = replace(decision(zoe, now=ledger.now(TENANT)), reads=((unknown_object(zoe), -1),))
    with ledger._entering:
        joined, decided = ledger.submit(one(first)), ledger.submit(stale)
    assert joined.result(20)
    assert isinstance(decided.exception(20), errors.Stale)
    assert told == [_changed(name_of(zoe), unknown_object(zoe))]
