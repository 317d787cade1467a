"""The database's format, and the only two ways to open it.

Tables are keyed by tenant. `entries`, `payloads` and `people` are the log, `checkpoints` and `cosignatures` what was
signed of it; the rest is a projection. A payload's row holds all that is erased with its person: salt, payload, and
whom it is about. `nodes` has the roots of the complete subtrees of 16, 256, 4,096, ... entries: proofs need no more.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Final, Literal, cast

import apsw

from ledger import merkle
from ledger.errors import FormatTooNew, NotReady

FORMAT: Final = 2
APPLICATION_ID: Final = 0x4D557374  # "MUst"

BUSY_MS: Final = 5_000
CACHE_KB: Final = 32 << 10
ADD_NODE: Final = "INSERT INTO nodes (tenant, level, idx, hash) VALUES (?, ?, ?, ?)"

Synchronous = Literal["FULL", "NORMAL", "OFF"]

# What format 2 has and format 1 had not.
_EVIDENCE: Final = """
CREATE TABLE nodes (
  tenant TEXT NOT NULL, level INTEGER NOT NULL, idx INTEGER NOT NULL, hash BLOB NOT NULL,
  PRIMARY KEY (tenant, level, idx)
) STRICT, WITHOUT ROWID;
CREATE TABLE checkpoints (
  tenant TEXT NOT NULL, size INTEGER NOT NULL, at TEXT NOT NULL, note TEXT NOT NULL,
  PRIMARY KEY (tenant, size)
) STRICT, WITHOUT ROWID;
CREATE TABLE cosignatures (
  tenant TEXT NOT NULL, size INTEGER NOT NULL, line TEXT NOT NULL,
  PRIMARY KEY (tenant, size, line)
) STRICT, WITHOUT ROWID;
"""
_TABLES: Final = """
CREATE TABLE heads (
  tenant TEXT PRIMARY KEY, size INTEGER NOT NULL, frontier BLOB NOT NULL,
  newest_at TEXT NOT NULL, active_revision TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE entries (
  tenant TEXT NOT NULL, idx INTEGER NOT NULL, id TEXT NOT NULL, header BLOB NOT NULL, leaf BLOB NOT NULL,
  PRIMARY KEY (tenant, idx)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX entries_id ON entries (tenant, id);
CREATE TABLE payloads (
  tenant TEXT NOT NULL, idx INTEGER NOT NULL, salt BLOB NOT NULL, payload BLOB NOT NULL,
  about_type TEXT, about_id TEXT,
  UNIQUE (tenant, idx)
) STRICT;
CREATE INDEX payloads_about ON payloads (tenant, about_type, about_id, idx) WHERE about_id IS NOT NULL;
CREATE TABLE people (
  tenant TEXT NOT NULL, type TEXT NOT NULL, id TEXT NOT NULL, ref TEXT NOT NULL, k BLOB NOT NULL,
  PRIMARY KEY (tenant, type, id), UNIQUE (tenant, ref)
) STRICT, WITHOUT ROWID;
CREATE TABLE objects (
  tenant TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL, state BLOB NOT NULL,
  PRIMARY KEY (tenant, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE idempotency (
  tenant TEXT NOT NULL, key TEXT NOT NULL, request TEXT NOT NULL, entry_id TEXT NOT NULL,
  PRIMARY KEY (tenant, key)
) STRICT, WITHOUT ROWID;
"""


def open_writer(path: Path, *, synchronous: Synchronous, create: bool) -> apsw.Connection:
    """The one connection that writes and checkpoints; with `create`, makes the database if there is none."""
    if create and not path.exists():
        # SQLite would make it by the umask; the WAL and its index take the mode of the database.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    with _opened(str(path), apsw.SQLITE_OPEN_READWRITE, path) as db:
        db.execute("PRAGMA secure_delete = ON")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(f"PRAGMA synchronous = {synchronous}")  # FULL: a commit is durable when it returns
        db.execute("PRAGMA wal_autocheckpoint = 1000")
        db.execute(f"PRAGMA journal_size_limit = {64 << 20}")
        # What one commit of a thousand whole decisions writes stays in memory until then, beside the indexes' ends.
        db.execute(f"PRAGMA cache_size = -{CACHE_KB}")
        if create and db.pragma("user_version") == 0:
            with db:
                db.execute(_TABLES + _EVIDENCE)
                db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                db.execute(f"PRAGMA user_version = {FORMAT}")
        if db.pragma("user_version") == 1:
            _upgrade(db)
        # What an earlier connection wrote and could not sync is seen here and is not durable: a duplicate of
        # it must not be answered before it is. Copying it into the database is a write and a sync of our own.
        db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        return db


def _upgrade(db: apsw.Connection) -> None:
    """Bring format 1 up to 2, whole or not at all: the tables that it lacks, and the tree's nodes from its leaves."""
    with db:
        db.execute(_EVIDENCE)
        for (tenant,) in db.execute("SELECT tenant FROM heads").fetchall():
            frontier = merkle.Frontier()
            for (leaf,) in db.execute("SELECT leaf FROM entries WHERE tenant = ? ORDER BY idx", (tenant,)):
                for done in frontier.append(cast(bytes, leaf)):
                    db.execute(ADD_NODE, (tenant, done.level, done.index, done.hash))
        db.execute(f"PRAGMA user_version = {FORMAT}")


def open_reader(path: Path) -> apsw.Connection:
    """A connection that can neither write nor checkpoint."""
    flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
    with _opened(f"{path.absolute().as_uri()}?mode=ro", flags, path) as db:
        return db


@contextmanager
def _opened(name: str, flags: int, path: Path) -> Iterator[apsw.Connection]:
    """A connection to a database of ours; closed, and the reason said in a sentence, if anything fails."""
    db: apsw.Connection | None = None
    try:
        db = apsw.Connection(name, flags=flags)
        db.set_busy_timeout(BUSY_MS)
        # One plan a statement, whatever is bound to it: else a lookup by ID is prepared again for each value.
        db.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
        _check_format(db, path)
        yield db
    except BaseException as exc:
        if db is not None:
            db.close(force=True)
        if isinstance(exc, apsw.Error):
            raise NotReady(f"the ledger at {path} cannot be opened: {exc}") from exc
        raise


def _check_format(db: apsw.Connection, path: Path) -> None:
    version = db.pragma("user_version")
    if version > FORMAT:
        raise FormatTooNew(f"{path} has ledger format {version}; this Muster reads up to {FORMAT}: use a newer one")
    application = db.pragma("application_id")
    empty = db.execute("SELECT count(*) FROM sqlite_schema").get == 0
    if version == 1 and db.readonly("main"):
        raise NotReady(f"{path} has ledger format 1: start the service once, it brings the ledger up to {FORMAT}")
    if (application, version) not in ((APPLICATION_ID, FORMAT), (APPLICATION_ID, 1)) and not (
        empty and not db.readonly("main")
    ):
        raise NotReady(f"{path} is not a ledger")


def definitions(db: apsw.Connection) -> set[tuple[str, str, str, str]]:
    """What a database defines: (type, name, table, statement with its white space made even)."""
    rows = db.execute("SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema").fetchall()
    return {(str(kind), str(name), str(table), " ".join(str(sql).split())) for kind, name, table, sql in rows}


@cache
def ours() -> frozenset[tuple[str, str, str, str]]:
    """What a database of this format defines, and nothing else."""
    db = apsw.Connection(":memory:")
    db.execute(_TABLES + _EVIDENCE)
    return frozenset(definitions(db))
