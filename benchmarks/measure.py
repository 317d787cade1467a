"""The measurements themselves: each takes a log and answers numbers, judging nothing."""

from __future__ import annotations

import cProfile
import io
import os
import pstats
import time
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from queue import SimpleQueue
from random import Random
from typing import Final

from benchmarks.logs import TENANT, Member, decision
from benchmarks.machine import Refused, own_cpu_s
from ledger import merkle
from ledger.model import Receipt
from ledger.sqlite import SqliteLedger, SqliteReader
from ledger.verify import verify

_WARM_UP_S: Final = 0.3
_WARM_UP_PROOFS: Final = 50


class Commits:
    """Counts the writer's commits, and looks at its WAL: the writer asks for the free space once before each."""

    def __init__(self) -> None:
        self.count = 0
        self.wal_most = 0

    def __call__(self, path: Path) -> int:
        """The free space in bytes."""
        self.count += 1
        with suppress(FileNotFoundError):
            self.wal_most = max(self.wal_most, os.stat(f"{path}-wal").st_size)  # noqa: PTH116 - before every commit
        stat = os.statvfs(path.parent)
        return stat.f_bavail * stat.f_frsize


@dataclass(frozen=True, slots=True)
class Appended:
    """What a time of appending came to; `checkpoints` are those after which the WAL began anew."""

    rate: float
    entries: int
    commits: int
    checkpoints: int

    @property
    def syncs(self) -> int:
        """SQLite syncs the WAL at a commit; at a checkpoint the WAL and the database, and the new WAL's header."""
        return self.commits + 3 * self.checkpoints


def appended(path: Path, members: list[Member], waiting: int, seconds: float, commits: Commits) -> Appended:
    """Append in a closed loop: so many futures are waited for at any time, each answered one is followed by another."""
    done: SimpleQueue[Future[tuple[Receipt, ...]]] = SimpleQueue()
    people = cycle(members)
    ledger = SqliteLedger(path, free_bytes=commits)

    def submit() -> None:
        ledger.submit(decision(next(people), ledger.now(TENANT))).add_done_callback(done.put)

    def run(until: float) -> int:
        count = 0
        while time.perf_counter() < until:
            done.get().result()
            submit()
            count += 1
        return count

    try:
        for _ in range(waiting):
            submit()
        run(time.perf_counter() + _WARM_UP_S)
        before, wals, start = commits.count, _wals(path), time.perf_counter()
        entries = run(start + seconds)
        taken = time.perf_counter() - start
        found = Appended(entries / taken, entries, commits.count - before, _wals(path) - wals)
        for _ in range(waiting):
            done.get().result()
    finally:
        ledger.close()
    return found


@dataclass(frozen=True, slots=True)
class Verified:
    """Entries a second of one verification: by the clock, and by the CPU time that it took."""

    size: int
    by_clock: float
    by_core: float


def verified(path: Path) -> Verified:
    """Verify a log; raises Refused where it is not whole, for then there is nothing to measure."""
    cpu, start = own_cpu_s(), time.perf_counter()
    report = verify(path, TENANT)
    taken, cpu = time.perf_counter() - start, own_cpu_s() - cpu
    if not report.ok:
        first = report.findings[0]
        raise Refused(
            f"verify does not take {path.name}: {first.check}: {first.detail} ({len(report.findings)} findings)"
        )
    return Verified(report.size, report.size / taken, report.size / cpu)


def profiled(path: Path) -> str:
    """Where a verification of this log spends its time: the ten functions that take most of it themselves."""
    profile, text = cProfile.Profile(), io.StringIO()
    profile.runcall(verify, path, TENANT)
    pstats.Stats(profile, stream=text).sort_stats("tottime").print_stats(10)
    lines = text.getvalue().splitlines()
    return "\n".join(line for line in lines if line.strip())


def proofs_ms(path: Path, count: int) -> list[float]:
    """How long inclusion proofs of random entries take, each from nothing but the stored rows."""
    reader, random = SqliteReader(path), Random(11)  # noqa: S311 - which entries; nothing secret
    try:
        size = reader.head(TENANT).size
        taken = []
        for index in random.choices(range(size), k=_WARM_UP_PROOFS + count):
            start = time.perf_counter_ns()
            tree = merkle.Subtrees(lambda level, first, stop: reader.hashes(TENANT, level, first, stop))
            merkle.inclusion_proof(tree, index, size)
            taken.append((time.perf_counter_ns() - start) / 1e6)
        return taken[_WARM_UP_PROOFS:]
    finally:
        reader.close()


def appends_ms(paths: tuple[Path, ...], members: list[Member], count: int, at_once: int) -> tuple[list[float], ...]:
    """How long an append alone takes in each of some logs, which take turns after every few."""
    ledgers = [SqliteLedger(path) for path in paths]
    taken: tuple[list[float], ...] = tuple([] for _ in paths)
    people = cycle(members)
    try:
        for ledger in ledgers:
            _append_ms(ledger, next(people))
        for _ in range(0, count, at_once):
            for ledger, times in zip(ledgers, taken, strict=True):
                times += [_append_ms(ledger, next(people)) for _ in range(at_once)]
    finally:
        for ledger in ledgers:
            ledger.close()
    return taken


def bytes_an_entry(path: Path) -> float:
    """The database's size by its number of entries; nobody has it open."""
    reader = SqliteReader(path)
    try:
        return path.stat().st_size / reader.head(TENANT).size
    finally:
        reader.close()


def _append_ms(ledger: SqliteLedger, member: Member) -> float:
    start = time.perf_counter_ns()
    ledger.submit(decision(member, ledger.now(TENANT))).result()
    return (time.perf_counter_ns() - start) / 1e6


def _wals(path: Path) -> int:
    """How often the WAL has begun anew: the fourth number of its header (sqlite.org/fileformat.html, 4.1)."""
    with Path(f"{path}-wal").open("rb") as wal:
        return int.from_bytes(wal.read(16)[12:])
