"""Two layers between the store and its files, which fail when told to.

`FaultyVFS` is a VFS of apsw's: it counts the syncs of the write-ahead log, and fails them. What a VFS in Python raises
stays raised, also where SQLite means to go on: a checkpoint that finds the disk full, behind a commit that was done,
would make the commit look refused. So it cannot stand at every step. `Steps` puts itself beneath apsw, into the table
of functions by which SQLite calls its own VFS: it sees every call, those of the shared memory among them, and answers
with the codes that SQLite's own VFS has for it.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import apsw

from ledger.verify import verify
from tests.ledger.builders import TENANT


class FaultyVFS(apsw.VFS):
    """SQLite's own VFS, but for the sync, write and open of the log."""

    def __init__(self, name: str, base: str) -> None:
        super().__init__(name, base, makedefault=True)
        self.base = base
        self.syncs = 0
        self.database_syncs = 0
        self.failing: dict[str, int] = {"before": 0, "after": 0, "full": 0, "open": 0, "database": 0}

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
        """Sync; a log's fails without or after having been done, the database's without."""
        if self._log:
            self._vfs.syncs += 1
            if self._vfs.fails("before"):
                raise apsw.IOError("injected")
        if not self._log and self._vfs.fails("database"):
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


# Faults in this process. `full` and `error` once; `no space` and `broken`: from that call on. `torn`: half is written,
# then an error. A cut of power takes what was not synced: everywhere, of the log alone, or of the database alone.
Fault: TypeAlias = Literal["full", "error", "torn", "no space", "broken", "cut", "cut log", "cut database"]
# And of the whole process: before the call, or when half was written. (After a call is before the next one.)
Kill: TypeAlias = Literal["kill", "kill torn"]
Kind: TypeAlias = Literal["open", "delete", "read", "write", "truncate", "sync", "size", "lock", "map", "shared lock"]

KILLED: Final = 137
_OK: Final = apsw.SQLITE_OK
# What SQLite's own VFS answers where the system's call fails.
_CODE: Final[dict[Kind, int]] = {
    "open": apsw.SQLITE_CANTOPEN,
    "delete": apsw.SQLITE_IOERR_DELETE,
    "read": apsw.SQLITE_IOERR_READ,
    "write": apsw.SQLITE_IOERR_WRITE,
    "truncate": apsw.SQLITE_IOERR_TRUNCATE,
    "sync": apsw.SQLITE_IOERR_FSYNC,
    "size": apsw.SQLITE_IOERR_FSTAT,
    "lock": apsw.SQLITE_IOERR_LOCK,
    "map": apsw.SQLITE_IOERR_SHMMAP,
    "shared lock": apsw.SQLITE_BUSY,
}


@dataclass(frozen=True, slots=True)
class Call:
    """One call of SQLite's to its VFS, on the database (``), the `-wal`, a `-journal`, or a `temporary` file."""

    kind: Kind
    file: str

    def can(self, fault: Fault | Kill) -> bool:
        """Whether the fault can come in this call."""
        if fault in ("full", "no space"):
            return self.kind in ("write", "map")
        if fault in ("torn", "kill torn"):
            return self.kind == "write"
        if fault == "error":
            return True
        # A write to what a cut takes anyway comes to the same as the sync behind it.
        if self.kind == "write" and fault in ("cut", "cut log", "cut database"):
            return self.file == "" if fault == "cut log" else self.file != "" and fault == "cut database"
        # Before a call that changes nothing is before the next one that does; what is broken can still be read.
        return self.kind in ("open", "delete", "write", "truncate", "sync", "map")


