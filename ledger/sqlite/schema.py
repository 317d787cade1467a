"""The database's format, and the only ways to open it.

Tables are keyed by tenant. `entries`, `payloads` and `people` are the log, `checkpoints` and `cosignatures` what was
signed of it; the rest is a projection. A payload's row holds all that is erased with its person: salt, payload, and
whom it is about. `nodes` has the roots of the complete subtrees of 16, 256, 4,096, ... entries: proofs need no more.

Rows that are small lie in the tree of their key (WITHOUT ROWID). States are not: whoever looked for one there would
read others whole on the way to it, of a million people a dozen.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Final, Literal, TypeAlias, cast

import apsw

from ledger import merkle
from ledger.errors import FormatTooNew, NotReady

_log: Final = logging.getLogger(__name__)

FORMAT: Final = 3
_READABLE: Final = (2, FORMAT)
"""Formats with the same tables and columns: whoever only reads takes either."""
APPLICATION_ID: Final = 0x4D557374  # "MUst"

BUSY_MS: Final = 5_000
CACHE_KB: Final = 32 << 10
ADD_NODE: Final = "INSERT INTO nodes (tenant, level, idx, hash) VALUES (?, ?, ?, ?)"

Synchronous = Literal["FULL", "NORMAL", "OFF"]
Definition: TypeAlias = tuple[str, str, str, str]
"""(type, name, table, statement with its white space made even)"""

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
CREATE TABLE idempotency (
  tenant TEXT NOT NULL, key TEXT NOT NULL, request TEXT NOT NULL, entry_id TEXT NOT NULL,
  PRIMARY KEY (tenant, key)
) STRICT, WITHOUT ROWID;
"""
_STATES: Final = """
CREATE TABLE objects (
  tenant TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL, state BLOB NOT NULL,
  PRIMARY KEY (tenant, name)
) STRICT"""
_STATES_BY_FORMAT: Final = {2: _STATES + ", WITHOUT ROWID;", FORMAT: _STATES + ";"}


def tables(version: int = FORMAT) -> str:
    """The statements that make a database of a format."""
    return _TABLES + _EVIDENCE + _STATES_BY_FORMAT[version]


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
                db.execute(tables())
                db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                db.execute(f"PRAGMA user_version = {FORMAT}")
        if 0 < db.pragma("user_version") < FORMAT:
            _upgrade(db, path)
        # What an earlier connection wrote and could not sync is seen here and is not durable: a duplicate of
        # it must not be answered before it is. Copying it into the database is a write and a sync of our own.
        try:
            db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        except apsw.BusyError as exc:
            raise NotReady(
                f"the ledger at {path} cannot be opened while somebody reads it without a break, as `muster ledger "
                "verify` does where no service runs"
            ) from exc
        return db


def open_write_back(path: Path, *, synchronous: Synchronous) -> apsw.Connection:
    """A connection that copies the log of writes into the database, as durably as the writer's own would."""
    with _opened(str(path), apsw.SQLITE_OPEN_READWRITE, path) as db:
        db.execute(f"PRAGMA synchronous = {synchronous}")
        db.wal_autocheckpoint(0)
        return db


def _upgrade(db: apsw.Connection, path: Path) -> None:
    """Bring an older format up to this one, whole or not at all."""
    version = db.pragma("user_version")
    _log.warning("%s has ledger format %s and is brought up to %s", path, version, FORMAT)
    with db:
        if version == 1:
            db.execute(_EVIDENCE)
            _add_nodes(db)
        db.execute("ALTER TABLE objects RENAME TO objects_before")
        db.execute(_STATES_BY_FORMAT[FORMAT])
        db.execute(
            "INSERT INTO objects (tenant, name, version, state) SELECT tenant, name, version, state FROM objects_before"
        )
        db.execute("DROP TABLE objects_before")
        db.execute(f"PRAGMA user_version = {FORMAT}")
    _log.warning("%s has ledger format %s now", path, FORMAT)


def _add_nodes(db: apsw.Connection) -> None:
    """The tree's nodes, from its leaves."""
    for (tenant,) in db.execute("SELECT tenant FROM heads").fetchall():
        frontier = merkle.Frontier()
        for (leaf,) in db.execute("SELECT leaf FROM entries WHERE tenant = ? ORDER BY idx", (tenant,)):
            for done in frontier.append(cast(bytes, leaf)):
                db.execute(ADD_NODE, (tenant, done.level, done.index, done.hash))


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
        check_format(db, path)
        yield db
    except BaseException as exc:
        if db is not None:
            db.close(force=True)
        if isinstance(exc, apsw.Error):
            raise NotReady(f"the ledger at {path} cannot be opened: {exc}") from exc
        raise


def check_format(db: apsw.Connection, path: Path) -> None:
    """Raise FormatTooNew, or NotReady, where a connection cannot use the database as it is now."""
    version = db.pragma("user_version")
    if version > FORMAT:
        raise FormatTooNew(f"{path} has ledger format {version}; this Muster reads up to {FORMAT}: use a newer one")
    ours = db.pragma("application_id") == APPLICATION_ID and version > 0
    empty = db.execute("SELECT count(*) FROM sqlite_schema").get == 0
    if ours and version not in _READABLE and db.readonly("main"):
        raise NotReady(
            f"{path} has ledger format {version}: start the service once, it brings the ledger up to {FORMAT}"
        )
    if not ours and not (empty and not db.readonly("main")):
        raise NotReady(f"{path} is not a ledger")


def definitions(db: apsw.Connection) -> set[Definition]:
    """What a database defines."""
    rows = db.execute("SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema").fetchall()
    return {(str(kind), str(name), str(table), " ".join(str(sql).split())) for kind, name, table, sql in rows}


@cache
def ours(version: int = FORMAT) -> frozenset[Definition]:
    """What a database of a format that can be read defines, and nothing else."""
    db = apsw.Connection(":memory:")
    db.execute(tables(version))
    return frozenset(definitions(db))
