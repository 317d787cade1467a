"""Processes that a bench starts: pinned to cores, ended with all that they started, and what each of them takes."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO, Final

from benchmarks.machine import Refused

_END_S: Final = 15.0
_TICK: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Taken:
    """What processes take: PSS and RSS in bytes, open descriptors, CPU seconds since their start."""

    pss: int
    rss: int
    descriptors: int
    cpu_s: float

    def __add__(self, other: Taken) -> Taken:
        return Taken(
            self.pss + other.pss,
            self.rss + other.rss,
            self.descriptors + other.descriptors,
            self.cpu_s + other.cpu_s,
        )


class Server:
    """A running program in a session of its own, on the cores given; what it says goes to a file."""

    def __init__(self, command: list[str], *, cores: str, said: Path, env: dict[str, str] | None = None) -> None:
        self.said = said
        with said.open("ab") as file:
            self._process = _start(["taskset", "-c", cores, *command], file, env)

    @property
    def pid(self) -> int:
        """The first process: taskset becomes the program."""
        return self._process.pid

    def alive(self) -> None:
        """Raises Refused, with the last that it said, where it has ended."""
        if (status := self._process.poll()) is not None:
            last = self.said.read_text(errors="replace")[-1500:]
            raise Refused(f"{self._process.args!r} ended with status {status}; it said: {last}")

    def taken(self) -> dict[str, Taken]:
        """By the program's name, it and all processes below it: `opa`, and whatever the others are called."""
        found: dict[str, Taken] = {}
        for pid in (self.pid, *_below(self.pid)):
            try:
                name, taken = _name(pid), _taken(pid)
            except (FileNotFoundError, ProcessLookupError):
                continue  # it has ended meanwhile
            found[name] = found[name] + taken if name in found else taken
        return found

    def stop(self) -> None:
        """End it and all that it started: politely, then by force."""
        below = [fd for pid in _below(self.pid) if (fd := _handle(pid)) is not None]
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_S)
        self._process.kill()
        self._process.wait()
        for fd in below:  # what outlived it; a handle stays that of the process, whoever has its number by now
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(fd, signal.SIGKILL)
            os.close(fd)


@contextmanager
def ended_with_us() -> Iterator[list[Server]]:
    """Servers that are put into this list are stopped at the end, however it comes: SIGTERM counts as Ctrl-C."""
    servers: list[Server] = []
    before = None
    if threading.current_thread() is threading.main_thread():
        before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield servers
    finally:
        for server in reversed(servers):
            server.stop()
        if before is not None:
            signal.signal(signal.SIGTERM, before)


@contextmanager
def on_core(core: str) -> Iterator[None]:
    """While inside, this process leaves the servers' cores alone, and so does what it starts but for servers."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {int(core)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cores(workers: int) -> tuple[str, str]:
    """The cores of the servers and the one of the load generator, as taskset names them; raises Refused for one core.

    Where there are not enough, they share the last one.
    """
    ours = sorted(os.sched_getaffinity(0))
    if len(ours) < 2:
        raise Refused("There is one core; a bench needs two, one of them for the load generator.")
    return ",".join(map(str, ours[:workers])), str(ours[-1])


def _start(command: list[str], said: IO[bytes], env: dict[str, str] | None) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, env=env, start_new_session=True
    )


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _handle(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat behind the name, which may hold anything."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _parent(pid: int) -> int:
    return int(_stat(pid)[1])


def _below(pid: int) -> list[int]:
    """All processes that descend from one."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                children.setdefault(_parent(int(folder.name)), []).append(int(folder.name))
            except (FileNotFoundError, ProcessLookupError):
                continue
    found, todo = [], [pid]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


def _name(pid: int) -> str:
    name = Path(f"/proc/{pid}/comm").read_text().strip()
    return "muster" if name.startswith("python") else name


def _taken(pid: int) -> Taken:
    memory = {"Pss": 0, "Rss": 0}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        key, _, value = line.partition(":")
        if key in memory:
            memory[key] = int(value.split()[0]) * 1024
    fields = _stat(pid)
    return Taken(
        pss=memory["Pss"],
        rss=memory["Rss"],
        descriptors=len(list(Path(f"/proc/{pid}/fd").iterdir())),
        cpu_s=(int(fields[11]) + int(fields[12])) / _TICK,
    )
