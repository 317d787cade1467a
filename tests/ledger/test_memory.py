"""What the writer remembers is what the database holds, and a batch comes to what its appends come to one by one."""

from __future__ import annotations

import itertools
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeAlias

import apsw
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from ledger import entry, errors, merkle
from ledger.canonical import JSON
from ledger.clock import Reading
from ledger.ids import uuid7
from ledger.model import Append, Changed, Draft, NewPerson, Person, Receipt, unknown_object
from ledger.prepared import prepare
from ledger.sqlite import SqliteLedger, schema
from ledger.sqlite.memory import Memory, Recent
from ledger.sqlite.transaction import Transaction
from ledger.verify import verify
from tests.ledger.builders import (
    BY,
    TENANT,
    FakeClock,
    activation,
    decision,
    draft,
    joins,
    name_of,
    one,
    result,
    settle,
    subject,
)

_EVERYBODY: Final = [Person("user", name) for name in ("ann", "bob", "eve/x", "zoë\x00")]
_MOST: Final = 6
"""So few are remembered that the machine's walks forget some all the time."""
Outcome: TypeAlias = tuple[tuple[str, int, str], ...] | tuple[type[errors.LedgerError], str]
_WHATS: Final = (
    "decision",
    "decision",
    "joins",
    "joins",
    "moves",
    "learns",
    "erasure",
    "keyed",
    "activates",
    "again",
    "other",
)
_TABLES: Final = (
    "SELECT tenant, name, version, state FROM objects ORDER BY 1, 2",
    "SELECT tenant, type, id, ref, k FROM people ORDER BY 1, 2, 3",
    "SELECT tenant, key, request, entry_id FROM idempotency ORDER BY 1, 2",
    "SELECT tenant, idx, id FROM entries ORDER BY 1, 2",
    "SELECT tenant, idx, payload, about_type, about_id FROM payloads ORDER BY 1, 2",
    "SELECT tenant, size, newest_at, active_revision FROM heads ORDER BY 1",
)


class _OneByOne:
    """The oracle: every append in a transaction of its own, without a memory, in a database of its own."""

    def __init__(self) -> None:
        self.db = apsw.Connection(":memory:")
        self.db.execute(schema.tables())

    def append(self, append: Append, reading: Reading) -> tuple[Outcome, list[Changed]]:
        """What comes of it, and what it moved."""
        transaction = Transaction(self.db, Memory(), reading, reading.offset_ns)
        self.db.execute("BEGIN")
        try:
            receipts = transaction.append(prepare(append))
            transaction.finish()
        except errors.LedgerError as refused:
            self.db.execute("ROLLBACK")
            return (type(refused), str(refused)), []
        self.db.execute("COMMIT")
        return _receipts(receipts), transaction.moved.changes()


def _receipts(receipts: tuple[Receipt, ...]) -> Outcome:
    return tuple((each.id, each.index, each.at) for each in receipts)


def _outcome(future: Future[tuple[Receipt, ...]]) -> Outcome:
    refused = future.exception(20)
    if refused is not None:
        assert isinstance(refused, errors.LedgerError)
        return type(refused), str(refused)
    return _receipts(future.result())


