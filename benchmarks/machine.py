"""The machine that was measured on: its facts, its disk's own speed, and whether it is one to measure on at all."""

from __future__ import annotations

import os
import platform
import shutil
import time
from pathlib import Path
from typing import Final

import apsw

_PAGE: Final = 4096
_IN_MEMORY: Final = frozenset({"tmpfs", "ramfs", "devtmpfs", "hugetlbfs"})


class Refused(Exception):
    """Nothing can be measured here, and why, in a sentence."""


def facts(folder: Path) -> dict[str, str]:
    """What a number means nothing without."""
    device, kind = _mount(folder)
    return {
        "CPU": _cpu(),
        "cores": str(len(os.sched_getaffinity(0))),
        "kernel": platform.release(),
        "file system": f"{kind} on {device}",
        "Python": platform.python_version(),
        "SQLite": f"{apsw.sqlite_lib_version()} (apsw {apsw.apsw_version()})",
    }


def need_disk(folder: Path, size: int) -> None:
    """Raises Refused where the folder is in memory, or has no room for so many bytes."""
    _, kind = _mount(folder)
    if kind in _IN_MEMORY:
        raise Refused(f"{folder} is on {kind}, where fdatasync does nothing: give a --folder on a disk.")
    free = shutil.disk_usage(folder).free
    if free < size:
        raise Refused(
            f"The logs take about {size / 1e9:.1f} GB and {folder} has {free / 1e9:.1f} GB free: "
            "give a --folder with more, or fewer --entries."
        )


def syncs_a_second(folder: Path, seconds: float) -> float:
    """How often the device makes 4 KB durable: append and fdatasync, nothing else."""
    path, page, count = folder / "fdatasync", os.urandom(_PAGE), 0
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    try:
        start = time.perf_counter()
        while (taken := time.perf_counter() - start) < seconds:
            os.write(descriptor, page)
            os.fdatasync(descriptor)
            count += 1
    finally:
        os.close(descriptor)
        path.unlink()
    return count / taken


def own_cpu_s() -> float:
    """CPU time of this process and of those that it has waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


class Others:
    """How much of the machine others took meanwhile: above a few percent, the numbers are of a busy machine."""

    def __init__(self) -> None:
        self._start = time.monotonic(), _busy_s(), own_cpu_s()

    def share(self) -> float:
        """Their share of all cores' time since this was made."""
        start, busy, own = self._start
        whole = (time.monotonic() - start) * (os.cpu_count() or 1)
        return max(0.0, _busy_s() - busy - (own_cpu_s() - own)) / max(whole, 1e-9)


def _busy_s() -> float:
    """The time for which all cores have not been idle, nor waiting for a disk."""
    user, nice, system, _, _, irq, soft_irq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + soft_irq + steal) / os.sysconf("SC_CLK_TCK")


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _mount(folder: Path) -> tuple[str, str]:
    """Device and type of the file system that a folder is on."""
    found, longest = ("?", "?"), -1
    for line in Path("/proc/mounts").read_text().splitlines():
        device, point, kind = line.split()[:3]
        if len(point) >= longest and folder.resolve().is_relative_to(point.replace("\\040", " ")):
            found, longest = (device, kind), len(point)
    return found
