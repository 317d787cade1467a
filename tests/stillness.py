"""Processes that live and do nothing, as one that hangs does."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def stop(process: int) -> None:
    """Return once no thread of it runs: after SIGSTOP, some go on for milliseconds on a busy machine, and answer."""
    os.kill(process, signal.SIGSTOP)
    deadline = time.monotonic() + 20.0
    while not _stands_still(process):
        assert time.monotonic() < deadline, f"process {process} does not stop"
        time.sleep(0.001)  # polled: the kernel tells only a parent


@contextmanager
def stopped(processes: Iterable[int]) -> Iterator[None]:
    """Stopped within, and then going on, but for those that somebody has ended."""
    held = list(processes)
    assert held
    try:
        for process in held:
            stop(process)
        yield
    finally:
        for process in held:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGCONT)


def _stands_still(process: int) -> bool:
    threads = Path(f"/proc/{process}/task").iterdir()
    return all((thread / "stat").read_text().rsplit(")", 1)[1].split()[0] == "T" for thread in threads)