@dataclass
class Steps:
    """Counts the calls of a database's writer; the `at`-th one is where the fault comes."""

    path: Path
    fault: Fault | Kill | None = None
    at: int = 0
    calls: list[Call] = field(default_factory=list)
    dead: bool = False  # the power is gone: nothing is done or told any more
    _opening: bool = False
    _synced: dict[str, bytes] = field(default_factory=dict)

    @contextmanager
    def opening(self) -> Iterator[None]:
        """What this thread opens now is the writer's, as is all that the writer's thread opens."""
        self._opening = True
        try:
            yield
        finally:
            self._opening = False

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Be in the way of SQLite's calls. All that is opened meanwhile must be closed before the end."""
        with _beneath().watched(self):
            yield

    def is_writers(self) -> bool:
        """Whether a call of this moment is the writer's. (Readers go by undisturbed: they write nothing.)"""
        return self._opening or threading.current_thread().name in ("ledger-writer", "ledger-write-back")

    def opened(self, name: str) -> None:
        """A file that was there before is taken to be durable."""
        if name and name not in self._synced:
            self._synced[name] = Path(name).read_bytes()

    def step(self, kind: Kind, name: str, do: Callable[[], int], half: Callable[[], int] | None = None) -> int:
        """Do what SQLite asks for, or what is to go wrong with it."""
        if self.dead:
            return apsw.SQLITE_IOERR
        call = Call(kind, name.removeprefix(str(self.path)) if name else "temporary")
        self.calls.append(call)
        count = len(self.calls)
        lasting = self.fault in ("no space", "broken")
        if not self.fault or count < self.at or (count > self.at and not lasting) or not call.can(self.fault):
            return self._done(call, name, do())
        if self.fault in ("kill", "kill torn"):
            if half is not None and self.fault == "kill torn":
                half()
            os._exit(KILLED)
        if self.fault in ("cut", "cut log", "cut database"):
            self.dead = True
            return apsw.SQLITE_IOERR
        if self.fault in ("full", "no space"):
            return apsw.SQLITE_FULL if kind == "write" else apsw.SQLITE_IOERR_SHMSIZE
        if half is not None and self.fault == "torn":
            half()
        return _CODE[kind]

    def _done(self, call: Call, name: str, code: int) -> int:
        if code == _OK and call.kind == "sync" and name:
            self._synced[name] = Path(name).read_bytes()
        if code == _OK and call.kind == "delete":
            self._synced.pop(name, None)
        return code

    def lose(self) -> None:
        """After a cut: the files are what was synced of them. What was made or deleted is taken to be durable."""
        Path(f"{self.path}-shm").unlink(missing_ok=True)
        for tail in ("", "-wal", "-journal"):
            file = Path(f"{self.path}{tail}")
            if file.exists() and self.fault != ("cut log" if tail == "" else "cut database"):
                file.write_bytes(self._synced.get(str(file), b""))


_P = ctypes.c_void_p
_INT = ctypes.c_int
_I64 = ctypes.c_int64
_OPEN = ctypes.CFUNCTYPE(_INT, _P, _P, _P, _INT, _P)
_DELETE = ctypes.CFUNCTYPE(_INT, _P, _P, _INT)
_MOVE = ctypes.CFUNCTYPE(_INT, _P, _P, _INT, _I64)
_NUMBER = ctypes.CFUNCTYPE(_INT, _P, _I64)
_CLOSE = ctypes.CFUNCTYPE(_INT, _P)
_FLAGS = ctypes.CFUNCTYPE(_INT, _P, _INT)
_ANSWER = ctypes.CFUNCTYPE(_INT, _P, _P)
_MAP = ctypes.CFUNCTYPE(_INT, _P, _INT, _INT, _INT, _P)
_RANGE = ctypes.CFUNCTYPE(_INT, _P, _INT, _INT, _INT)
_METHODS: Final = (
    *("close", "read", "write", "truncate", "sync", "size", "lock", "unlock", "reserved", "control", "sector"),
    *("device", "map", "shared_lock", "barrier", "unmap", "fetch", "unfetch"),
)


class _Vfs(ctypes.Structure):
    """The beginning of `sqlite3_vfs`."""

    _fields_ = (
        ("version", _INT),
        ("file_bytes", _INT),
        ("longest_path", _INT),
        ("next", _P),
        ("name", ctypes.c_char_p),
        ("data", _P),
        ("open", _P),
        ("delete", _P),
    )


class _Methods(ctypes.Structure):
    """`sqlite3_io_methods`."""

    _fields_ = (("version", _INT), *((name, _P) for name in _METHODS))


