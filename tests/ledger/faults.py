"""A VFS that counts the syncs of the write-ahead log, and fails them when told to."""

from __future__ import annotations

from typing import Any

import apsw


class FaultyVFS(apsw.VFS):
    """SQLite's own VFS, but for the sync, write and open of the log."""

    def __init__(self, name: str, base: str) -> None:
        super().__init__(name, base, makedefault=True)
        self.base = base
        self.syncs = 0
        self.database_syncs = 0
        self.failing: dict[str, int] = {"before": 0, "after": 0, "full": 0, "open": 0}

    def fails(self, how: str) -> bool:
        """Whether this operation is one of those that are to fail."""
        if not self.failing[how]:
            return False
        self.failing[how] -= 1
        return True

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802  SQLite's name
        """Open a file; the database itself fails where that is asked for."""
        if flags[0] & apsw.SQLITE_OPEN_MAIN_DB and flags[0] & apsw.SQLITE_OPEN_READWRITE and self.fails("open"):
            raise apsw.CantOpenError("injected")
        return _File(self, name, flags)


class _File(apsw.VFSFile):
    def __init__(self, vfs: FaultyVFS, name: Any, flags: list[int]) -> None:
        super().__init__(vfs.base, name, flags)
        self._vfs = vfs
        self._log = bool(flags[0] & apsw.SQLITE_OPEN_WAL)

    def xSync(self, flags: int) -> None:  # noqa: N802  SQLite's name
        """Sync; a log's fails without or after having been done."""
        if self._log:
            self._vfs.syncs += 1
            if self._vfs.fails("before"):
                raise apsw.IOError("injected")
        super().xSync(flags)
        self._vfs.database_syncs += not self._log
        if self._log and self._vfs.fails("after"):
            raise apsw.IOError("injected")

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802  SQLite's name
        """Write; a log's finds the disk full."""
        if self._log and self._vfs.fails("full"):
            raise apsw.FullError("injected")
        super().xWrite(data, offset)
