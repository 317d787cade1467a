"""What the writer remembers of the committed database: bounded, and exact for as long as nobody else writes.

It is taken in after a commit, never before, and forgotten whole whenever it might not be exact: after a commit that
failed, with another connection, after an erasure, when rows were replaced or the file was written anew.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Generic, TypeAlias, TypeVar

from ledger.merkle import Completed, Frontier

K = TypeVar("K")
V = TypeVar("V")

ObjectKey: TypeAlias = tuple[str, str]
"""Tenant, and the object's name."""
PersonKey: TypeAlias = tuple[str, str, str]
"""Tenant, and the person's type and ID."""
Known: TypeAlias = tuple[str, bytes]
"""A person's ref and tag key."""

MOST: Final = 65_536
"""So many objects, and as many people: some 50 MB, however many there are in the log."""
MOST_TENANTS: Final = 1_024


class Recent(Generic[K, V]):
    """A mapping of at most `most` keys that forgets what was not put for longest, in two generations.

    When the younger one is full it becomes the older one, whose keys are forgotten unless they are put again.
    """

    __slots__ = ("_half", "_old", "_young")

    def __init__(self, most: int) -> None:
        self._half = most // 2
        self._young: dict[K, V] = {}
        self._old: dict[K, V] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def get(self, key: K) -> V | None:
        """What is remembered under a key."""
        found = self._young.get(key)
        return self._old.get(key) if found is None else found

    def put(self, items: dict[K, V]) -> None:
        """Remember these; at least the last of them are remembered afterwards."""
        young, half = self._young, self._half
        for key, value in items.items():
            if len(young) >= half and key not in young:
                self._old = young
                self._young = young = {}
            young[key] = value

    def clear(self) -> None:
        """Forget everything."""
        self._young, self._old = {}, {}


@dataclass(slots=True)
class Head:
    """The end of a tenant's log; `newest_at` is None before the first entry."""

    frontier: Frontier
    newest_at: str | None
    active_revision: str | None
    leaves: list[bytes] = field(default_factory=list)
    """Behind the frontier: hashed into it together, which is cheaper."""

    @property
    def size(self) -> int:
        """How many entries there are."""
        return self.frontier.size + len(self.leaves)

    def settle(self) -> list[Completed]:
        """Take the leaves into the frontier; answers the subtrees that they complete."""
        leaves, self.leaves = self.leaves, []
        if len(leaves) == 1:
            return self.frontier.append(leaves[0])
        return self.frontier.extend(leaves)

    def copy(self) -> Head:
        """A head that grows for itself, of one that is settled."""
        return Head(self.frontier.copy(), self.newest_at, self.active_revision)


class Memory:
    """The versions of objects (-1 where there is none), people who are known, and the ends of logs."""

    __slots__ = ("heads", "people", "versions")

    def __init__(self, most: int = MOST) -> None:
        self.versions: Recent[ObjectKey, int] = Recent(most)
        self.people: Recent[PersonKey, Known] = Recent(most)
        self.heads: Recent[str, Head] = Recent(MOST_TENANTS)

    def forget(self) -> None:
        """Forget everything: the database is asked again."""
        self.versions.clear()
        self.people.clear()
        self.heads.clear()
