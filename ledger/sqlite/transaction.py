"""One write transaction: each append is checked whole, in memory, before its first row is written.

So a refused append writes nothing and needs no savepoint, while its neighbours go on; and what an append
changed is seen by those behind it. Nothing here outlives the transaction: after a failed commit the next one
derives heads and frontier from the database again.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Final, cast

import apsw
import orjson

from ledger import canonical, entry, instants, merkle
from ledger.clock import BEHIND_MS, Reading, judge
from ledger.errors import (
    Conflict,
    Erased,
    IdempotencyConflict,
    Malformed,
    Stale,
    UnknownTenant,
)
from ledger.fields import State
from ledger.model import Cosigned, Person, Published, Receipt, unknown_object, unknown_person
from ledger.prepared import PreparedAppend, PreparedDraft
from ledger.reduce import changed, reduce
from ledger.sqlite.schema import ADD_NODE

_FIND: Final = """
SELECT e.idx, e.header, p.payload FROM entries AS e
LEFT JOIN payloads AS p ON p.tenant = e.tenant AND p.idx = e.idx WHERE e.tenant = ? AND e.id = ?
"""
_HEAD: Final = "SELECT frontier, newest_at, active_revision FROM heads WHERE tenant = ?"
_VERSION: Final = "SELECT version FROM objects WHERE tenant = ? AND name = ?"
_OBJECT: Final = "SELECT version, state FROM objects WHERE tenant = ? AND name = ?"
_PERSON: Final = "SELECT ref, k FROM people WHERE tenant = ? AND type = ? AND id = ?"
_REF: Final = "SELECT 1 FROM people WHERE tenant = ? AND ref = ?"
_TAKEN: Final = "SELECT entry_id, request FROM idempotency WHERE tenant = ? AND key = ?"

_SIGNED: Final = "SELECT size, note FROM checkpoints WHERE tenant = ? ORDER BY size DESC LIMIT 1"
_KEPT: Final = "SELECT 1 FROM checkpoints WHERE tenant = ? AND size = ?"
_ADD_CHECKPOINT: Final = "INSERT INTO checkpoints (tenant, size, at, note) VALUES (?, ?, ?, ?)"
_ADD_COSIGNATURE: Final = "INSERT OR IGNORE INTO cosignatures (tenant, size, line) VALUES (?, ?, ?)"
_ABOUT: Final = """
SELECT p.idx, p.payload, e.header FROM payloads AS p JOIN entries AS e ON e.tenant = p.tenant AND e.idx = p.idx
WHERE p.tenant = ? AND p.about_type = ? AND p.about_id = ? ORDER BY p.idx
"""

_ADD_ENTRY: Final = "INSERT INTO entries (tenant, idx, id, header, leaf) VALUES (?, ?, ?, ?, ?)"
_ADD_PAYLOAD: Final = (
    "INSERT INTO payloads (tenant, idx, salt, payload, about_type, about_id) VALUES (?, ?, ?, ?, ?, ?)"
)
_ADD_PERSON: Final = "INSERT INTO people (tenant, type, id, ref, k) VALUES (?, ?, ?, ?, ?)"
_ADD_KEY: Final = "INSERT INTO idempotency (tenant, key, request, entry_id) VALUES (?, ?, ?, ?)"
_SET_OBJECT: Final = """
INSERT INTO objects (tenant, name, version, state) VALUES (?, ?, ?, ?)
ON CONFLICT (tenant, name) DO UPDATE SET version = excluded.version, state = excluded.state
"""
_SET_HEAD: Final = """
INSERT INTO heads (tenant, size, frontier, newest_at, active_revision) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (tenant) DO UPDATE SET size = excluded.size, frontier = excluded.frontier,
  newest_at = excluded.newest_at, active_revision = excluded.active_revision
"""


@dataclass(slots=True)
class _Head:
    """The end of a tenant's log as this transaction has it; newest_at is None before the first entry."""

    frontier: merkle.Frontier
    newest_at: str | None
    active_revision: str | None


