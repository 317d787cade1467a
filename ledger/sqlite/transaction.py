"""One write transaction: each append is checked whole, in memory, before any row of it is to be written.

So a refused append writes nothing and needs no savepoint, while its neighbours go on; and what an append changed is
seen by those behind it. What the checks ask for is looked up for all appends together (`expect`, see `knowledge`), and
the rows of all are written together (`finish`, see `rows`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, cast

import orjson

from ledger import canonical, entry, instants, merkle
from ledger.clock import BEHIND_MS, Reading, judge
from ledger.errors import (
    Conflict,
    Erased,
    IdempotencyConflict,
    LedgerError,
    Malformed,
    Stale,
    UnknownTenant,
)
from ledger.fields import State
from ledger.model import Person, Receipt, unknown_object, unknown_person
from ledger.prepared import PreparedAppend, PreparedDraft
from ledger.reduce import changed, reduce
from ledger.sqlite.knowledge import Knowledge
from ledger.sqlite.memory import Head, Known, Memory, PersonKey
from ledger.sqlite.pending import Pending
from ledger.sqlite.rows import Db
from ledger.sqlite.telling import Moved

_ENTRY: Final = "SELECT idx, header FROM entries WHERE tenant = ? AND id = ?"
_PAYLOAD: Final = "SELECT payload FROM payloads WHERE tenant = ? AND idx = ?"
_STATE: Final = "SELECT state FROM objects WHERE tenant = ? AND name = ?"
_REF: Final = "SELECT 1 FROM people WHERE tenant = ? AND ref = ?"
_TAKEN: Final = "SELECT entry_id, request FROM idempotency WHERE tenant = ? AND key = ?"
_ABOUT: Final = """
SELECT p.idx, p.payload, e.header FROM payloads AS p JOIN entries AS e ON e.tenant = p.tenant AND e.idx = p.idx
WHERE p.tenant = ? AND p.about_type = ? AND p.about_id = ? ORDER BY p.idx
"""


class _Plan:
    """What one append comes to, before any of it is taken."""

    __slots__ = ("activates", "active_revision", "at", "entries", "objects", "people")

    def __init__(self, at: str, active_revision: str | None) -> None:
        self.at = at
        self.active_revision = active_revision
        self.activates = False
        self.entries: list[tuple[PreparedDraft, bytes, bytes]] = []  # draft, header, leaf
        self.people: dict[PersonKey, Known] = {}
        self.objects: dict[str, tuple[int, State]] = {}


@dataclass(frozen=True, slots=True)
class _Gone:
    """What an erasure takes away."""

    indices: list[int]
    objects: list[str]
    keys: list[str]


class Transaction:
    """The appends of one BEGIN..COMMIT; the caller begins and commits.

    Whether an append is in the log already is looked up before all else (`asks`). Without that it is looked up for
    those that are refused, and rows of an ID that is in the log raise apsw.ConstraintError when they are written: then
    all of it has to be rolled back, and done again by a transaction that asks.
    """

    def __init__(self, db: Db, memory: Memory, reading: Reading, offset_ns: int, *, asks: bool = True) -> None:
        self._db = db
        self._asks = asks
        self._reading = reading
        self._offset_ns = offset_ns
        self._pending = Pending(db)
        self._known = Knowledge(db, memory)
        self._grown: dict[str, str] = {}
        self.moved = Moved()
        self.wrote = False
        self.adjusted = False

    def expect(self, appends: Iterable[PreparedAppend]) -> None:
        """Look up together what the checks of these appends will ask for. Without it they ask for each by itself."""
        self._known.expect(appends)

    def head(self, tenant: str) -> Head | None:
        """The log's end as it is behind what was appended so far."""
        return self._known.head(tenant)

    def _state(self, tenant: str, name: str) -> State | None:
        state = self._pending.state(tenant, name)
        if state is None:
            state = cast("bytes | None", self._db.execute(_STATE, (tenant, name)).get)
        return None if state is None else cast(State, orjson.loads(state))

    def root(self, tenant: str, head: Head) -> bytes:
        """The log's root as it is behind what was appended so far."""
        self._pending.grow(tenant, head)
        return head.frontier.root()

    # One append.

    def append(self, append: PreparedAppend) -> tuple[Receipt, ...]:
        """Check everything, then take it; raises a LedgerError, and then nothing of it is written."""
        if self._asks:
            return self._duplicates(append) or self._append(append)
        try:
            return self._append(append)
        except LedgerError as exc:
            refused = exc.with_traceback(None)
        receipts = self._duplicates(append)
        if receipts is None:
            raise refused
        return receipts

    def _append(self, append: PreparedAppend) -> tuple[Receipt, ...]:
        head = self._known.head(append.tenant)
        if head is None:
            if append.drafts[0].kind != "activation":
                raise UnknownTenant(f"there is no tenant {append.tenant!r}: its log begins with an activation")
            head = Head(merkle.Frontier(), None, None)
        for draft in append.drafts:
            if draft.idempotency is not None:
                self._check_idempotency(append.tenant, draft.idempotency[0])
        at = self._at(append, head)
        self._check_reads(append)
        self._check_leanings(append, head, at)
        gone = None if append.erases is None else self._about_to_go(append, append.erases)
        plan = _Plan(at, head.active_revision)
        for index, draft in enumerate(append.drafts, start=head.size):
            self._plan(plan, append.tenant, index, draft)
        states = {name: canonical.encode(state) for name, (_, state) in plan.objects.items()} if plan.objects else {}
        # From here on nothing is refused.
        receipts = self._take(append, head, plan)
        if plan.people or states:
            self._take_projected(append.tenant, plan, states)
        if append.erases is not None and gone is not None:
            self._erase(append.tenant, append.erases, gone)
        return receipts

    def _duplicates(self, append: PreparedAppend) -> tuple[Receipt, ...] | None:
        """The first receipts where the append is in the log already, None where no ID of it is."""
        tenant, receipts = append.tenant, []
        for draft in append.drafts:
            if self._pending.has(draft.id):
                self._pending.write()
            row = self._db.execute(_ENTRY, (tenant, draft.id)).fetchone()
            if row is None:
                continue
            index, header_bytes = cast("tuple[int, bytes]", row)
            header = entry.parse_header(header_bytes)
            payload = self._db.execute(_PAYLOAD, (tenant, index)).get
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

    def _check_idempotency(self, tenant: str, key: str) -> None:
        taken = self._pending.taken(tenant, key) or self._db.execute(_TAKEN, (tenant, key)).fetchone()
        if taken is not None:
            raise IdempotencyConflict(*cast("tuple[str, str]", taken))

    def _at(self, append: PreparedAppend, head: Head) -> str:
        if append.drafts[0].kind == "clock.adjusted":
            return self._reading.instant  # the one place where `at` may decrease
        return judge(self._reading, head.newest_at, self._offset_ns)

    def _check_reads(self, append: PreparedAppend) -> None:
        tenant, versions = append.tenant, self._known.versions
        for name, version in append.reads:
            known = versions.get((tenant, name))
            if known is None:
                person = unknown_person(name)
                if person is not None:
                    known = -1 if self._known.person(tenant, person) is None else None
                else:
                    known = self._known.version(tenant, name)
            if version != known:
                raise Stale(name)

    def _check_leanings(self, append: PreparedAppend, head: Head, at: str) -> None:
        if append.revision is not None and append.revision != head.active_revision:
            raise Stale("revision")
        if append.valid_until is not None and at >= append.valid_until:
            raise Stale("valid_until")
        # A `now` after `at` comes of a clock that was set back in between: no record may say so.
        if append.now is not None and not 0 <= instants.parse(at) - append.now_ms <= BEHIND_MS:
            raise Stale("now")

    def _plan(self, plan: _Plan, tenant: str, index: int, draft: PreparedDraft) -> None:
        ref, key = (None, None) if draft.about is None else self._about(plan, tenant, draft, draft.about)
        header = entry.header_bytes(
            id_text=draft.id,
            at=plan.at,
            kind=draft.kind,
            tenant=tenant,
            tag=None if key is None else entry.tag(key, draft.id),
            commitment=draft.commitment,
        )
        plan.entries.append((draft, header, merkle.leaf_hash(header)))
        if draft.kind != "decision":  # changes no object, and is most of the log
            self._reduce(plan, tenant, index, draft, ref)

    def _reduce(self, plan: _Plan, tenant: str, index: int, draft: PreparedDraft, ref: str | None) -> None:
        payload = draft.value()
        if draft.kind == "activation":
            plan.active_revision, plan.activates = str(payload["revision"]), True
        for name in changed(draft.kind, payload, ref, draft.id):
            state = plan.objects[name][1] if name in plan.objects else self._state(tenant, name)
            after = reduce(name, state, kind=draft.kind, payload=payload, entry_id=draft.id, at=plan.at)
            plan.objects[name] = (index, after)

    def _about(self, plan: _Plan, tenant: str, draft: PreparedDraft, about: Person) -> tuple[str | None, bytes | None]:
        """Ref and key of whom the entry is about; a person's first entry brings both."""
        key = (tenant, about.type, about.id)
        known = plan.people.get(key) or self._known.person(tenant, about)
        new = draft.new_person
        if new is None:
            if known is None and draft.kind == "subject":
                raise Malformed("the first `subject` entry of a person brings their ref and key")
            return known or (None, None)
        if known is not None:
            raise Stale(unknown_object(about))
        taken = any(ref == new.ref for ref, _ in plan.people.values()) or self._pending.has_ref(tenant, new.ref)
        if taken or self._db.execute(_REF, (tenant, new.ref)).get is not None:
            raise Malformed("the new person's ref is taken")
        plan.people[key] = (new.ref, new.key)
        return new.ref, new.key

    def _take(self, append: PreparedAppend, head: Head, plan: _Plan) -> tuple[Receipt, ...]:
        tenant, at, pending = append.tenant, plan.at, self._pending
        receipts = []
        for index, (draft, header, leaf) in enumerate(plan.entries, start=head.size):
            about = draft.about
            whom = (None, None) if about is None else (about.type, about.id)
            pending.entries += (tenant, index, draft.id, header, leaf)
            pending.payloads += (tenant, index, draft.salt, draft.payload, *whom)
            if draft.idempotency is not None:
                pending.take(tenant, draft.idempotency, draft.id)
            head.leaves.append(leaf)
            receipts.append(Receipt(id=draft.id, index=index, at=at, duplicate=False))
        if plan.activates and plan.active_revision is not None:
            self.moved.revision(tenant, plan.active_revision)
        head.newest_at = at
        head.active_revision = plan.active_revision
        self._known.heads[tenant] = head
        self._grown[tenant] = at
        self.wrote = True
        if append.drafts[0].kind == "clock.adjusted":
            self.adjusted = True
            self._offset_ns = self._reading.offset_ns
        return tuple(receipts)

    def _take_projected(self, tenant: str, plan: _Plan, states: dict[str, bytes]) -> None:
        for key, known in plan.people.items():
            self._known.people[key] = known
            self._pending.join(key, known)
            self.moved.object(tenant, unknown_object(Person(key[1], key[2])))
        for name, (version, _) in plan.objects.items():
            self._known.versions[tenant, name] = version
            self._pending.set(tenant, name, version, states[name])
            self.moved.object(tenant, name)

    # An erasure.

    def _about_to_go(self, append: PreparedAppend, person: Person) -> _Gone:
        """All that is there of a person; raises Stale if it is not what was listed."""
        self._pending.write()
        found = self._db.execute(_ABOUT, (append.tenant, person.type, person.id)).fetchall()
        if tuple(row[0] for row in found) != append.erased:
            raise Stale("what is to be erased")
        ref = (self._known.person(append.tenant, person) or (None, None))[0]
        objects: list[str] = []
        keys: list[str] = []
        for _, payload, header_bytes in cast("list[tuple[int, bytes, bytes]]", found):
            header, value = entry.parse_header(header_bytes), orjson.loads(payload)
            objects += changed(header.kind, value, ref, header.id)
            if value.get("idempotency") is not None:
                keys.append(value["idempotency"]["key"])
        return _Gone(list(append.erased), objects, keys)

    def _erase(self, tenant: str, person: Person, gone: _Gone) -> None:
        """Take away payloads, salts and key, and every row that the projection made of them."""
        for name in gone.objects:
            self._db.execute("DELETE FROM objects WHERE tenant = ? AND name = ?", (tenant, name))
            self.moved.object(tenant, name)
        for key in gone.keys:
            self._db.execute("DELETE FROM idempotency WHERE tenant = ? AND key = ?", (tenant, key))
        for index in gone.indices:
            self._db.execute("DELETE FROM payloads WHERE tenant = ? AND idx = ?", (tenant, index))
        where = (tenant, person.type, person.id)
        self._db.execute("DELETE FROM people WHERE tenant = ? AND type = ? AND id = ?", where)
        self._known.erase(where, gone.objects)
        self.moved.object(tenant, unknown_object(person))

    # Its end.

    def finish(self) -> dict[str, str]:
        """Write everything; answers the newest `at` of every tenant that grew, to publish after the commit."""
        for tenant in self._grown:
            self._pending.grow(tenant, self._known.heads[tenant])
        self._pending.write()
        for tenant in self._grown:
            self._pending.write_head(tenant, self._known.heads[tenant])
        return self._grown

    def committed(self) -> None:
        """Have the writer remember what is true now."""
        self._known.remember()
