"""Waiting for a condition, with a deadline."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> float:
    """Return when the condition holds, with the seconds it took; fail after the deadline."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, "the condition did not come true in time"
        await asyncio.sleep(0.005)
    return time.monotonic() - began


def gone(pid: int) -> bool:
    """Whether a process has ended; a zombie that its new parent has not yet reaped counts."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("ascii", "replace")
    except (FileNotFoundError, ProcessLookupError):
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"


def processor_seconds(pid: int) -> float:
    """The processor time that a process has used, in clock ticks of 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100
