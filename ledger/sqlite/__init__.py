"""The ledger on SQLite: one writer's thread, any number of read-only connections."""

from ledger.sqlite.reader import SqliteReader
from ledger.sqlite.writer import SqliteLedger

__all__ = ["SqliteLedger", "SqliteReader"]
