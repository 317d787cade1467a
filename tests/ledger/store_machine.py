"""A random walk over any store, beside the simplest model of what it holds."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, TypeAlias

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ledger import entry, errors, instants, merkle, note
from ledger.canonical import JSON
from ledger.ids import uuid7
from ledger.model import Append, Cosigned, Draft, NewPerson, Person, Published, Receipt, unknown_object
from ledger.rebuild import Rebuild
from ledger.sqlite import SqliteLedger
from ledger.sqlite.scrub import files
from ledger.store import Ledger, Reader
from ledger.verifier import tree
from ledger.verifier.note import Checkpoint, opened, parse_key
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
    one,
    result,
    subject,
)

_EVERYBODY: Final = [Person("user", name) for name in ("ann", "bob", "eve/x", "zoë")]
_PEOPLE = st.sampled_from(_EVERYBODY)
_CROWD: Final = Person("user", "crowd")  # about whom there are many entries, and nobody erases them
_TOKENS = st.sampled_from(["t1", "t2"])
_LINES = st.sampled_from([f"\u2014 witness{number}.example {'abcd' * 9}" for number in range(3)])
_ORIGIN: Final = "example.org/log"
_SIGNER: Final = note.FileSigner(Ed25519PrivateKey.from_private_bytes(bytes(32)))
_KEY: Final = parse_key(note.vkey(_ORIGIN, _SIGNER.public))
Outcome: TypeAlias = Future[tuple[Receipt, ...]]


@dataclass
class _Signed:
    """A checkpoint that was kept."""

    published: Published
    lines: set[str] = field(default_factory=set)


class StoreMachine(RuleBasedStateMachine):
    """The model: the log's drafts and leaves, what of it is erased, who is known, objects' versions, what is signed."""

    open: Callable[[], Store]  # set by the test of a store

    def __init__(self) -> None:
        super().__init__()
        self.store = type(self).open()
        self.log: list[Draft] = []
        self.leaves: list[bytes] = []
        self.erased: set[int] = set()
        self.appends: list[Append] = []
        self.versions: dict[str, int] = {}
        self.refs: dict[Person, str] = {}
        self.lives = 0  # how often anybody has joined: whoever comes back is somebody else to the log
        self.signed: dict[int, _Signed] = {}
        self.kills = 0
        self.revision = REVISION
        signs: dict[str, JSON] = {"event": "first", "origin": _ORIGIN, "vkey": _KEY.vkey(), "previous": None}
        self._take(one(activation(), draft("log.key", signs)), "log/key")

    def teardown(self) -> None:
        """At the end the log is what the model says, and the verifier finds nothing."""
        for _ in range(2):
            found = list(self.store.reader.entries(TENANT, 0, len(self.log) + 1))
            assert [(each.id, each.kind) for each in found] == [(each.id, each.kind) for each in self.log]
            for each, written in zip(found, self.log, strict=True):
                if each.index in self.erased:
                    assert (each.payload, each.salt, each.about) == (None, None, None)
                else:
                    assert (each.value, each.about) == (written.payload, written.about)
            assert [merkle.leaf_hash(each.header) for each in found] == self.leaves
            assert self.store.reader.head(TENANT).root == merkle.root_of(self.leaves)
            self._signed_is_kept()
            report = verify(self.store.reader, TENANT)
            assert report.ok, report.findings
            self.store.reopen()
        self.store.close()

    def _signed_is_kept(self) -> None:
        """Every checkpoint that was ever kept is there, with its cosignatures, and is of this log."""
        kept = self.store.reader.checkpoints(TENANT, 2**62, 1000)
        assert [each.size for each in kept] == sorted(self.signed, reverse=True)
        for each in kept:
            signed = self.signed[each.size]
            assert (each.log_note, each.at) == (signed.published.note, signed.published.at)
            assert set(each.cosignatures) == signed.lines
            checkpoint, _ = opened(each.note.encode(), _KEY)
            assert checkpoint == Checkpoint(_ORIGIN, each.size, merkle.root_of(self.leaves[: each.size]))

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
        headers = self.store.reader.headers(TENANT, first, len(self.log))
        self.leaves.extend(merkle.leaf_hash(header) for header in headers)
        self.appends.append(append)
        self.versions |= dict.fromkeys(changed, len(self.log) - 1)

    def _refuse(self, append: Append, error: type[errors.LedgerError]) -> None:
        """An append that must be refused for this reason."""
        raised = self.store.ledger.submit(append).exception(timeout=20)
        assert type(raised) is error, raised

    def _known(self, person: Person) -> bool:
        return person in self.refs

    def _name(self, person: Person) -> str:
        return f"person/{self.refs[person]}"

    def _about(self, person: Person) -> list[int]:
        """The entries about a person that have a payload."""
        return [n for n, each in enumerate(self.log) if each.about == person and n not in self.erased]

    def _reads(self, person: Person) -> tuple[tuple[str, int], ...]:
        if self._known(person):
            return ((self._name(person), self.versions[self._name(person)]),)
        return ((unknown_object(person), -1),)

    def _subject(self, person: Person, active: bool) -> Draft:
        """A directory entry of somebody who is known."""
        written = subject(person, {"active": active}, first=False)
        return replace(written, payload={**written.payload, "ref": self.refs.get(person, "0" * 32)})

    def _joins(self, person: Person, active: bool) -> Append:
        """A first entry, with a ref and a key that nobody had before."""
        key = hashlib.sha256(f"{self.lives} {person}".encode()).digest()
        new = NewPerson(ref=key.hex()[:32], key=key)
        written = subject(person, {"active": active})
        payload = {**written.payload, "ref": new.ref, "key_commitment": entry.key_commitment(key)}
        return one(replace(written, payload=payload, new_person=new), reads=((unknown_object(person), -1),))

    def _decision(self, person: Person) -> Append:
        now = self.store.ledger.now(TENANT)
        return decision(person, now=now, reads=self._reads(person), revision=self.revision)

    @rule(person=_PEOPLE, active=st.booleans())
    def directory(self, person: Person, active: bool) -> None:
        """A person joins, or moves; joining twice is stale."""
        if self._known(person):
            self._refuse(self._joins(person, active), errors.Stale)
            self._take(one(self._subject(person, active)), self._name(person))
        else:
            self._refuse(one(self._subject(person, active)), errors.Malformed)
            append = self._joins(person, active)
            new = append.drafts[0].new_person
            assert new is not None
            self._take(append, f"person/{new.ref}")
            self.refs[person] = new.ref
            self.lives += 1

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
        self._take(one(*drafts, reads=self._reads(person)), *[self._name(person)] * changed if changed else [])

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
        first, *others = append.drafts
        changed = replace(first, payload={**first.payload, "more": True})
        changed_append = replace(append, drafts=(changed, *others))
        if {n for n, each in enumerate(self.log) if each in append.drafts} & self.erased:
            # What was erased is compared with nothing: whoever could compare it would still know it.
            self._refuse(append, errors.Erased)
            self._refuse(changed_append, errors.Erased)
            return
        receipts = self.store.append(append)
        assert all(receipt.duplicate for receipt in receipts)
        assert [self.log[receipt.index] for receipt in receipts] == list(append.drafts)
        self._refuse(changed_append, errors.Conflict)

    @rule(person=_PEOPLE, number=st.integers(0, 3))
    def uses_an_idempotency_key(self, person: Person, number: int) -> None:
        """The first entry under a key is taken; a later one is told which it was."""
        came = result(person, passed=False)
        key = str(number) * 64
        came = replace(came, payload={**came.payload, "idempotency": {"key": key, "request": "0" * 64}})
        owner = next((each.id for n, each in enumerate(self.log) if _key(each) == key and n not in self.erased), None)
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

    @rule(person=_PEOPLE)
    def approves(self, person: Person) -> None:
        """An approval is an object of its own, and goes with its approver."""
        if self._known(person):
            payload: dict[str, JSON] = {"ref": self.refs[person], "request_digest": "d" * 64, "expires_at": "never"}
            given = draft("approval", payload, about=person)
            self._take(one(given), f"approval/{given.id}")

    @rule()
    @precondition(lambda self: len(self.log) < 256)
    def much_comes(self) -> None:
        """So many entries that a subtree is complete, whose root the store keeps."""
        self._take(one(*[draft("expiry", {"number": number}, about=_CROWD) for number in range(256)]))

    # what goes

    def _erasure(self, person: Person, indices: list[int]) -> Append:
        payload: dict[str, JSON] = {"indices": list[JSON](indices), "reason": "asked", "approved_by": [], "by": BY}
        return replace(one(draft("erasure", payload)), erases=person)

    def _erased(self, person: Person) -> None:
        """What the model does when a person is erased."""
        about = self._about(person)
        for index in about:
            self.versions.pop(f"approval/{self.log[index].id}", None)
        if person in self.refs:
            del self.versions[self._name(person)]
            del self.refs[person]
        self.erased.update(about)

    @rule(person=_PEOPLE, rewrite=st.booleans())
    def erases(self, person: Person, rewrite: bool) -> None:
        """A person goes, with all that is about them and all that was made of it; anybody may come again."""
        about = self.store.reader.indices_about(TENANT, person)
        assert about == self._about(person)
        self._take(self._erasure(person, about))
        self._erased(person)
        assert self.store.ledger.scrub(rewrite=rewrite).result(timeout=20) == ()

    @rule(person=_PEOPLE, data=st.data())
    def erases_something_else(self, person: Person, data: st.DataObject) -> None:
        """A list that is not exactly what there is about the person is stale; one of another shape is no list."""
        about = self._about(person)
        others = sorted({*range(len(self.log) + 1)} - {*about})
        self._refuse(self._erasure(person, sorted([*about, data.draw(st.sampled_from(others))])), errors.Stale)
        if about:
            left_out = data.draw(st.sampled_from(about))
            self._refuse(self._erasure(person, [each for each in about if each != left_out]), errors.Stale)
        good = self._erasure(person, about)
        self._refuse(self._erasure(person, [*about, 0, 0]), errors.Malformed)
        self._refuse(replace(good, erases=None), errors.Malformed)
        self._refuse(replace(good, drafts=(*good.drafts, activation())), errors.Malformed)

    @rule(person=_PEOPLE)
    def erases_while_something_comes(self, person: Person) -> None:
        """What came in front of an erasure is not in its list; what comes behind it leans on somebody who is gone."""
        before, erasure = self._decision(person), self._erasure(person, self._about(person))
        outcomes = [self.store.ledger.submit(append) for append in (before, erasure)]
        self._taken(before, outcomes[0])
        assert isinstance(outcomes[1].exception(timeout=20), errors.Stale)
        erasure, behind = self._erasure(person, self._about(person)), self._decision(person)
        outcomes = [self.store.ledger.submit(append) for append in (erasure, behind)]
        known = self._known(person)
        self._taken(erasure, outcomes[0])
        self._erased(person)
        if known:
            assert isinstance(outcomes[1].exception(timeout=20), errors.Stale)
        else:
            self._taken(behind, outcomes[1])

    # what is signed

    def _publish(self, size: int, *, at: str, root: bytes | None = None) -> Published:
        root = merkle.root_of(self.leaves[:size]) if root is None else root
        text = note.signed(note.checkpoint_text(_ORIGIN, size, root), _ORIGIN, _SIGNER)
        return Published(tenant=TENANT, size=size, root=root, at=at, note=text)

    def _keep(self, signed: Published | Cosigned) -> errors.LedgerError | None:
        outcome = self.store.ledger.keep(signed)
        raised = outcome.exception(timeout=20)
        assert isinstance(raised, errors.LedgerError) or outcome.result() == ()
        return raised if isinstance(raised, errors.LedgerError) else None

    @rule(data=st.data())
    def publishes(self, data: st.DataObject) -> None:
        """A checkpoint that is larger than the newest one, and not than the log, is kept; the newest one, again."""
        newest = max(self.signed, default=0)
        size = data.draw(st.integers(2, len(self.log) + 2))  # the second entry names the key that signs
        published = self._publish(size, at=self.store.ledger.now(TENANT))
        refused = self._keep(published)
        if newest < size <= len(self.log):
            assert refused is None
            self.signed[size] = _Signed(published)
            assert self._keep(published) is None
            assert isinstance(self._keep(self._publish(size, at=published.at, root=bytes(32))), errors.Conflict)
        elif size == newest:
            assert refused is None  # it is the same note: an Ed25519 signature of the same text is
        else:
            assert isinstance(refused, errors.Conflict)
        self._signed_is_kept()

    @rule(data=st.data(), lines=st.lists(_LINES, max_size=3))
    def cosigns(self, data: st.DataObject, lines: list[str]) -> None:
        """Witnesses' lines are kept once, with the checkpoint that they are of; without one they are refused."""
        none = data.draw(st.sampled_from([n for n in range(len(self.log) + 2) if n not in self.signed]))
        assert isinstance(self._keep(Cosigned(tenant=TENANT, size=none, lines=("x",))), errors.Conflict)
        if self.signed:
            size = data.draw(st.sampled_from(sorted(self.signed)))
            assert self._keep(Cosigned(tenant=TENANT, size=size, lines=tuple(lines))) is None
            self.signed[size].lines.update(lines)
            self._signed_is_kept()

    @rule(data=st.data())
    def proves(self, data: st.DataObject) -> None:
        """Proofs from what the store keeps lead to the roots of what the model has."""
        size = data.draw(st.integers(1, len(self.log)))
        index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(0, size))
        kept = merkle.Subtrees(lambda level, start, stop: self.store.reader.hashes(TENANT, level, start, stop))
        root, old_root = (merkle.root_of(self.leaves[:count]) for count in (size, old))
        proof = merkle.inclusion_proof(kept, index, size)
        assert tree.root_by_inclusion(self.leaves[index], index, size, proof) == root
        assert tree.consistent(old, size, merkle.consistency_proof(kept, old, size), old_root, root)

    @rule()
    def is_made_again(self) -> None:
        """All that is made of entries is made of them again, and is the same."""
        if isinstance(self.store.ledger, SqliteLedger):
            with TemporaryDirectory() as folder:
                rebuild = Rebuild(self.store.ledger._path, TENANT, Path(folder))
                report = rebuild.run()
                rebuild.close()
            assert report.equal, report

    # what ends

    @rule()
    @precondition(lambda self: len(self.log) > 3)
    def reopens(self) -> None:
        """Nothing is lost by closing."""
        self.store.reopen()

    @rule()
    @precondition(lambda self: len(self.log) > 3)
    def is_killed(self) -> None:
        """What the files hold at any moment between two commits is all that was answered."""
        self.kills += 1
        self.store = _killed(self.store, self.kills)

    @invariant()
    def the_head_is_the_models(self) -> None:
        """Size, revision and every object's version are what the model says."""
        head = self.store.reader.head(TENANT)
        assert (head.size, head.active_revision) == (len(self.log), self.revision)
        found = self.store.reader.objects(TENANT, [*self.versions, "token/none"])
        assert {name: version for name, (version, _) in found.items()} == self.versions | {"token/none": -1}

    @invariant()
    def people_are_the_models(self) -> None:
        """Whoever is known has their ref and key; of others nothing is left."""
        reader = self.store.reader
        for person in _EVERYBODY:
            assert reader.person(TENANT, person) == self.refs.get(person)
            assert (reader.key(TENANT, person) is not None) == self._known(person)
            assert reader.indices_about(TENANT, person) == self._about(person)


def _key(written: Draft) -> JSON:
    taken = written.payload.get("idempotency")
    return taken["key"] if isinstance(taken, dict) else None


def _killed(store: Store, kills: int) -> Store:
    """The store as it is for whoever comes after a kill: its files as they lie, and nobody who closed them.

    It waits for nothing at this moment, so a copy is what a kill would leave. (A kill in the middle of a commit is
    `test_every_step`'s.) Another store than SQLite's would say here how it dies; until then it is closed.
    """
    if not isinstance(store.ledger, SqliteLedger):
        store.reopen()
        return store
    path = store.ledger._path
    copy = path.with_name(f"{path.name.partition('.killed')[0]}.killed{kills}")
    for file in files(path):
        shutil.copyfile(file, Path(f"{copy}{str(file).removeprefix(str(path))}"))
    store.close()

    def again() -> tuple[Ledger, Reader]:
        ledger = SqliteLedger(copy, clock=store.clock)
        return ledger, ledger.reader()

    return Store(*again(), store.clock, again)
