"""`make bench-ledger`: how fast the ledger is on this machine, held against its goals.

It owns the order of the measurements and the goals, and never fails for being slow.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final, TypeAlias

from benchmarks import logs, machine, measure
from benchmarks.machine import Refused
from benchmarks.table import Goal, Report, bar, p99, progress
from ledger.canonical import JSON
from ledger.errors import LedgerError

_BUILD: Final = Path(__file__).resolve().parent.parent / "build"
_WAITING: Final = (16, 128, 1_024)
_SMALL: Final = 10_000
_TRIED: Final = 5_000
_PROOFS: Final = 1_000
_APPENDS: Final = 500
_TURN: Final = 50
_BYTES_AN_ENTRY: Final = 1_100
_BESIDE: Final = 2 << 30
"""Room for the log of whole decisions, WALs, and what the writer leaves free."""
_VERIFIED: Final = 200_000
_TOO_LONG_S: Final = 300.0

_Both: TypeAlias = tuple[list[list[float]], list[list[float]]]
"""Of the small log and of the big one: each round's measurements."""

_VERIFY: Final = Goal(200_000, at_least=True)
_PROOF: Final = Goal(2, at_least=False)
_LATENCY: Final = Goal(1.2, at_least=False)


@dataclass(slots=True)
class _Run(Report):
    """One run: where it works, how long, and what it has found so far."""

    folder: Path
    entries: int
    rounds: int
    seconds: float
    profile: bool

    def all(self) -> None:
        """Everything, in the order of the table."""
        self.try_filler()
        self.durable_appends()
        small, members = self.filled("small.db", _SMALL)
        big = self.big()
        self.proofs(small, big)
        self.latency(small, big, members)
        self.bytes(small, big)

    def filled(self, name: str, size: int) -> tuple[Path, list[logs.Member]]:
        """A log of so many entries, most of them made by the filler."""
        members = logs.begin(path := self.folder / name)
        logs.Filler(path, members).fill(size, bar(f"filling {name}", size))
        return path, members

    def big(self) -> Path:
        """The big log: its beginning verified some times, the whole of it once, if that does not take too long."""
        begun = min(_VERIFIED, self.entries)
        path, members = self.filled("big.db", begun)
        self.verify_rows(f"verify, {begun:,} filled entries", path, self.rounds)
        logs.Filler(path, members).fill(self.entries, bar("filling big.db", self.entries))
        expected = self.entries / self.rows[-1].value
        if expected > _TOO_LONG_S:
            self.notes.append(f"The big log was not verified whole: it would take about {expected / 60:.0f} minutes.")
        elif self.entries > begun:
            self.verify_rows(f"verify, all {self.entries:,} filled entries", path, 1)
        return path

    def try_filler(self) -> None:
        """The filler's log is one of the writer's: `verify` takes it, the writer goes on, `verify` takes that too."""
        path, members = self.filled("tried.db", _TRIED)
        measure.verified(path)
        logs.goes_on(path, members, 100)
        size = measure.verified(path).size
        whole, filled = logs.sizes(members[0])
        self.notes += [
            f"Payloads: {whole:,} bytes for a decision of the append measurements, {filled:,} for a filled one (who "
            "asked what, when: about the least that verify takes).",
            "Filled logs: synchronous=OFF and no journal while filling, synced before anything is measured. The filler "
            f"was tried first: {_TRIED:,} entries that verify takes, 100 more by the writer, and all {size:,} verify.",
        ]

    def durable_appends(self) -> None:
        """Appends while others wait, between measurements of the device itself."""
        commits = measure.Commits()
        members = logs.begin(path := self.folder / "decisions.db")
        syncs: list[float] = []
        runs: dict[int, list[measure.Appended]] = {waiting: [] for waiting in _WAITING}
        for number in range(self.rounds):
            progress(f"appends, round {number + 1} of {self.rounds}")
            for waiting in _WAITING:
                syncs.append(machine.syncs_a_second(self.folder, self.seconds / 4))
                runs[waiting].append(measure.appended(path, members, waiting, self.seconds, commits))
        self.add("device: 4 KB and fdatasync", "a second", syncs)
        for waiting, found in runs.items():
            self.add(f"durable appends, {waiting:,} waiting", "a second", [run.rate for run in found])
            self.add("  against the device's fdatasync", "times", [run.rate / median(syncs) for run in found])
            self.add("  entries a commit", "", [run.entries / max(run.commits, 1) for run in found])
            self.add("  entries an fsync, checkpoints' too", "", [run.entries / max(run.syncs, 1) for run in found])
        self.add("WAL at most", "MB", [commits.wal_most / 1e6])
        self.verify_rows("verify, whole decisions", path, self.rounds)
        self.add("bytes on disk an entry, whole decisions", "bytes", [measure.bytes_an_entry(path)])

    def verify_rows(self, name: str, path: Path, rounds: int) -> None:
        """Verify a log some times; with a profile where it is too slow."""
        found = []
        for number in range(rounds):
            progress(f"{name}, round {number + 1} of {rounds}")
            found.append(measure.verified(path))
        self.add(name, "entries/s/core", [run.by_core for run in found], _VERIFY)
        self.add("  by the clock", "entries/s", [run.by_clock for run in found])
        missed = not self.rows[-2].met
        if self.profile or (missed and not any("function calls" in note for note in self.notes)):
            self.notes.append(f"Profile of: {name}\n{measure.profiled(path)}")

    def proofs(self, small: Path, big: Path) -> None:
        """Inclusion proofs in both logs, by turns."""
        found: _Both = ([], [])
        for number in range(self.rounds):
            progress(f"proofs, round {number + 1} of {self.rounds}")
            for path, rounds in zip((small, big), found, strict=True):
                rounds.append(measure.proofs_ms(path, _PROOFS))
        self.compared("inclusion proof", found, _PROOF)

    def latency(self, small: Path, big: Path, members: list[logs.Member]) -> None:
        """Appends one at a time in both logs, by turns."""
        found: _Both = ([], [])
        for number in range(self.rounds):
            progress(f"append latency, round {number + 1} of {self.rounds}")
            taken = measure.appends_ms((small, big), members, _APPENDS, _TURN)
            for times, rounds in zip(taken, found, strict=True):
                rounds.append(times)
        self.compared("append", found, _LATENCY)

    def compared(self, name: str, found: _Both, goal: Goal) -> None:
        """Both logs' median and p99, and how many times the small one's the big one's is, round by round."""
        for size, rounds in zip((_SMALL, self.entries), found, strict=True):
            self.add(f"{name} at {size:,}, median", "ms", [median(times) for times in rounds])
            self.add("  p99", "ms", [p99(times) for times in rounds])
        pairs = list(zip(*found, strict=True))
        self.add(f"{name}, big against small", "times", [median(b) / median(a) for a, b in pairs], goal)
        self.add("  p99", "times", [p99(b) / p99(a) for a, b in pairs])

    def bytes(self, small: Path, big: Path) -> None:
        """What an entry takes in the database."""
        for size, path in ((_SMALL, small), (self.entries, big)):
            self.add(f"bytes on disk an entry, {size:,} filled", "bytes", [measure.bytes_an_entry(path)])