class Machine(RuleBasedStateMachine):
    """Batches of anything, some of whose commits fail; then everything is as the oracle has it."""

    path: Path
    numbers = itertools.count()

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.ledger = SqliteLedger(self.path / f"{next(self.numbers)}.db", clock=self.clock)
        self.ledger._memory = Memory(_MOST)
        self.oracle = _OneByOne()
        self.sent: list[Append] = []
        self.told: list[Changed] = []
        self.ledger.watch(self.told.append)
        self._send([one(activation())])

    def teardown(self) -> None:
        """The log is whole."""
        reader = self.ledger.reader()
        report = verify(reader, TENANT)
        assert report.ok, report.findings
        reader.close()
        self.ledger.close()
        self.oracle.db.close()

    def _send(self, batch: list[Append]) -> None:
        """Have them wait together, and then see that all of it came out as one by one."""
        reading = self.ledger._watch.read()
        with self.ledger._entering:
            futures = [self.ledger.submit(append) for append in batch]
        found = [_outcome(future) for future in futures]
        settle(self.ledger)  # from here on its connection is this thread's
        expected = [self.oracle.append(append, reading) for append in batch]
        assert found == [outcome for outcome, _ in expected]
        moved = {name for _, changes in expected for each in changes for name in each.objects}
        told = {name for each in self.told for name in each.objects}
        assert moved <= told
        self.told.clear()
        self.sent += batch

    @invariant()
    def the_database_is_the_oracles(self) -> None:
        """Every table holds the same, but for what is random."""
        db = self.ledger._db
        assert db is not None
        for statement in _TABLES:
            assert db.execute(statement).fetchall() == self.oracle.db.execute(statement).fetchall(), statement

    @invariant()
    def what_is_remembered_is_what_is_there(self) -> None:
        """Versions, people and heads in memory are those of the rows, and they are few."""
        db, memory = self.ledger._db, self.ledger._memory
        assert db is not None
        assert max(len(memory.versions), len(memory.people)) <= _MOST
        for generation in (memory.versions._old, memory.versions._young):
            for key, version in generation.items():
                if memory.versions.get(key) == version:  # the older generation may hold what the younger one corrects
                    row = db.execute("SELECT version FROM objects WHERE tenant = ? AND name = ?", key).get
                    assert version == (-1 if row is None else row)
        for who in [*memory.people._old, *memory.people._young]:
            statement = "SELECT ref, k FROM people WHERE tenant = ? AND type = ? AND id = ?"
            assert memory.people.get(who) == db.execute(statement, who).fetchone()
        for tenant in [*memory.heads._old, *memory.heads._young]:
            head = memory.heads.get(tenant)
            assert head is not None
            statement = "SELECT frontier, newest_at, active_revision FROM heads WHERE tenant = ?"
            row = (head.frontier.to_bytes(), head.newest_at, head.active_revision)
            assert (head.leaves, row) == ([], db.execute(statement, (tenant,)).fetchone())

    # What is sent: read from the oracle, so that much of it is right.

    def _known(self, person: Person) -> str | None:
        where = (TENANT, person.type, person.id)
        statement = "SELECT ref FROM people WHERE tenant = ? AND type = ? AND id = ?"
        ref: str | None = self.oracle.db.execute(statement, where).get
        return ref

    def _reads(self, person: Person, behind: int) -> tuple[tuple[str, int], ...]:
        ref = self._known(person)
        if ref is None:
            return ((unknown_object(person), -1 - behind),)
        statement = "SELECT version FROM objects WHERE tenant = ? AND name = ?"
        version: int = self.oracle.db.execute(statement, (TENANT, f"person/{ref}")).get
        return ((f"person/{ref}", version - behind), ("token/none", -1))

    def _joins(self, person: Person) -> Append:
        """A first entry, with a ref and a key that nobody had."""
        ref = uuid7().replace("-", "")
        new = NewPerson(ref=ref, key=ref.encode())
        written = subject(person)
        payload = {**written.payload, "ref": new.ref, "key_commitment": entry.key_commitment(new.key)}
        return one(replace(written, payload=payload, new_person=new), reads=((unknown_object(person), -1),))

    def _erasure(self, person: Person) -> Append:
        statement = "SELECT idx FROM payloads WHERE tenant = ? AND about_type = ? AND about_id = ? ORDER BY idx"
        listed: list[JSON] = [row[0] for row in self.oracle.db.execute(statement, (TENANT, person.type, person.id))]
        payload: dict[str, JSON] = {"indices": listed, "reason": "asked", "approved_by": [], "by": BY}
        return Append(tenant=TENANT, drafts=(draft("erasure", payload),), erases=person)

    def _keyed(self, person: Person, number: int) -> Draft:
        came = result(person, passed=False)
        taken: JSON = {"key": str(number) * 64, "request": "0" * 64}
        return replace(came, payload={**came.payload, "idempotency": taken})

    def _any(self, data: st.DataObject) -> Append:
        person = data.draw(st.sampled_from(_EVERYBODY))
        behind = data.draw(st.sampled_from([0, 0, 0, 1]))
        what = data.draw(st.sampled_from(_WHATS))
        if what == "decision":
            now, active = self.ledger.now(TENANT), self.oracle.db.execute("SELECT active_revision FROM heads").get
            return decision(person, now=now, reads=self._reads(person, behind), revision=active)
        if what == "joins":
            return self._joins(person)
        if what == "moves":
            ref = self._known(person) or "0" * 32
            moved = subject(person, {"n": behind}, first=False)
            return one(replace(moved, payload={**moved.payload, "ref": ref}))
        if what == "learns":
            modules = data.draw(st.lists(st.sampled_from("abc"), min_size=1, max_size=2))
            reads = self._reads(person, behind) if data.draw(st.booleans()) else ()
            return one(*[result(person, module=module) for module in modules], reads=reads)
        if what == "erasure":
            return self._erasure(person)
        if what == "keyed":
            return one(self._keyed(person, data.draw(st.integers(0, 1))))
        if what == "activates":
            return one(activation(data.draw(st.sampled_from("ab")) * 64))
        again = data.draw(st.sampled_from(self.sent))
        if what == "again":
            return again
        first = replace(again.drafts[0], payload={**again.drafts[0].payload, "more": True})
        return replace(again, drafts=(first, *again.drafts[1:]))

    @rule(data=st.data(), count=st.integers(1, 7))
    def a_batch(self, data: st.DataObject, count: int) -> None:
        """Anything, and now and then the same append twice in one batch."""
        batch = [self._any(data) for _ in range(count)]
        if data.draw(st.booleans()):
            batch.append(data.draw(st.sampled_from(batch)))
        self._send(batch)

    @rule(data=st.data(), count=st.integers(1, 4))
    def a_batch_whose_commit_is_undone(self, data: st.DataObject, count: int) -> None:
        """The first commit fails and did nothing; it is tried again with another connection."""
        batch = [self._any(data) for _ in range(count)]
        assert self.ledger._db is not None
        self.ledger._db.set_commit_hook(lambda: True)
        self._send(batch)

    @rule(data=st.data())
    def an_append_whose_commit_fails_and_is_done(self, data: st.DataObject) -> None:
        """The commit says that it failed, and is there when the database is opened again."""
        append = self._any(data)
        assert self.ledger._db is not None
        self.ledger._db.set_wal_hook(lambda *_: apsw.SQLITE_IOERR)
        self._send([append])
        assert self.ledger._db is not None
        self.ledger._db.set_wal_hook(None)

    @rule(seconds=st.floats(0.001, 10))
    def time_passes(self, seconds: float) -> None:
        """Both clocks run."""
        self.clock.run(seconds)

    @rule(rewrite=st.booleans())
    def is_scrubbed(self, rewrite: bool) -> None:
        """The file is written anew, or its log of writes emptied."""
        assert self.ledger.scrub(rewrite=rewrite).result(20) == ()
        settle(self.ledger)


