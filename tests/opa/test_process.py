"""The child process: who can reach it, what it is told, and that nothing outlives its owner."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from engine.opa import process
from engine.opa.binary import OpaBinary
from engine.opa.errors import OpaStartError
from engine.opa.evaluator import Evaluator
from engine.opa.process import OpaProcess, Served
from tests.opa.conftest import Bundle
from tests.opa.waiting import gone, until

LAUNCHER = Path(process.__file__).with_name("launcher.py")

OWNER = """
import asyncio, sys
from pathlib import Path
from engine.opa.binary import OpaBinary
from engine.opa.evaluator import Evaluator

async def main(opa, bundle, revision, key, runtime):
    binary = OpaBinary(path=Path(opa), version="", sha256="")
    async with Evaluator(binary, Path(bundle), revision, verification_key=Path(key), runtime_dir=Path(runtime)) as e:
        print(e.pid, flush=True)
        await asyncio.Event().wait()

asyncio.run(main(*sys.argv[1:]))
"""


def run(served: Served, work: Callable[[OpaProcess], Awaitable[None]], runtime: Path) -> None:
    """Run a test's body beside a listening OPA."""

    async def main() -> None:
        opa = OpaProcess.start(served, runtime)
        try:
            await until(opa.listens)
            await work(opa)
        finally:
            await opa.stop()
        assert gone(opa.pid)
        assert not opa.socket.exists()

    asyncio.run(main())


@pytest.fixture
def served(opa_binary: OpaBinary, toy: Bundle) -> Served:
    """The toy bundle."""
    return Served(binary=opa_binary, bundle=toy.path, verification_key=toy.keys.public)


@pytest.fixture
def runtime(tmp_path: Path) -> Path:
    """A private folder with a path short enough for a socket."""
    folder = tmp_path / "r"
    folder.mkdir(mode=0o700)
    return folder


def variables(pid: int) -> set[str]:
    """The names in a process's environment."""
    text = Path(f"/proc/{pid}/environ").read_text("ascii")
    return {variable.partition("=")[0] for variable in text.strip("\0").split("\0")}


def linked(descriptor: Path) -> str | None:
    """What a descriptor in /proc stands for; None if it was closed meanwhile."""
    try:
        return str(descriptor.readlink())
    except FileNotFoundError:
        return None


def sockets(pid: int, table: str) -> set[str]:
    """The inodes of a process's own sockets in one of the kernel's tables."""
    own = {linked(fd) for fd in Path(f"/proc/{pid}/fd").iterdir()}
    rows = [line.split() for line in Path(f"/proc/{pid}/net/{table}").read_text("ascii").splitlines()[1:]]
    return {row[9] for row in rows if f"socket:[{row[9]}]" in own}


def test_only_we_can_reach_it(served: Served, runtime: Path) -> None:
    """The socket has mode 0600 in a folder of mode 0700, and there is no TCP or UDP socket at all."""

    async def work(opa: OpaProcess) -> None:
        assert stat.S_IMODE(opa.socket.stat().st_mode) == 0o600
        assert stat.S_ISSOCK(opa.socket.stat().st_mode)
        assert all(not sockets(opa.pid, table) for table in ("tcp", "tcp6", "udp", "udp6"))

    run(served, work, runtime)


