"""Leases: the right to give an answer again, to the same question, as long as it holds.

A lease is keyed by revision and canonical input without `now`, and holds for `since <= now < until`. It is found by
that key, or by the very bytes of a body that led to it before. Nothing leans on the memory in here being exact: an
answer by lease is appended with what the first answer was read from, and refused as stale if any of it has moved.

Memory is bounded in bytes. When it is full, the caller who holds the most gives up a lease: one that was never used
again, if there is one, else the one that was not used for the longest. So nobody pushes out anybody else's leases by
asking much, and a stream of questions that are asked once does not push out those that are asked all the time.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

import orjson

from ledger.model import JSON, Changed, Person

MOST_BYTES: Final = 64 << 20
_MOST_OWNERS: Final = 256
"""Beyond so many callers the rest share one allowance."""
_OTHERS: Final = ""
_PROTECTED: Final = 0.8
_MOST_BODIES: Final = 4
_LONGEST_BODY: Final = 8192
_OVERHEAD: Final = 2048
"""About what a lease takes besides texts: objects, table rows, references."""


@dataclass(slots=True, eq=False, kw_only=True)
class Lease:
    """An answer that may be given again. `first` is the ID of the decision that was evaluated."""

    key: str
    tenant: str
    revision: str
    first: str
    since: str
    until: str | None
    reads: tuple[tuple[str, int], ...]
    about: Person
    action: str
    result: dict[str, JSON]
    rendered: bytes
    """The result's members as JSON, without the braces around them."""
    owner: str
    bodies: dict[bytes, tuple[str, ...]] = field(default_factory=dict)
    """Bodies that led here, each with what was dropped of it."""
    alive: bool = True

    def holds(self, revision: str, now: str) -> bool:
        """Whether the answer may be given at `now`, as far as is known here."""
        return (
            self.alive and self.revision == revision and self.since <= now and (self.until is None or now < self.until)
        )

    @property
    def weight(self) -> int:
        """About how many bytes it takes, without its bodies."""
        return _OVERHEAD + 4 * len(self.rendered) + sum(2 * len(name) for name, _ in self.reads)


def _weight(body: bytes, dropped: tuple[str, ...]) -> int:
    return len(body) + sum(64 + len(name) for name in dropped)


def rendered(result: dict[str, JSON]) -> bytes:
    """The members of a result as an answer has them."""
    return orjson.dumps(result)[1:-1]


@dataclass(slots=True)
class _Owner:
    """What one caller's questions hold. Each table has the one that was not used for the longest first."""

    tried: OrderedDict[str, Lease] = field(default_factory=OrderedDict)
    used: OrderedDict[str, Lease] = field(default_factory=OrderedDict)
    bytes: int = 0
    protected: int = 0