class _Beneath:
    """SQLite's own VFS, its `open` and `delete` replaced, and the methods of the files that a writer opens.

    Made once and kept: SQLite has a pointer to the methods for as long as a file is open.
    """

    def __init__(self) -> None:
        self._steps: Steps | None = None
        self._names: dict[int, tuple[Steps, str]] = {}
        pointer = _P()
        memory = apsw.Connection(":memory:", vfs="unix")
        memory.file_control("main", apsw.SQLITE_FCNTL_VFS_POINTER, ctypes.addressof(pointer))
        memory.close()
        assert pointer.value is not None
        self._vfs = _Vfs.from_address(pointer.value)
        self._own = self._vfs.open, self._vfs.delete
        self._open, self._delete = _OPEN(self._vfs.open), _DELETE(self._vfs.delete)
        self._methods: dict[int, _Methods] = {}  # by the address of the real ones: those of a log lock nothing
        self._kept = [_OPEN(self._on_open), _DELETE(self._on_delete)]

    @contextmanager
    def watched(self, steps: Steps) -> Iterator[None]:
        """Let these steps see the calls."""
        self._steps = steps
        self._vfs.open, self._vfs.delete = (ctypes.cast(each, _P).value for each in self._kept[:2])
        try:
            yield
        finally:
            self._vfs.open, self._vfs.delete = self._own
            self._steps = None

    def _on_open(self, vfs: int, name: int | None, file: int, flags: int, out: int | None) -> int:
        steps = self._steps
        if steps is None or not steps.is_writers():
            return int(self._open(vfs, name, file, flags, out))
        text = ctypes.string_at(name).decode() if name else ""
        code = steps.step("open", text, lambda: self._open(vfs, name, file, flags, out))
        methods = _P.from_address(file)
        if code == _OK and methods.value is not None:
            self._names[file] = (steps, text)
            steps.opened(text)
            if methods.value not in self._methods:
                self._methods[methods.value] = self._wrapped(_Methods.from_address(methods.value))
            methods.value = ctypes.addressof(self._methods[methods.value])
        elif code != _OK:
            methods.value = None  # what is not open has nothing to be closed
        return code

    def _on_delete(self, vfs: int, name: int, durably: int) -> int:
        steps = self._steps
        if steps is None or not steps.is_writers():
            return int(self._delete(vfs, name, durably))
        return steps.step("delete", ctypes.string_at(name).decode(), lambda: self._delete(vfs, name, durably))

    def _wrapped(self, real: _Methods) -> _Methods:
        """The same methods, those that may fail by way of the steps."""
        close, read, write = _CLOSE(real.close), _MOVE(real.read), _MOVE(real.write)
        truncate, size, lock = _NUMBER(real.truncate), _ANSWER(real.size), _FLAGS(real.lock)
        shared, shared_lock = _MAP(real.map or 0), _RANGE(real.shared_lock or 0)

        def on_close(file: int) -> int:
            self._names.pop(file, None)
            return int(close(file))

        def on_read(file: int, data: int, count: int, offset: int) -> int:
            return self._step("read", file, lambda: read(file, data, count, offset))

        def on_write(file: int, data: int, count: int, offset: int) -> int:
            return self._step(
                "write",
                file,
                lambda: write(file, data, count, offset),
                lambda: write(file, data, count // 2, offset),
            )

        def on_truncate(file: int, length: int) -> int:
            return self._step("truncate", file, lambda: truncate(file, length))

        def on_sync(file: int, flags: int) -> int:
            del flags  # a kill leaves what the system holds, and a cut is played: the disk need not be waited for
            return self._step("sync", file, lambda: _OK)

        def on_size(file: int, out: int) -> int:
            return self._step("size", file, lambda: size(file, out))

        def on_lock(file: int, level: int) -> int:
            return self._step("lock", file, lambda: lock(file, level))

        def on_map(file: int, page: int, length: int, extend: int, out: int) -> int:
            return self._step("map", file, lambda: shared(file, page, length, extend, out))

        def on_shared_lock(file: int, offset: int, count: int, flags: int) -> int:
            if flags & apsw.SQLITE_SHM_UNLOCK:
                return int(shared_lock(file, offset, count, flags))
            return self._step("shared lock", file, lambda: shared_lock(file, offset, count, flags))

        replaced = {
            "close": _CLOSE(on_close),
            "read": _MOVE(on_read),
            "write": _MOVE(on_write),
            "truncate": _NUMBER(on_truncate),
            "sync": _FLAGS(on_sync),
            "size": _ANSWER(on_size),
            "lock": _FLAGS(on_lock),
            "map": _MAP(on_map),
            "shared_lock": _RANGE(on_shared_lock),
        }
        self._kept += replaced.values()
        methods = _Methods()
        ctypes.memmove(ctypes.byref(methods), ctypes.byref(real), ctypes.sizeof(real))
        for name, function in replaced.items():
            if getattr(real, name) is not None:
                setattr(methods, name, ctypes.cast(function, _P).value)
        return methods

    def _step(self, kind: Kind, file: int, do: Callable[[], int], half: Callable[[], int] | None = None) -> int:
        steps, name = self._names[file]
        return steps.step(kind, name, do, half)


_BENEATH: list[_Beneath] = []


def _beneath() -> _Beneath:
    if not _BENEATH:
        _BENEATH.append(_Beneath())
    return _BENEATH[0]


def size_of(path: Path) -> int:
    """How many entries a log has that verifies."""
    # By SQLite's own VFS: through one in Python, a read-only connection's vain last lock becomes an error.
    faulty, usual = apsw.vfs_names()[:2]
    apsw.set_default_vfs(usual)
    report = verify(path, TENANT)
    apsw.set_default_vfs(faulty)
    assert report.ok, report.findings[:3]
    return report.size