def test_it_gets_nothing_of_ours(served: Served, runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No secret, proxy or OPA_* variable of ours reaches it, nor a Ctrl-C that is meant for us."""
    monkeypatch.setenv("MUSTER_SECRET", "s")
    monkeypatch.setenv("OPA_LOG_LEVEL", "debug")

    async def work(opa: OpaProcess) -> None:
        assert os.getpgid(opa.pid) == opa.pid
        assert variables(opa.pid) <= {"GOMEMLIMIT", "GOGC", "GOMAXPROCS", "LC_ALL"}

    run(served, work, runtime)


@pytest.mark.parametrize(
    ("quota", "most"),
    [
        ("max 100000", 6),
        ("100000 100000", 1),
        ("150000 100000", 2),
        ("5000 100000", 1),
        ("900000 100000", 6),
        (None, 6),
    ],
)
def test_it_uses_the_processors_that_are_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: str | None, most: int
) -> None:
    """Those that we may run on, and no more than a container has a share of."""
    if quota is not None:
        (tmp_path / "cpu.max").write_text(quota + "\n")
    monkeypatch.setattr(process, "_QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(6)))
    assert process.processors() == most


def test_it_refuses_long_bodies(served: Served, runtime: Path) -> None:
    """OPA itself refuses a body over the limit, whoever sends it."""

    async def work(opa: OpaProcess) -> None:
        reader, writer = await asyncio.open_unix_connection(opa.socket)
        size = process.MAX_BODY_BYTES + 1
        writer.write(b"POST /v1/data/muster HTTP/1.1\r\nHost: o\r\nContent-Length: %d\r\n\r\n" % size)
        assert b" 400 " in await reader.readline()
        writer.close()
        await writer.wait_closed()

    run(served, work, runtime)


def test_two_lives_have_two_sockets(served: Served, runtime: Path) -> None:
    """A second OPA in the same folder takes nothing from the first."""

    async def work(first: OpaProcess) -> None:
        inode = first.socket.stat().st_ino
        second = OpaProcess.start(served, runtime)
        await until(second.listens)
        await second.stop()
        assert first.socket.stat().st_ino == inode
        assert not first.ended.is_set()

    run(served, work, runtime)


@pytest.mark.alone
def test_one_that_does_not_end_is_killed(served: Served, runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An OPA that does not react to SIGTERM is ended by SIGKILL after a bound, and reaped."""
    monkeypatch.setattr(process, "_KILL_AFTER_SECONDS", 0.2)

    async def work(opa: OpaProcess) -> None:
        os.kill(opa.pid, signal.SIGSTOP)
        began = time.monotonic()
        await opa.stop()
        assert time.monotonic() - began < 2.0
        assert opa.account().startswith("killed by signal 9")

    run(served, work, runtime)


def test_its_last_words_are_kept(served: Served, runtime: Path, tmp_path: Path) -> None:
    """What OPA says when it cannot start is in the error."""
    broken = Served(binary=served.binary, bundle=tmp_path / "absent", verification_key=served.verification_key)

    async def main() -> None:
        opa = OpaProcess.start(broken, runtime)
        await until(opa.ended.is_set)
        assert "exit status 1" in opa.account()
        assert "absent" in opa.account()

    asyncio.run(main())


def test_nothing_outlives_a_killed_owner(served: Served, toy: Bundle, runtime: Path) -> None:
    """After `kill -9` of the process that started OPA, no OPA is left."""
    arguments = [served.binary.path, toy.path, toy.revision, toy.keys.public, runtime]
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, *map(str, arguments)], stdout=subprocess.PIPE, env={"PYTHONPATH": str(Path.cwd())}
    ) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        assert not gone(pid)
        owner.kill()
    asyncio.run(until_gone(pid))


async def until_gone(pid: int) -> None:
    """Wait until a process that is not our child has ended."""
    await until(lambda: gone(pid))


def test_the_launcher_does_not_start_for_a_dead_owner() -> None:
    """If the owner ended before the kernel was asked to watch it, OPA never begins."""
    ended = subprocess.run(
        [sys.executable, "-I", "-S", LAUNCHER, "1", "/bin/echo", "began"], capture_output=True, check=False
    )
    assert ended.returncode != 0
    assert ended.stdout == b""


@pytest.mark.parametrize("wrong", ["mode", "absent", "file"])
def test_an_open_runtime_folder_is_refused(wrong: str, opa_binary: OpaBinary, toy: Bundle, tmp_path: Path) -> None:
    """OPA is not started in a folder that others can enter, or that is none."""
    folder = tmp_path / "r"
    if wrong == "mode":
        folder.mkdir(mode=0o750)
    elif wrong == "file":
        folder.touch(mode=0o600)
    evaluator = Evaluator(opa_binary, toy.path, toy.revision, verification_key=toy.keys.public, runtime_dir=folder)
    with pytest.raises(OpaStartError, match="runtime folder"):
        asyncio.run(evaluator.start())


def test_a_socket_path_that_is_too_long_is_said(served: Served, tmp_path: Path) -> None:
    """OPA would only say `bind: invalid argument`."""

    async def main() -> None:
        with pytest.raises(OpaStartError, match="over 99 bytes"):
            OpaProcess.start(served, tmp_path / ("x" * 90))

    asyncio.run(main())


def test_unix_sockets_take_what_we_allow(tmp_path: Path) -> None:
    """The longest path that we allow is one that the kernel takes."""
    name = str(tmp_path / "s")
    name += "x" * (99 - len(name))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(name)
