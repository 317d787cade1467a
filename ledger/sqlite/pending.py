"""The rows that a transaction has still to write, and what is asked of them before that."""

from __future__ import annotations

from typing import Final

from ledger.sqlite.memory import Head, Known, ObjectKey, PersonKey
from ledger.sqlite.rows import Db, Table, Value

_ENTRIES: Final = Table("entries", "tenant", "idx", "id", "header", "leaf")
_PAYLOADS: Final = Table("payloads", "tenant", "idx", "salt", "payload", "about_type", "about_id")
_NODES: Final = Table("nodes", "tenant", "level", "idx", "hash")
_PEOPLE: Final = Table("people", "tenant", "type", "id", "ref", "k")
_KEYS: Final = Table("idempotency", "tenant", "key", "request", "entry_id")
_SET_OBJECT: Final = """
INSERT INTO objects (tenant, name, version, state) VALUES (?, ?, ?, ?)
ON CONFLICT (tenant, name) DO UPDATE SET version = excluded.version, state = excluded.state
"""
_SET_HEAD: Final = """
INSERT INTO heads (tenant, size, frontier, newest_at, active_revision) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (tenant) DO UPDATE SET size = excluded.size, frontier = excluded.frontier,
  newest_at = excluded.newest_at, active_revision = excluded.active_revision
"""


class Pending:
    """Rows of one transaction. `write` may come at any time: what is written is asked of the database."""

    def __init__(self, db: Db) -> None:
        self._db = db
        # Rows, one behind the other, as their tables are written.
        self.entries: list[Value] = []
        self.payloads: list[Value] = []
        self._nodes: list[Value] = []
        self._people: list[Value] = []
        self._keys: list[Value] = []
        self._refs: set[tuple[str, str]] = set()
        self._taken: dict[tuple[str, str], tuple[str, str]] = {}
        self._objects: dict[ObjectKey, tuple[int, bytes]] = {}

    def has(self, entry_id: str) -> bool:
        """Whether an entry of this ID waits to be written."""
        return entry_id in self.entries[2::5]

    def join(self, key: PersonKey, known: Known) -> None:
        """A person becomes known."""
        self._people += (*key, *known)
        self._refs.add((key[0], known[0]))

    def has_ref(self, tenant: str, ref: str) -> bool:
        """Whether somebody becomes known by this ref."""
        return (tenant, ref) in self._refs

    def take(self, tenant: str, idempotency: tuple[str, str], entry_id: str) -> None:
        """An idempotency key, and the request's digest, become an entry's."""
        key, request = idempotency
        self._keys += (tenant, key, request, entry_id)
        self._taken[tenant, key] = (entry_id, request)

    def taken(self, tenant: str, key: str) -> tuple[str, str] | None:
        """The entry that takes an idempotency key, and its request."""
        return self._taken.get((tenant, key))

    def set(self, tenant: str, name: str, version: int, state: bytes) -> None:
        """An object gets another state; only its last one is written."""
        self._objects[tenant, name] = (version, state)

    def state(self, tenant: str, name: str) -> bytes | None:
        """The state that an object gets."""
        found = self._objects.get((tenant, name))
        return None if found is None else found[1]

    def grow(self, tenant: str, head: Head) -> None:
        """Take a head's leaves into its tree."""
        for done in head.settle():
            self._nodes += (tenant, done.level, done.index, done.hash)

    def write(self) -> None:
        """Write all that waits."""
        for table, values in (
            (_ENTRIES, self.entries),
            (_PAYLOADS, self.payloads),
            (_NODES, self._nodes),
            (_PEOPLE, self._people),
            (_KEYS, self._keys),
        ):
            if values:
                table.write(self._db, values)
                values.clear()
        for (tenant, name), (version, state) in self._objects.items():
            self._db.execute(_SET_OBJECT, (tenant, name, version, state))
        self._refs.clear()
        self._taken.clear()
        self._objects.clear()

    def write_head(self, tenant: str, head: Head) -> None:
        """Write the end of a log, all of whose leaves are in its tree."""
        self._db.execute(_SET_HEAD, (tenant, head.size, head.frontier.to_bytes(), head.newest_at, head.active_revision))