def main() -> int:
    """Measure, print, clean up."""
    options = _options()
    try:
        with_folder(options)
    except Refused as refused:
        progress(str(refused))
        return 2
    except LedgerError as failed:
        progress(f"The ledger refused what was to be measured: {failed}")
        return 1
    return 0


def with_folder(options: argparse.Namespace) -> None:
    """Run in a folder of its own, and take that away again."""
    parent: Path = options.folder or _BUILD
    parent.mkdir(parents=True, exist_ok=True)
    machine.need_disk(parent, options.entries * _BYTES_AN_ENTRY + _BESIDE)
    folder = Path(tempfile.mkdtemp(prefix="bench-ledger-", dir=parent))
    start, others = time.monotonic(), machine.Others()
    run = _Run(folder, options.entries, options.rounds, options.seconds, options.profile)
    try:
        run.all()
    finally:
        if options.keep:
            progress(f"The logs are in {folder}.")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    taken = f"{time.monotonic() - start:,.0f} s, while others took {others.share():.0%} of all cores"
    facts = machine.facts(parent) | {"taken": taken}
    run.print(facts)
    if options.json:
        asked: JSON = {"entries": run.entries, "rounds": run.rounds, "seconds": run.seconds}
        options.json.write_text(json.dumps(run.described(facts, {"options": asked}), indent=2) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ledger", description=__doc__)
    parser.add_argument("--entries", type=int, default=10_000_000, help="of the big log; 10 million by default")
    parser.add_argument("--folder", type=Path, help="where the logs are made: on a disk (build/)")
    parser.add_argument("--keep", action="store_true", help="leave the logs there")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there, too")
    parser.add_argument("--profile", action="store_true", help="show where verify spends its time, even if it is fast")
    parser.add_argument("--rounds", type=int, default=3, help="of each measurement")
    parser.add_argument("--seconds", type=float, default=2.0, help="of appending in each round")
    options = parser.parse_args()
    if options.entries < 2 * _SMALL:
        parser.error(f"--entries is at least {2 * _SMALL}, or there is nothing to compare")
    if options.rounds < 1 or options.seconds <= 0:
        parser.error("--rounds and --seconds are more than 0")
    return options


if __name__ == "__main__":
    sys.exit(main())
