"""A random walk over any store, beside the simplest model of what it holds."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from typing import TypeAlias

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ledger import errors, instants, merkle
from ledger.canonical import JSON
from ledger.ids import uuid7
from ledger.model import Append, Draft, Person, Receipt, unknown_object
from ledger.verify import verify
from tests.ledger.builders import (
    BY,
    REVISION,
    TENANT,
    Store,
    activation,
    certification,
    decision,
    draft,
    joins,
    name_of,
    one,
    result,
    subject,
)

_PEOPLE = st.sampled_from([Person("user", name) for name in ("ann", "bob", "eve/x", "zoë")])
_TOKENS = st.sampled_from(["t1", "t2"])
Outcome: TypeAlias = Future[tuple[Receipt, ...]]


class StoreMachine(RuleBasedStateMachine):
    """The model: the drafts of the log in order, each object's version, each token's standing."""

    open: Callable[[], Store]  # set by the test of a store

    def __init__(self) -> None:
        super().__init__()
        self.store = type(self).open()
        self.log: list[Draft] = []
        self.appends: list[Append] = []
        self.versions: dict[str, int] = {}
        self.revision = REVISION
        self._take(one(activation()))

    def teardown(self) -> None:
        """At the end the log is what the model says, and the verifier finds nothing."""
        for _ in range(2):
            found = list(self.store.reader.entries(TENANT, 0, len(self.log) + 1))
            assert [(each.id, each.kind, each.value) for each in found] == [
                (each.id, each.kind, each.payload) for each in self.log
            ]
            leaves = [merkle.leaf_hash(each.header) for each in found]
            assert self.store.reader.head(TENANT).root == merkle.root_of(leaves)
            report = verify(self.store.reader, TENANT)
            assert report.ok, report.findings
            self.store.reopen()
        self.store.close()

    def _take(self, append: Append, *changed: str) -> None:
        """An append that must be taken."""
        self._taken(append, self.store.ledger.submit(append), *changed)

    def _taken(self, append: Append, outcome: Outcome, *changed: str) -> None:
        receipts = outcome.result(timeout=20)
        first = len(self.log)
        assert [(receipt.index, receipt.duplicate) for receipt in receipts] == [
            (first + offset, False) for offset in range(len(append.drafts))
        ]
        self.log.extend(append.drafts)
        self.appends.append(append)
        self.versions |= dict.fromkeys(changed, len(self.log) - 1)

    def _refuse(self, append: Append, error: type[errors.LedgerError]) -> None:
        """An append that must be refused for this reason."""
        raised = self.store.ledger.submit(append).exception(timeout=20)
        assert type(raised) is error, raised

    def _known(self, person: Person) -> bool:
        return name_of(person) in self.versions

    def _reads(self, person: Person) -> tuple[tuple[str, int], ...]:
        if self._known(person):
            return ((name_of(person), self.versions[name_of(person)]),)
        return ((unknown_object(person), -1),)

    def _decision(self, person: Person) -> Append:
        now = self.store.ledger.now(TENANT)
        return decision(person, now=now, reads=self._reads(person), revision=self.revision)

    @rule(person=_PEOPLE, active=st.booleans())
    def directory(self, person: Person, active: bool) -> None:
        """A person joins, or moves; joining twice is stale."""
        if self._known(person):
            self._refuse(joins(person), errors.Stale)
            self._take(one(subject(person, {"active": active}, first=False)), name_of(person))
        else:
            self._refuse(one(subject(person, {"active": active}, first=False)), errors.Malformed)
            self._take(joins(person, {"active": active}), name_of(person))

    @rule(person=_PEOPLE, passed=st.booleans(), day=st.integers(1, 9), certified=st.booleans())
    def learns(self, person: Person, passed: bool, day: int, certified: bool) -> None:
        """A result, with certifications behind it or without."""
        came = result(person, passed=passed, when=f"2026-01-0{day}T00:00:00.000Z")
        drafts = [came]
        if certified:
            now = self.store.ledger.now(TENANT)
            reads: list[JSON] = [list(read) for read in self._reads(person)]
            for tier in ("completed", "certified"):
                award = certification(person, of=came, reads=reads, now=now, tier=tier)
                drafts.append(replace(award, payload={**award.payload, "revision": self.revision}))
        changed = self._known(person) and (passed or certified)
        self._take(one(*drafts, reads=self._reads(person)), *[name_of(person)] * changed)

    @rule(person=_PEOPLE)
    def decides(self, person: Person) -> None:
        """A decision with the newest reads is taken and changes no object."""
        self._take(self._decision(person))

    @rule(person=_PEOPLE)
    def decides_on_what_moved(self, person: Person) -> None:
        """With an older version, another revision or another instant, the record is stale."""
        good = self._decision(person)
        [(name, version)] = good.reads
        self._refuse(replace(good, reads=((name, version - 1),)), errors.Stale)
        self._refuse(replace(good, revision="f" * 64), errors.Stale)
        self._refuse(replace(good, now="2027-01-01T00:00:00.000Z"), errors.Stale)
        self._refuse(replace(good, valid_until=good.now), errors.Stale)

    @rule(token=_TOKENS)
    def token(self, token: str) -> None:
        """A token is issued once, and can be revoked from then on."""
        name = f"token/{token}"
        revoked = one(draft("token", {"token": token, "event": "revoked", "by": BY}))
        issued = one(
            draft(
                "token",
                {
                    "token": token,
                    "event": "issued",
                    "hash": "h",
                    "role": "admin",
                    "principal": {"type": "system", "id": "x"},
                    "expires_at": "2027-01-01T00:00:00.000Z",
                },
            )
        )
        if name in self.versions:
            self._refuse(issued, errors.Malformed)
            self._take(revoked, name)
        else:
            self._refuse(revoked, errors.Malformed)
            self._take(issued, name)

    @rule(digit=st.sampled_from("abc"))
    def activates(self, digit: str) -> None:
        """Another revision becomes the active one."""
        self.revision = digit * 64
        self._take(one(activation(self.revision)))

    @rule(data=st.data())
    def sends_again(self, data: st.DataObject) -> None:
        """Whatever was taken once is a duplicate ever after, and a conflict with another payload."""
        append = data.draw(st.sampled_from(self.appends))
        receipts = self.store.append(append)
        assert all(receipt.duplicate for receipt in receipts)
        assert [self.log[receipt.index] for receipt in receipts] == list(append.drafts)
        first, *others = append.drafts
        changed = replace(first, payload={**first.payload, "more": True})
        self._refuse(replace(append, drafts=(changed, *others)), errors.Conflict)

    @rule(person=_PEOPLE, number=st.integers(0, 3))
    def uses_an_idempotency_key(self, person: Person, number: int) -> None:
        """The first entry under a key is taken; a later one is told which it was."""
        came = result(person, passed=False)
        key = str(number) * 64
        came = replace(came, payload={**came.payload, "idempotency": {"key": key, "request": "0" * 64}})
        owner = next((each.id for each in self.log if _key(each) == key), None)
        if owner is None:
            self._take(one(came))
        else:
            self._refuse(one(came), errors.IdempotencyConflict)
        assert self.store.reader.idempotent(TENANT, key) == ("0" * 64, owner or came.id)

    @rule(people=st.lists(_PEOPLE, min_size=2, max_size=6))
    def many_wait(self, people: list[Person]) -> None:
        """Appends that wait together are taken in their order, the refused ones left out."""
        appends = [self._decision(person) for person in people]
        bad = replace(appends[0], drafts=(replace(appends[0].drafts[0], id=uuid7()),), revision="f" * 64)
        outcomes = [self.store.ledger.submit(append) for append in [bad, *appends, bad]]
        for append, outcome in zip(appends, outcomes[1:-1], strict=True):
            self._taken(append, outcome)
        for outcome in (outcomes[0], outcomes[-1]):
            assert isinstance(outcome.exception(timeout=20), errors.Stale)

    @rule(seconds=st.floats(0.001, 100))
    def time_passes(self, seconds: float) -> None:
        """Both clocks run."""
        self.store.clock.run(seconds)

    @rule(seconds=st.sampled_from([-100, -6, 6, 100]))
    def somebody_sets_the_clock(self, seconds: int) -> None:
        """Nothing is taken until two people have recorded it."""
        self.store.clock.set_by(seconds)
        self._refuse(one(activation()), errors.NotReady)
        to = instants.now_from(self.store.clock.wall)
        self._take(one(draft("clock.adjusted", {"reason": "x", "by": [BY, BY], "from": "", "to": to})))
        assert self.store.ledger.now(TENANT) == to

    @rule()
    @precondition(lambda self: len(self.log) > 3)
    def reopens(self) -> None:
        """Nothing is lost by closing."""
        self.store.reopen()

    @invariant()
    def the_head_is_the_models(self) -> None:
        """Size, revision and every object's version are what the model says."""
        head = self.store.reader.head(TENANT)
        assert (head.size, head.active_revision) == (len(self.log), self.revision)
        found = self.store.reader.objects(TENANT, [*self.versions, "token/none"])
        assert {name: version for name, (version, _) in found.items()} == self.versions | {"token/none": -1}


def _key(written: Draft) -> JSON:
    taken = written.payload.get("idempotency")
    return taken["key"] if isinstance(taken, dict) else None