def test_a_random_walk_agrees_with_appends_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Receipts, refusals, rows and what is remembered are those of a fresh transaction for each append."""
    monkeypatch.setattr("ledger.sqlite.writer._PAUSE_S", 0.0)

    class Here(Machine):
        path = tmp_path

    run_state_machine_as_test(Here, settings=settings(max_examples=60, stateful_step_count=20, deadline=None))


@pytest.mark.parametrize("forgets", [True, False])
def test_a_memory_that_is_kept_too_long_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forgets: bool
) -> None:
    """After an erasure the same person may come back: only a writer that has forgotten them takes that."""
    ledger = SqliteLedger(tmp_path / "ledger.db")
    ann = Person("user", "ann")
    ledger.submit(one(activation())).result(20)
    ledger.submit(joins(ann)).result(20)
    if not forgets:
        monkeypatch.setattr(Memory, "forget", lambda _self: None)
    payload: dict[str, JSON] = {"indices": [1], "reason": "asked", "approved_by": [], "by": BY}
    ledger.submit(Append(tenant=TENANT, drafts=(draft("erasure", payload),), erases=ann)).result(20)
    again = ledger.submit(joins(ann)).exception(20)
    assert (again is None) == forgets
    ledger.close()


def test_duplicates_within_a_batch_are_one_entry(tmp_path: Path) -> None:
    """The same ID three times in one batch: taken, answered by the same receipt, refused with another payload."""
    ledger = SqliteLedger(tmp_path / "ledger.db")
    ledger.submit(one(activation())).result(20)
    came = result(Person("user", "ann"))
    other = replace(came, payload={**came.payload, "passed": False})
    with ledger._entering:
        first, second, third = (ledger.submit(one(each)) for each in (came, came, other))
        last = ledger.submit(one(result(Person("user", "ann"))))
    assert [(each.index, each.duplicate) for each in (first.result(20)[0], second.result(20)[0])] == [
        (1, False),
        (1, True),
    ]
    assert isinstance(third.exception(20), errors.Conflict)
    assert last.result(20)[0].index == 2
    ledger.close()


def test_many_people_are_not_all_remembered(tmp_path: Path) -> None:
    """With room for a hundred, a thousand people and their objects go through, and every decision is still exact."""
    ledger = SqliteLedger(tmp_path / "ledger.db", synchronous="OFF")
    ledger._memory = Memory(100)
    ledger.submit(one(activation())).result(20)
    people = [Person("user", f"p{number}") for number in range(1_000)]
    joined = [ledger.submit(joins(person)) for person in people]
    versions = [future.result(20)[0].index for future in joined]
    now = ledger.now(TENANT)
    for offset in (0, 1):
        futures = [
            ledger.submit(decision(person, now=now, reads=((name_of(person), version + offset),)))
            for person, version in zip(people, versions, strict=True)
        ]
        assert {type(future.exception(20)) for future in futures} == {errors.Stale if offset else type(None)}
        memory = ledger._memory
        assert 0 < len(memory.versions) <= 100
        assert 0 < len(memory.people) <= 100
    ledger.close()


def test_what_was_put_last_is_remembered() -> None:
    """Half of what fits is there for certain, the newest value of each key alone."""
    recent: Recent[int, Any] = Recent(10)
    for number in range(100):
        recent.put({number: "old"})
        recent.put({number: number, number // 2: "moved"})
        assert len(recent) <= 10
        assert recent.get(number) == number or number // 2 == number
        assert recent.get(number // 2) == "moved"
    recent.clear()
    assert (len(recent), recent.get(99)) == (0, None)


def test_a_settled_head_is_the_tree() -> None:
    """Leaves that wait are counted; a copy grows for itself."""
    from ledger.sqlite.memory import Head

    leaves = [merkle.leaf_hash(bytes([number])) for number in range(40)]
    head = Head(merkle.Frontier(), None, None)
    head.leaves += leaves[:33]
    assert head.size == 33
    head.settle()
    copy = head.copy()
    copy.leaves += leaves[33:]
    copy.settle()
    assert (head.size, head.frontier.root()) == (33, merkle.root_of(leaves[:33]))
    assert (copy.size, copy.frontier.root()) == (40, merkle.root_of(leaves))