class Leases:
    """The leases of one process. Asked in one thread, told of changes in another."""

    def __init__(self, most: int = MOST_BYTES) -> None:
        self.bytes = 0
        self._most = most
        self._leases: dict[str, Lease] = {}
        self._bodies: dict[tuple[str, bytes], Lease] = {}
        self._leaning: dict[tuple[str, str], set[str]] = {}
        self._owners: dict[str, _Owner] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._leases)

    def by_key(self, key: str, revision: str, now: str) -> Lease | None:
        """The lease for a question that has been put together."""
        return self._found(self._leases.get(key), revision, now)

    def by_body(self, tenant: str, body: bytes, revision: str, now: str) -> tuple[Lease, tuple[str, ...]] | None:
        """The lease for a body that was sent before, and what is dropped of it.

        A body and a revision make the same question, for as long as what it reads of the ledger has not moved.
        """
        lease = self._found(self._bodies.get((tenant, body)), revision, now)
        dropped = None if lease is None else lease.bodies.get(body)
        return None if lease is None or dropped is None else (lease, dropped)

    def grant(self, lease: Lease) -> None:
        """Keep a lease; what its memory needs is taken from whoever holds the most."""
        with self._lock:
            if lease.key in self._leases:
                self._drop(self._leases[lease.key])
            name = lease.owner if lease.owner in self._owners or len(self._owners) < _MOST_OWNERS else _OTHERS
            lease.owner = name
            owner = self._owners.setdefault(name, _Owner())
            self._leases[lease.key] = owner.tried[lease.key] = lease
            for read, _ in lease.reads:
                self._leaning.setdefault((lease.tenant, read), set()).add(lease.key)
            self._weigh(owner, lease.weight)
            self._shrink()

    def remember(self, lease: Lease, body: bytes, dropped: tuple[str, ...]) -> None:
        """Have a body lead to a lease from now on."""
        if len(body) > _LONGEST_BODY:
            return
        with self._lock:
            if not lease.alive or body in lease.bodies:
                return
            if len(lease.bodies) >= _MOST_BODIES:
                self._forget_body(lease, next(iter(lease.bodies)))
            lease.bodies[body] = dropped
            self._bodies[lease.tenant, body] = lease
            self._weigh(
                self._owners[lease.owner], _weight(body, dropped), protected=lease.key in self._owners[lease.owner].used
            )
            self._shrink()

    def drop(self, lease: Lease) -> None:
        """Give a lease up."""
        with self._lock:
            self._drop(lease)

    def moved(self, changed: Changed) -> None:
        """Drop what leaned on what a commit has moved. Called from the ledger's thread."""
        with self._lock:
            for name in changed.objects:
                for key in tuple(self._leaning.get((changed.tenant, name), ())):
                    self._drop(self._leases[key])
            if changed.revision is not None:
                for lease in tuple(self._leases.values()):
                    if lease.tenant == changed.tenant and lease.revision != changed.revision:
                        self._drop(lease)

    def clear(self) -> None:
        """Give all up: changes may have gone by untold."""
        with self._lock:
            for lease in tuple(self._leases.values()):
                self._drop(lease)

    def _found(self, lease: Lease | None, revision: str, now: str) -> Lease | None:
        if lease is None:
            return None
        if not lease.holds(revision, now):
            if lease.until is not None and now >= lease.until:
                self.drop(lease)
            return None
        with self._lock:
            self._use(lease)
        return lease

    def _use(self, lease: Lease) -> None:
        owner = self._owners.get(lease.owner)
        if owner is None or not lease.alive:
            return
        if lease.key in owner.used:
            owner.used.move_to_end(lease.key)
            return
        del owner.tried[lease.key]
        owner.used[lease.key] = lease
        owner.protected += self._whole(lease)
        while owner.protected > _PROTECTED * self._most:
            key, oldest = owner.used.popitem(last=False)
            owner.protected -= self._whole(oldest)
            owner.tried[key] = oldest

    def _shrink(self) -> None:
        while self.bytes > self._most:
            owner = max(self._owners.values(), key=lambda each: each.bytes)
            self._drop(next(iter((owner.tried or owner.used).values())))

    def _drop(self, lease: Lease) -> None:
        if self._leases.get(lease.key) is not lease:
            return
        lease.alive = False
        del self._leases[lease.key]
        owner = self._owners[lease.owner]
        protected = owner.tried.pop(lease.key, None) is None
        if protected:
            del owner.used[lease.key]
        self._weigh(owner, -self._whole(lease), protected=protected)
        if not owner.tried and not owner.used:
            del self._owners[lease.owner]
        for body in lease.bodies:
            self._unlead(lease, body)
        for name, _ in lease.reads:
            keys = self._leaning.get((lease.tenant, name), set())
            keys.discard(lease.key)
            if not keys:
                self._leaning.pop((lease.tenant, name), None)

    def _forget_body(self, lease: Lease, body: bytes) -> None:
        dropped = lease.bodies.pop(body)
        self._unlead(lease, body)
        owner = self._owners[lease.owner]
        self._weigh(owner, -_weight(body, dropped), protected=lease.key in owner.used)

    def _unlead(self, lease: Lease, body: bytes) -> None:
        if self._bodies.get((lease.tenant, body)) is lease:  # it may lead to another by now
            del self._bodies[lease.tenant, body]

    def _weigh(self, owner: _Owner, more: int, *, protected: bool = False) -> None:
        owner.bytes += more
        self.bytes += more
        if protected:
            owner.protected += more

    @staticmethod
    def _whole(lease: Lease) -> int:
        return lease.weight + sum(_weight(body, dropped) for body, dropped in lease.bodies.items())
