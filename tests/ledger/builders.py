"""Appends that tests are made of, a clock that tests move, and a store to put them in."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ledger import entry, instants, merkle
from ledger.canonical import JSON
from ledger.ids import uuid7
from ledger.model import Append, Draft, NewPerson, Person, Receipt, unknown_object
from ledger.sqlite import SqliteLedger
from ledger.store import Ledger, Reader

TENANT = "default"
REVISION = "a" * 64
START = "2026-11-23T12:00:00.000Z"
BY: JSON = {"role": "admin", "token": None, "principal": {"type": "system", "id": "test"}}
ANN = Person("user", "ann")
BOB = Person("user", "bob")


class FakeClock:
    """A wall clock and a boot clock that move only when told to."""

    def __init__(self) -> None:
        self.wall = instants.parse(START) * 1_000_000
        self.boot = 1_000_000_000

    def wall_ns(self) -> int:
        """See Clock."""
        return self.wall

    def boot_ns(self) -> int:
        """See Clock."""
        return self.boot

    def run(self, seconds: float) -> None:
        """Time passes."""
        self.wall += int(seconds * 1e9)
        self.boot += int(seconds * 1e9)

    def set_by(self, seconds: float) -> None:
        """Somebody sets the wall clock."""
        self.wall += int(seconds * 1e9)


@dataclass
class Store:
    """An open store of any kind, and how to open it again."""

    ledger: Ledger
    reader: Reader
    clock: FakeClock
    open: Callable[[], tuple[Ledger, Reader]]
    closed: bool = field(default=False)

    def append(self, append: Append) -> tuple[Receipt, ...]:
        """Submit and wait."""
        return self.ledger.submit(append).result(timeout=20)

    def close(self) -> None:
        """Close both sides."""
        if not self.closed:
            self.reader.close()
            self.ledger.close()
        self.closed = True

    def reopen(self) -> None:
        """Close both sides and open the same database again."""
        self.close()
        self.ledger, self.reader = self.open()
        self.closed = False

    def begin(self, tenant: str = TENANT) -> Receipt:
        """Begin a tenant's log."""
        return self.append(one(activation(), tenant=tenant))[0]


def settle(ledger: SqliteLedger) -> None:
    """Wait until the writer has done what it does behind its answers."""
    deadline = time.monotonic() + 60
    while ledger._taken and ledger._thread.is_alive():
        assert time.monotonic() < deadline
        time.sleep(0.0001)
    ledger._back.rest()


def subtrees(leaves: Sequence[bytes]) -> merkle.Subtrees:
    """A tree over leaves in memory, its kept hashes made by the frontier that a writer keeps."""
    kept: dict[tuple[int, int], bytes] = {(0, index): leaf for index, leaf in enumerate(leaves)}
    frontier = merkle.Frontier()
    for leaf in leaves:
        kept |= {(done.level, done.index): done.hash for done in frontier.append(leaf)}
    return merkle.Subtrees(
        lambda level, start, stop: [kept[level, n] for n in range(start, stop) if (level, n) in kept]
    )


def ref_of(person: Person) -> str:
    """A ref that tests can write down."""
    return hashlib.sha256(f"ref {person.type} {person.id}".encode()).hexdigest()[:32]


def key_of(person: Person) -> bytes:
    """A key that tests can write down."""
    return hashlib.sha256(f"key {person.type} {person.id}".encode()).digest()


def name_of(person: Person) -> str:
    """The person's object."""
    return f"person/{ref_of(person)}"


def one(*drafts: Draft, tenant: str = TENANT, reads: tuple[tuple[str, int], ...] = ()) -> Append:
    """An append of these drafts."""
    return Append(tenant=tenant, drafts=drafts, reads=reads)


def draft(kind: str, payload: dict[str, JSON], *, about: Person | None = None, new: NewPerson | None = None) -> Draft:
    """A draft under a new ID."""
    return Draft(id=uuid7(), kind=kind, payload=payload, about=about, new_person=new)


def activation(revision: str = REVISION) -> Draft:
    """Make a revision the active one."""
    return draft("activation", {"revision": revision, "by": BY})


def subject(person: Person, directory: dict[str, JSON] | None = None, *, first: bool = True) -> Draft:
    """A person's directory entry."""
    payload: dict[str, JSON] = {
        "person": {"type": person.type, "id": person.id},
        "ref": ref_of(person),
        "directory": directory or {},
        "by": BY,
    }
    if not first:
        return draft("subject", payload, about=person)
    payload["key_commitment"] = entry.key_commitment(key_of(person))
    return draft("subject", payload, about=person, new=NewPerson(ref=ref_of(person), key=key_of(person)))


def joins(person: Person, directory: dict[str, JSON] | None = None) -> Append:
    """A person's first entry."""
    return one(subject(person, directory), reads=((unknown_object(person), -1),))


def result(
    person: Person, *, module: str = "m1", tier: str = "completed", when: str = START, passed: bool = True
) -> Draft:
    """A result of a module."""
    payload: dict[str, JSON] = {
        "person": {"type": person.type, "id": person.id},
        "module": module,
        "version": "1.0.0",
        "digest": None,
        "tier": tier,
        "passed": passed,
        "occurred_at": when,
        "source": "attempt",
    }
    return draft("result", payload, about=person)


def certification(person: Person, *, of: Draft, reads: list[JSON], now: str, tier: str = "completed") -> Draft:
    """A certification that stands behind its result."""
    payload: dict[str, JSON] = {
        "person": {"type": person.type, "id": person.id},
        "scope": "data-export",
        "tier": tier,
        "issued_at": START,
        "expires_at": "2027-11-23T12:00:00.000Z",
        "parts": {"m1": "1.0.0"},
        "for": of.id,
        "input": {"now": now},
        "reads": reads,
        "revision": REVISION,
    }
    return draft("certification", payload, about=person)


def decision(
    person: Person,
    *,
    now: str,
    reads: tuple[tuple[str, int], ...] = (),
    valid_until: str | None = None,
    revision: str = REVISION,
) -> Append:
    """A decision about a person, with what it leaned on."""
    payload: dict[str, JSON] = {
        "input": {"subject": {"type": person.type, "id": person.id}, "now": now},
        "reads": [[name, version] for name, version in reads],
        "revision": revision,
        "result": {"verdict": "deny"},
    }
    return Append(
        tenant=TENANT,
        drafts=(draft("decision", payload, about=person),),
        reads=reads,
        revision=revision,
        now=now,
        valid_until=valid_until,
    )


def window() -> dict[str, JSON]:
    """The payload of a change window."""
    return {"starts_at": "2026-11-23T12:00:00.000Z", "ends_at": "2026-11-23T13:00:00.000Z", "resources": []}
