"""What any store of the ledger promises, in the words of RFC 2119.

Life of an append: *submitted* (queued) -> *sequenced* (checked, given index and `at`) -> *committed*
(durable) -> *published* (heads, futures). Nothing is answered before it is published, and nothing unpublished
is seen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import Literal, Protocol, TypeAlias

from ledger.canonical import JSON
from ledger.instants import Instant
from ledger.model import Append, Changed, Cosigned, Entry, Head, Person, Published, RawEntry, Receipt, StoredCheckpoint

Part: TypeAlias = Literal["objects", "people", "idempotency"]
Row: TypeAlias = tuple[str | int | bytes, ...]
RawRow: TypeAlias = tuple[int, str, bytes, bytes, bytes | None, bytes | None, str | None, str | None]
"""index, ID, header, leaf, payload, salt, type and ID of whom it is about: what is stored, nothing believed."""


class Ledger(Protocol):
    """The writing side. One Ledger, never two, MUST own a database; a second MUST raise HomeLocked."""

    def submit(self, append: Append) -> Future[tuple[Receipt, ...]]:
        """Append all drafts, in order and adjacent, or none.

        The future MUST NOT be resolved before the commit is durable; every refusal comes through it.
        An append that is refused MUST write nothing, and MUST NOT hinder those that commit beside it.
        An append that `erases` MUST leave nothing of what it erased in any row; `scrub` clears the files.
        The checks MUST be made in the transaction that writes, in this order: IDs that are there already
        (same payload and kind: the first receipts; else Conflict or Erased), UnknownTenant,
        IdempotencyConflict, NotReady (the clock), Stale.
        """

    def append(self, append: Append) -> asyncio.Future[tuple[Receipt, ...]]:
        """`submit`, for whoever runs in an event loop: the loop is woken once for all that a commit answers."""

    def watch(self, changed: Callable[[Changed], None]) -> None:
        """Have every commit told that moved objects, in the order of commits, from a thread of the ledger's own.

        It MUST be told after the commit is durable and before any of its appends is answered: so whoever drops what it
        remembers of these objects never serves a state that an answered append has replaced.
        """

    def keep(self, signed: Published | Cosigned) -> Future[tuple[Receipt, ...]]:
        """Keep a checkpoint, or cosignatures, for ever; answered by no receipts.

        MUST be refused with Conflict: a checkpoint that is not larger than the newest one, or larger than the log, or
        of another root than it; cosignatures of a checkpoint that is not there.
        """

    def scrub(self, *, rewrite: bool) -> Future[tuple[Receipt, ...]]:
        """Clear the store's files of what is deleted, answered by no receipts.

        With `rewrite` nothing that is deleted MUST be left in any byte of them; appends wait for so long.
        """

    def now(self, tenant: str) -> Instant:
        """max(clock, newest published `at`); MUST raise NotReady while the clock cannot be believed.

        A store that knows that nothing can be appended any more raises it, too.
        """

    def reader(self) -> Reader:
        """A reader of the same database; the caller closes it."""

    def close(self) -> None:
        """Commit what was submitted, then end. Later submits MUST be refused with NotReady."""


class States(Protocol):
    """What a decision looks up."""

    def person(self, tenant: str, person: Person) -> str | None:
        """The person's ref; None if unknown."""

    def objects(self, tenant: str, names: Sequence[str]) -> dict[str, tuple[int, JSON | None]]:
        """Version and state of each, all of one snapshot; (-1, None) where absent."""


class Reader(States, Protocol):
    """The reading side: any number, in any process, usable from any thread.

    A reader MUST NOT write or checkpoint, and MUST NOT hold a snapshot between two calls or two items.
    """

    def key(self, tenant: str, person: Person) -> bytes | None:
        """The person's tag key `k`; None if unknown."""

    def head(self, tenant: str) -> Head:
        """The published end of the log."""

    def tenants(self) -> list[str]:
        """Every tenant that has a log, sorted."""

    def entry(self, tenant: str, entry_id: str) -> Entry | None:
        """The entry with this ID."""

    def entry_at(self, tenant: str, index: int) -> Entry | None:
        """The entry at this index."""

    def entries(self, tenant: str, start: int, stop: int) -> Iterator[Entry]:
        """Entries start <= index < stop, in order, read in short chunks."""

    def of_kind(self, tenant: str, kinds: Sequence[str], start: int, stop: int) -> Iterator[Entry]:
        """Entries of these kinds, start <= index < stop, in order, read in short chunks."""

    def about(self, tenant: str, person: Person, kinds: Sequence[str], before: int, most: int) -> list[Entry]:
        """The newest entries of these kinds about a person, of index < `before`, newest first, at most so many."""

    def idempotent(self, tenant: str, key: str) -> tuple[str, str] | None:
        """(digest of the request, ID of the entry) that took this idempotency key."""

    def close(self) -> None:
        """Give back every connection."""

    def indices_about(self, tenant: str, person: Person) -> list[int]:
        """The entries about a person that have a payload, ascending."""

    # The log as others check it.

    def hashes(self, tenant: str, level: int, start: int, stop: int) -> list[bytes]:
        """Roots of the complete subtrees of 16**level entries, start <= number < stop; see merkle.Hashes."""

    def headers(self, tenant: str, start: int, stop: int) -> list[bytes]:
        """The stored headers start <= index < stop, of at most some hundred entries: what leaves are made of."""

    def checkpoints(self, tenant: str, before: int, most: int) -> list[StoredCheckpoint]:
        """The newest checkpoints of a size < `before`, the largest first, at most so many."""

    def checkpoint(self, tenant: str, size: int | None = None) -> StoredCheckpoint | None:
        """The checkpoint of this size, or the newest one."""

    # The verifier's side: stored rows, with nothing believed about them.

    def raw_entries(self, tenant: str, start: int, stop: int) -> Iterator[RawEntry]:
        """Stored rows start <= index < stop, by index, read in short chunks."""

    def rows(self, tenant: str, start: int, stop: int) -> list[RawRow]:
        """Stored rows start <= index < stop, of at most some hundred entries."""

    def ids(self, tenant: str, after: str, most: int) -> list[tuple[str, int]]:
        """(ID, index) as the lookup by ID has them, of IDs behind `after`, in their order, at most so many."""

    def loose_payloads(self, tenant: str) -> list[int]:
        """The indices that have a payload and no entry."""

    def loose_cosignatures(self, tenant: str) -> list[int]:
        """The sizes that have cosignatures and no checkpoint."""

    def faults(self, *, whole: bool) -> tuple[bool, list[str]]:
        """What is wrong with the database as such; and first, whether what it defines can be read as ours at all.

        With `whole` every page is looked at, in one long read: MUST NOT be asked beside a live writer.
        """

    def strangers(self, *, whole: bool) -> dict[str, list[str]]:
        """Tenants that have rows and no head, with the tables; with `whole` every row is looked at (see `faults`)."""

    def end(self, tenant: str) -> int:
        """One more than the largest index that is stored, whatever the head says."""

    def odd_nodes(self, tenant: str) -> list[tuple[int, int]]:
        """(level, number) of kept roots that are of no subtree of any log, the first few."""

    def index_of(self, tenant: str, entry_id: str) -> int | None:
        """The index that a lookup by ID finds."""

    def projected(self, tenant: str, part: Part, after: Row | None) -> tuple[int, list[Row]]:
        """The next rows of a part of the projection after a row's key, and the log's size at that snapshot.

        objects: (name, version, canonical state) · people: (type, id, ref, key) · idempotency: (key, request,
        entry ID); by their keys. An empty list is the end.
        """
