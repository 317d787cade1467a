"""Recorded before released: the database is synced between a request and the first byte of its answer."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.service.running import Service

ASKS = 20
OURS = r"HTTP/1.1 200 OK\r\ndate:"  # OPA's answers begin with another header


def released_unsynced(trace: str) -> list[int]:
    """Which of the traced answers left without a finished fdatasync of the database since their request was read.

    Requests come one at a time, so the lines between one request and its answer belong to it. A call that another
    thread interrupts stands in two lines, of which only the second says that it is done.
    """
    unsynced: list[int] = []
    asked = synced = False
    answers = 0
    syncing: set[str] = set()
    for line in trace.splitlines():
        thread = line.split(" ", 1)[0]
        if "POST /v1/decisions" in line and ("recv" in line or "read" in line):
            asked, synced = True, False
        elif "fdatasync(" in line and "ledger.db" in line and "unfinished" in line:
            syncing.add(thread)
        elif "fdatasync resumed" in line and thread in syncing:
            syncing.discard(thread)
            synced = synced or line.endswith("= 0")
        elif "fdatasync(" in line and "ledger.db" in line:
            synced = synced or line.endswith("= 0")
        elif asked and OURS in line and ("send" in line or "write" in line):
            if not synced:
                unsynced.append(answers)
            asked, answers = False, answers + 1
    assert answers == ASKS, f"the trace shows {answers} answers, not {ASKS}"
    return unsynced


def traced(service: Service, trace: Path) -> list[int]:
    """Ask a service under strace, and find the answers that were not durable when they left."""
    calls = "fdatasync,fsync,read,recvfrom,recvmsg,write,writev,sendto,sendmsg"
    service.prefix = (
        "strace",
        "-f",
        "-y",
        "-s",
        "64",
        "-e",
        f"trace={calls}",
        "-o",
        str(trace),
        *service.prefix,
    )
    service.start()
    service.person("trace")
    for number in range(ASKS):  # every second one is answered by the lease of the one before
        service.decide("trace", ticket=f"REQ-{number // 2}")
    service.stop()
    return released_unsynced(trace.read_text("utf-8", errors="replace"))


def test_every_answer_is_synced_before_its_first_byte(new_service: Callable[[], Service], tmp_path: Path) -> None:
    """strace shows the database's fdatasync between each request and the first byte of its answer."""
    assert traced(new_service(), tmp_path / "trace") == []


@pytest.mark.parametrize("mode", ["NORMAL", "OFF"])
def test_a_weaker_sync_is_seen(new_service: Callable[[], Service], tmp_path: Path, mode: str) -> None:
    """The same check fails when the database syncs less, so it can fail."""
    weakened = new_service()
    starter = tmp_path / "weak.py"
    starter.write_text(
        "import functools, sys\n"
        "from engine import runtime\n"
        f"runtime.SqliteLedger = functools.partial(runtime.SqliteLedger, synchronous={mode!r})\n"
        "from engine.cli.main import main\n"
        "sys.argv.pop(1)\n"
        "sys.exit(main())\n"
    )
    weakened.prefix = (sys.executable, str(starter))
    assert traced(weakened, tmp_path / "trace")