@dataclass(slots=True)
class _Plan:
    """The rows of one append, before any of them is written."""

    at: str
    receipts: list[Receipt] = field(default_factory=list)
    leaves: list[bytes] = field(default_factory=list)
    entries: list[tuple[str, int, str, bytes, bytes]] = field(default_factory=list)
    payloads: list[tuple[str, int, bytes, bytes, str | None, str | None]] = field(default_factory=list)
    people: dict[Person, tuple[str, bytes]] = field(default_factory=dict)
    keys: list[tuple[str, str, str, str]] = field(default_factory=list)
    objects: dict[str, tuple[int, State]] = field(default_factory=dict)
    active_revision: str | None = None


class Transaction:
    """The appends of one BEGIN..COMMIT; the caller begins and commits."""

    def __init__(self, db: apsw.Connection, reading: Reading, offset_ns: int) -> None:
        self._db = db
        self._reading = reading
        self._offset_ns = offset_ns
        self._heads: dict[str, _Head] = {}
        self.wrote = False
        self.adjusted = False

    def append(self, append: PreparedAppend) -> tuple[Receipt, ...]:
        """Check everything, then write; raises a LedgerError, and then nothing was written."""
        receipts = self._duplicates(append)
        if receipts is not None:
            return receipts
        head = self._head(append.tenant)
        if head is None:
            if append.drafts[0].kind != "activation":
                raise UnknownTenant(f"there is no tenant {append.tenant!r}: its log begins with an activation")
            head = _Head(merkle.Frontier(), None, None)
        for draft in append.drafts:
            self._check_idempotency(append.tenant, draft)
        at = self._at(append, head)
        self._check_reads(append)
        self._check_leanings(append, head, at)
        gone = None if append.erases is None else self._about_to_go(append, append.erases)
        plan = _Plan(at=at, active_revision=head.active_revision)
        for index, draft in enumerate(append.drafts, start=head.frontier.size):
            self._plan(plan, append.tenant, index, draft)
        self._write(append, head, plan)
        if append.erases is not None and gone is not None:
            self._erase(append.tenant, append.erases, gone)
        return tuple(plan.receipts)

    def publish(self, checkpoint: Published) -> None:
        """Keep a checkpoint; raises Conflict where it is behind the newest one, or contradicts it or the log."""
        head = self._head(checkpoint.tenant)
        newest = self._db.execute(_SIGNED, (checkpoint.tenant,)).fetchone()
        if newest == (checkpoint.size, checkpoint.note):
            return
        if newest is not None and cast(int, newest[0]) >= checkpoint.size:
            raise Conflict(f"there is a checkpoint of {newest[0]} entries already; this one has {checkpoint.size}")
        if head is None or checkpoint.size > head.frontier.size:
            raise Conflict(f"a checkpoint of {checkpoint.size} entries, where the log has fewer")
        if checkpoint.size == head.frontier.size and checkpoint.root != head.frontier.root():
            raise Conflict("a checkpoint of another log than this one")
        self._db.execute(_ADD_CHECKPOINT, (checkpoint.tenant, checkpoint.size, checkpoint.at, checkpoint.note))
        self.wrote = True

    def cosign(self, cosigned: Cosigned) -> None:
        """Keep the lines of witnesses; raises Conflict where there is no checkpoint that they could be of."""
        if self._db.execute(_KEPT, (cosigned.tenant, cosigned.size)).get is None:
            raise Conflict(f"cosignatures of a checkpoint of {cosigned.size} entries, which is not kept")
        for line in cosigned.lines:
            self._db.execute(_ADD_COSIGNATURE, (cosigned.tenant, cosigned.size, line))
        self.wrote = True

    def finish(self) -> dict[str, str]:
        """Write the heads; answers the newest `at` of every tenant that grew, to publish after the commit."""
        grown: dict[str, str] = {}
        for tenant, head in self._heads.items():
            assert head.newest_at is not None  # a head is kept only with an entry
            self._db.execute(
                _SET_HEAD,
                (tenant, head.frontier.size, head.frontier.to_bytes(), head.newest_at, head.active_revision),
            )
            grown[tenant] = head.newest_at
        return grown

    def _duplicates(self, append: PreparedAppend) -> tuple[Receipt, ...] | None:
        """The first receipts where the append is in the log already, None where no ID of it is."""
        receipts = []
        for draft in append.drafts:
            row = self._db.execute(_FIND, (append.tenant, draft.id)).fetchone()
            if row is None:
                continue
            index, header_bytes, payload = row
            header = entry.parse_header(header_bytes)
            if payload is None:
                raise Erased(f"entry {draft.id} is in the log and its payload was erased")
            if (header.kind, payload) != (draft.kind, draft.payload):
                raise Conflict(f"entry {draft.id} is in the log with another payload")
            receipts.append(Receipt(id=draft.id, index=index, at=header.at, duplicate=True))
        if not receipts:
            return None
        if len(receipts) != len(append.drafts):
            raise Conflict("some drafts of the append are in the log and others are not")
        return tuple(receipts)

    def _head(self, tenant: str) -> _Head | None:
        if tenant in self._heads:
            return self._heads[tenant]
        row = self._db.execute(_HEAD, (tenant,)).fetchone()
        if row is None:
            return None
        frontier, newest_at, revision = row
        return _Head(merkle.Frontier.from_bytes(frontier), newest_at, revision)

    def _check_idempotency(self, tenant: str, draft: PreparedDraft) -> None:
        if draft.idempotency is not None:
            taken = self._db.execute(_TAKEN, (tenant, draft.idempotency[0])).fetchone()
            if taken is not None:
                raise IdempotencyConflict(*taken)

    def _at(self, append: PreparedAppend, head: _Head) -> str:
        if append.adjusts_clock:
            return self._reading.instant  # the one place where `at` may decrease
        return judge(self._reading, head.newest_at, self._offset_ns)

    def _check_reads(self, append: PreparedAppend) -> None:
        for name, version in append.reads:
            person = unknown_person(name)
            if person is not None:
                moved = version != -1 or self._person(append.tenant, person) is not None
            else:
                found = self._db.execute(_VERSION, (append.tenant, name)).get
                moved = version != (-1 if found is None else found)
            if moved:
                raise Stale(name)

    def _check_leanings(self, append: PreparedAppend, head: _Head, at: str) -> None:
        if append.revision is not None and append.revision != head.active_revision:
            raise Stale("revision")
        if append.valid_until is not None and at >= append.valid_until:
            raise Stale("valid_until")
        # A `now` after `at` comes of a clock that was set back in between: no record may say so.
        if append.now is not None and not 0 <= instants.parse(at) - append.now_ms <= BEHIND_MS:
            raise Stale("now")

    def _plan(self, plan: _Plan, tenant: str, index: int, draft: PreparedDraft) -> None:
        ref, key = self._about(plan, tenant, draft)
        salt = os.urandom(entry.SALT_BYTES)
        header = entry.Header(
            id=draft.id,
            at=plan.at,
            kind=draft.kind,
            tenant=tenant,
            tag=None if key is None else entry.tag(key, draft.id),
            commitment=entry.commitment(salt, draft.payload),
        ).to_bytes()
        leaf = merkle.leaf_hash(header)
        about = draft.about
        plan.leaves.append(leaf)
        plan.entries.append((tenant, index, draft.id, header, leaf))
        plan.payloads.append(
            (tenant, index, salt, draft.payload, about.type if about else None, about.id if about else None)
        )
        plan.receipts.append(Receipt(id=draft.id, index=index, at=plan.at, duplicate=False))
        if draft.idempotency is not None:
            plan.keys.append((tenant, *draft.idempotency, draft.id))
        if draft.kind != "decision":  # changes no object, and is most of the log
            self._reduce(plan, tenant, index, draft, ref)

    def _reduce(self, plan: _Plan, tenant: str, index: int, draft: PreparedDraft, ref: str | None) -> None:
        payload = draft.value()
        if draft.kind == "activation":
            plan.active_revision = str(payload["revision"])
        for name in changed(draft.kind, payload, ref, draft.id):
            state = plan.objects[name][1] if name in plan.objects else self._state(tenant, name)
            after = reduce(name, state, kind=draft.kind, payload=payload, entry_id=draft.id, at=plan.at)
            plan.objects[name] = (index, after)

    def _about(self, plan: _Plan, tenant: str, draft: PreparedDraft) -> tuple[str | None, bytes | None]:
        """Ref and key of whom the entry is about; a person's first entry brings both."""
        if draft.about is None:
            return None, None
        known = plan.people.get(draft.about) or self._person(tenant, draft.about)
        new = draft.new_person
        if new is None:
            if known is None and draft.kind == "subject":
                raise Malformed("the first `subject` entry of a person brings their ref and key")
            return known or (None, None)
        if known is not None:
            raise Stale(unknown_object(draft.about))
        if self._db.execute(_REF, (tenant, new.ref)).get is not None:
            raise Malformed("the new person's ref is taken")
        plan.people[draft.about] = (new.ref, new.key)
        return new.ref, new.key

    def _person(self, tenant: str, person: Person) -> tuple[str, bytes] | None:
        row: tuple[str, bytes] | None = self._db.execute(_PERSON, (tenant, person.type, person.id)).fetchone()
        return row

    def _state(self, tenant: str, name: str) -> State | None:
        row = self._db.execute(_OBJECT, (tenant, name)).fetchone()
        return None if row is None else orjson.loads(row[1])

    def _about_to_go(self, append: PreparedAppend, person: Person) -> list[tuple[int, bytes, bytes]]:
        """Index, payload and header of what is about a person; raises Stale if it is not what was listed."""
        rows = self._db.execute(_ABOUT, (append.tenant, person.type, person.id)).fetchall()
        if tuple(row[0] for row in rows) != append.erased:
            raise Stale("what is to be erased")
        return cast("list[tuple[int, bytes, bytes]]", rows)

    def _erase(self, tenant: str, person: Person, rows: list[tuple[int, bytes, bytes]]) -> None:
        """Take away payloads, salts and key, and every row that the projection made of them."""
        ref = (self._person(tenant, person) or (None, None))[0]
        for index, payload, header_bytes in rows:
            header, value = entry.parse_header(header_bytes), orjson.loads(payload)
            for name in changed(header.kind, value, ref, header.id):
                self._db.execute("DELETE FROM objects WHERE tenant = ? AND name = ?", (tenant, name))
            taken = value.get("idempotency")
            if taken is not None:
                self._db.execute("DELETE FROM idempotency WHERE tenant = ? AND key = ?", (tenant, taken["key"]))
            self._db.execute("DELETE FROM payloads WHERE tenant = ? AND idx = ?", (tenant, index))
        key = (tenant, person.type, person.id)
        self._db.execute("DELETE FROM people WHERE tenant = ? AND type = ? AND id = ?", key)

    def _write(self, append: PreparedAppend, head: _Head, plan: _Plan) -> None:
        states = [(name, version, canonical.encode(state)) for name, (version, state) in plan.objects.items()]
        self.wrote = True
        for row in plan.entries:
            self._db.execute(_ADD_ENTRY, row)
        for payload in plan.payloads:
            self._db.execute(_ADD_PAYLOAD, payload)
        for person, (ref, key) in plan.people.items():
            self._db.execute(_ADD_PERSON, (append.tenant, person.type, person.id, ref, key))
        for taken in plan.keys:
            self._db.execute(_ADD_KEY, taken)
        for name, version, state in states:
            self._db.execute(_SET_OBJECT, (append.tenant, name, version, state))
        for leaf in plan.leaves:
            for done in head.frontier.append(leaf):
                self._db.execute(ADD_NODE, (append.tenant, done.level, done.index, done.hash))
        head.newest_at = plan.at
        head.active_revision = plan.active_revision
        self._heads[append.tenant] = head
        if append.adjusts_clock:
            self.adjusted = True
            self._offset_ns = self._reading.offset_ns
