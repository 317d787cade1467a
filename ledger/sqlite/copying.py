"""Copies a ledger into a database file of its own, beside its writer: by short ranges, since the log only grows.

Entries, payloads, people and what was signed are copied; the projection is made anew from what was copied. What is
erased meanwhile goes from the copy too: whoever copies asks `moved` when done, and goes on where it says so. The file
has no WAL, so that it can be read where nothing may be written.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from ledger.model import Person, RawEntry
from ledger.sqlite import schema
from ledger.sqlite.projection import Projection, Tables, attach_side
from ledger.sqlite.reader import SqliteReader

_STEP: Final = 512
_PAGE: Final = 256
# What a copy must not be without: payloads go, or the key that signs is another one.
_MOVES: Final = ("erasure", "log.key")

_ADD_ENTRY: Final = "INSERT INTO entries (tenant, idx, id, header, leaf) VALUES (?, ?, ?, ?, ?)"
_ADD_PAYLOAD: Final = (
    "INSERT INTO payloads (tenant, idx, salt, payload, about_type, about_id) VALUES (?, ?, ?, ?, ?, ?)"
)
_ADD_CHECKPOINT: Final = "INSERT OR REPLACE INTO checkpoints (tenant, size, at, note) VALUES (?, ?, ?, ?)"
_ADD_COSIGNATURE: Final = "INSERT OR IGNORE INTO cosignatures (tenant, size, line) VALUES (?, ?, ?)"


@dataclass(frozen=True, slots=True)
class Copied:
    """How far a tenant's log was copied, and its newest checkpoint's note."""

    size: int
    root: bytes
    checkpoint: str | None


class Copying:
    """One copy being made at `path`, of the database at `source`; `folder` is private and thrown away."""

    def __init__(self, source: Path, path: Path, folder: Path, progress: Callable[[int, int], None]) -> None:
        self._reader = SqliteReader(source)
        self._live = Tables(schema.open_reader(source))
        self._db = schema.open_writer(path, synchronous="OFF", create=True)
        attach_side(self._db, folder)
        self._path = path
        self._progress = progress
        self._vacuumed = 0
        self._made = {
            tenant: Projection(self._db, tenant, partial(self._key, tenant)) for tenant in self._live.tenants()
        }

    def close(self) -> None:
        """Give every connection back."""
        self._db.close()
        self._live.db.close()
        self._reader.close()

    def _key(self, tenant: str, person: Person, _: bytes) -> bytes:
        """A person's key as it is now; nothing where they have just been erased, which `moved` will say."""
        return self._reader.key(tenant, person) or b""

    def grow(self) -> None:
        """Copy all that is committed now; raises Malformed where the log is not whole."""
        ends = {tenant: self._live.size(tenant) for tenant in self._made}
        total, done = sum(ends.values()), sum(made.size for made in self._made.values())
        for tenant, made in self._made.items():
            while made.size < ends[tenant]:
                before = made.size
                with self._db:
                    for raw in self._reader.raw_entries(tenant, before, min(before + _STEP, ends[tenant])):
                        self._add(tenant, raw)
                        made.take(raw)
                done += made.size - before
                self._progress(done, total)

    def _add(self, tenant: str, raw: RawEntry) -> None:
        self._db.execute(_ADD_ENTRY, (tenant, raw.index, raw.id, raw.header, raw.leaf))
        if raw.payload is not None and raw.salt is not None:
            about = (raw.about.type, raw.about.id) if raw.about else (None, None)
            self._db.execute(_ADD_PAYLOAD, (tenant, raw.index, raw.salt, raw.payload, *about))

    def moved(self) -> bool:
        """Whether something has come since that the copy must have as well."""
        return any(
            next(iter(self._reader.of_kind(tenant, _MOVES, made.size, self._live.size(tenant))), None) is not None
            for tenant, made in self._made.items()
        )

    def settle(self) -> dict[str, Copied]:
        """Make the copy whole and durable as far as it has come."""
        copied = {}
        with self._db:
            for tenant, made in self._made.items():
                made.settle()
                note = self._checkpoints(tenant, made.size)
                copied[tenant] = Copied(made.size, made.frontier.root(), note)
        erased = sum(made.erased for made in self._made.values())
        if erased > self._vacuumed:  # a deleted row may be left in the unused part of a page: see `scrub`
            self._db.execute("VACUUM")
            self._vacuumed = erased
        descriptor = os.open(self._path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        return copied

    def _checkpoints(self, tenant: str, size: int) -> str | None:
        """Copy what was signed of these entries; answers the newest note."""
        newest, before = None, size + 1
        while page := self._reader.checkpoints(tenant, before, _PAGE):
            for stored in page:
                self._db.execute(_ADD_CHECKPOINT, (tenant, stored.size, stored.at, stored.log_note))
                for line in stored.cosignatures:
                    self._db.execute(_ADD_COSIGNATURE, (tenant, stored.size, line))
            newest = newest or page[0].note
            before = page[-1].size
        return newest
