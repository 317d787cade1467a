"""One OPA as a child of this process: on a Unix socket in a private folder, without a TCP port, gone when we are gone.

Owns one life of it, from start to reaping; `watch` starts the next. Each life has a socket name of its own, because a
second OPA would take over a live socket without a word. Must be started from a thread that lives as long as OPA shall,
in practice the main thread's event loop: the kernel's signal comes when the starting thread ends (prctl(2)).
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import stat
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from engine.opa.binary import OpaBinary
from engine.opa.errors import OpaStartError

MAX_BODY_BYTES: Final = 1024 * 1024
"""The longest question: an input of 64 KiB with its facts, or a batch of 512 KiB, fits easily."""

_MAX_SOCKET_BYTES: Final = 99  # sun_path has 108 on Linux; OPA says only "bind: invalid argument"
_MEMORY: Final = "96MiB"  # Go's own memory; with the program's pages and what Go gives back late, under 150 MB
_GARBAGE: Final = "800"
"""Go collects when the heap is nine times what lives, or nears `_MEMORY`: a third less processor time than at 100."""
_LAST_BYTES: Final = 4096
_KILL_AFTER_SECONDS: Final = 3.0
_QUOTA: Final = Path("/sys/fs/cgroup/cpu.max")
"""A container's share of processor time: microseconds, in a period of so many."""
_LAUNCHER: Final = Path(__file__).with_name("launcher.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What an OPA serves: a signed bundle, and the PEM file of the Ed25519 key that must have signed it."""

    binary: OpaBinary
    bundle: Path
    verification_key: Path


def check_runtime(folder: Path) -> None:
    """Refuse a folder in which others could reach the socket."""
    try:
        found = folder.stat()
    except OSError as exc:
        raise OpaStartError(f"the runtime folder {folder} is not usable: {exc.strerror}") from exc
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise OpaStartError(f"the runtime folder {folder} must be a folder of ours with mode 0700")


@dataclass(slots=True)
class OpaProcess:
    """A running OPA. `ended` is set once it is dead and reaped."""

    socket: Path
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    _child: subprocess.Popen[bytes] | None = None
    _pidfd: int = -1
    _errors: int = -1
    _last: bytearray = field(default_factory=bytearray)

    @classmethod
    def start(cls, served: Served, runtime: Path) -> OpaProcess:
        """Start OPA and return at once; whether it serves is for the caller to ask."""
        path = runtime / f"opa-{secrets.token_hex(4)}.sock"
        if len(os.fsencode(path)) > _MAX_SOCKET_BYTES:
            raise OpaStartError(
                f"the socket path {path} is over {_MAX_SOCKET_BYTES} bytes: use a shorter runtime folder"
            )
        process = cls(path)
        process._spawn(_command(served, path), runtime)
        return process

    @property
    def pid(self) -> int:
        assert self._child is not None
        return self._child.pid

    def listens(self) -> bool:
        """Whether it takes connections. Its socket's file is there a little sooner."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.setblocking(False)
            try:
                probe.connect(str(self.socket))
            except OSError:
                return False
        return True

    def account(self) -> str:
        """How it ended, if it has, and the last lines it said; in one line."""
        text = bytes(self._last).decode("utf-8", "replace")
        said = " | ".join(line.strip() for line in text.splitlines()[-8:] if line.strip())
        status = self._child.returncode if self._child is not None else None
        how = "" if status is None else f"killed by signal {-status}" if status < 0 else f"exit status {status}"
        return ", ".join(part for part in (how, said and f"it said: {said}") if part)

    def _spawn(self, command: list[str], runtime: Path) -> None:
        loop = asyncio.get_running_loop()
        try:
            self._errors, theirs = os.pipe2(os.O_CLOEXEC)
        except OSError as exc:
            raise OpaStartError(f"OPA cannot be started: {exc.strerror}") from exc
        try:
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=theirs,
                stderr=theirs,
                env=_environment(),
                cwd=runtime,
                start_new_session=True,  # Ctrl-C is for Muster, which first lets OPA answer what is under way
            )
            self._pidfd = os.pidfd_open(self._child.pid)
        except OSError as exc:
            os.close(self._errors)
            self._errors = -1
            raise OpaStartError(f"OPA cannot be started: {exc.strerror}") from exc
        finally:
            os.close(theirs)
        os.set_blocking(self._errors, False)
        loop.add_reader(self._errors, self._heard)
        loop.add_reader(self._pidfd, self._reap)

    def _heard(self) -> None:
        """Keep the last of what OPA says. It is always read: a full pipe would stop OPA."""
        try:
            chunk = os.read(self._errors, 65536)
        except BlockingIOError:
            return
        if not chunk:
            self._close("_errors")
        self._last = (self._last + chunk)[-_LAST_BYTES:]

    def _reap(self) -> None:
        assert self._child is not None
        self._child.wait()  # does not wait: the pidfd says that it has ended
        self._close("_pidfd")
        if self._errors >= 0:
            self._heard()
            self._close("_errors")
        self.socket.unlink(missing_ok=True)
        self.ended.set()

    def _close(self, name: str) -> None:
        descriptor: int = getattr(self, name)
        if descriptor >= 0:
            asyncio.get_running_loop().remove_reader(descriptor)
            os.close(descriptor)
            setattr(self, name, -1)

    async def stop(self) -> None:
        """End it: politely, and after a bound by force. It is reaped on return, even if we are cancelled."""
        self._signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(_KILL_AFTER_SECONDS):
                await self.ended.wait()
        except TimeoutError:
            self.kill()
        except asyncio.CancelledError:
            self.kill()
            raise

    def kill(self) -> None:
        """End it by force, also one that is stopped. It is reaped on return."""
        if not self.ended.is_set():
            self._signal(signal.SIGKILL)
            self._reap()  # waits some milliseconds: nothing outlives SIGKILL

    def _signal(self, number: signal.Signals) -> None:
        if self._pidfd >= 0:
            signal.pidfd_send_signal(self._pidfd, number)


def _command(served: Served, socket: Path) -> list[str]:
    # -I -S: the launcher needs nothing but the standard library, and starts in 15 ms without `site`.
    return [
        *(sys.executable, "-I", "-S", str(_LAUNCHER), str(os.getpid()), str(served.binary.path)),
        *("run", "--server", "--addr", f"unix://{socket}", "--unix-socket-perm", "600"),
        "--optimize-store-for-read-speed",  # the data never changes: it is kept as the evaluator reads it
        *("--skip-version-check", "--log-level", "error", "--log-format", "text", "--shutdown-grace-period", "1"),
        *("--signing-alg", "EdDSA", "--verification-key", str(served.verification_key)),
        *("--set", f"server.decoding.max_length={MAX_BODY_BYTES}"),
        *("--bundle", str(served.bundle)),
    ]


def processors() -> int:
    """How many OPA may use at once, 1 to 8: more than there are would be looking for work all the time."""
    ours = len(os.sched_getaffinity(0))
    with suppress(OSError, ValueError):  # no container, or one without a limit: `max`
        quota, period = map(int, _QUOTA.read_text("ascii").split())
        ours = min(ours, -(-quota // period))
    return min(max(ours, 1), 8)


def _environment() -> dict[str, str]:
    """Nothing of ours: no proxy, no OPA_* variable, no secret reaches OPA."""
    return {"GOMEMLIMIT": _MEMORY, "GOGC": _GARBAGE, "GOMAXPROCS": str(processors()), "LC_ALL": "C"}
