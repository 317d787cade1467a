"""What the benches of the service have in common: options, a scratch folder on a disk, what is printed and written."""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks import load, machine, processes
from benchmarks.load import Generator
from benchmarks.machine import Refused
from benchmarks.processes import Server
from benchmarks.servers import ROOT, Muster, built, start_muster
from benchmarks.table import Report, number, progress, say
from ledger.canonical import JSON

BUILD: Final = ROOT / "build"
PAGE: Final = ROOT / "docs" / "performance.md"
_BUSY: Final = 0.1


@dataclass(slots=True)
class Bench(Report):
    """One run of a bench: where it works, on which cores, what it has found so far."""

    name: str
    folder: Path
    generator: Generator
    cores: str
    workers: int
    unix: bool
    servers: list[Server] = field(default_factory=list)
    extra: dict[str, JSON] = field(default_factory=dict)  # further JSON, beside the table's
    _stamps: int = 1

    def start(self, home: Path) -> Muster:
        """A service on a home, stopped at the end at the latest."""
        said = self.folder / "muster.log"
        muster = start_muster(home, cores=self.cores, said=said, workers=self.workers, unix=self.unix)
        self.servers.append(muster.server)
        return muster

    def stop(self, server: Server) -> None:
        """End a server before the end."""
        self.servers.remove(server)
        server.stop()

    def stamps(self) -> int:
        """The first of ten million running numbers that no request has had yet."""
        self._stamps += 10_000_000
        return self._stamps


def arguments(module: str, text: str) -> argparse.ArgumentParser:
    """The options that all of them have."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{module}", description=text)
    parser.add_argument("--subjects", type=int, default=10_000, help="people who are asked about")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="muster serve --workers N, on N cores")
    parser.add_argument("--unix", action="store_true", help="Muster listens on a Unix socket, not on TCP")
    parser.add_argument("--folder", type=Path, help="where the homes are made: on a disk (build/)")
    parser.add_argument("--keep", action="store_true", help="leave them there")
    parser.add_argument("--write", action="store_true", help="put what was found into docs/performance.md")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where everything is written as JSON (build/)")
    return parser


def ran(options: argparse.Namespace, name: str, size: int, run: Callable[[Bench], None]) -> tuple[int, Bench | None]:
    """Run a bench in a folder of its own with so much room; print and write what it found. Answers the exit code."""
    try:
        with _folder(options, name, size) as folder:
            bench, facts = _run(options, name, folder, run)
    except Refused as refused:
        progress(str(refused))
        return 2, None
    except KeyboardInterrupt:
        progress("Stopped.")
        return 130, None
    bench.print(facts)
    path: Path = options.json or BUILD / f"{name}.json"
    path.write_text(json.dumps(bench.described(facts, bench.extra), indent=2) + "\n")
    say()
    say(f"Written to {path}.")
    return 0, bench


def _run(
    options: argparse.Namespace, name: str, folder: Path, run: Callable[[Bench], None]
) -> tuple[Bench, dict[str, str]]:
    cores, core = processes.cores(options.workers)
    facts = machine.facts(folder) | {"fdatasync": f"{number(machine.syncs_a_second(folder, 1.0))} a second, 4 KB each"}
    facts["Muster"] = built()
    facts["pinned"] = f"servers to core {cores}, the load generator to core {core}"
    if core in cores.split(","):
        facts["pinned"] += " (there are not enough cores: they share one)"
    for what, value in facts.items():
        progress(f"{what:<12} {value}")
    begun, others = time.monotonic(), machine.Others()
    with processes.on_core(core), processes.ended_with_us() as servers:
        generator = Generator(load.build(BUILD), core)
        bench = Bench(name, folder, generator, cores, options.workers, options.unix, servers=servers)
        run(bench)
    share = others.share()
    facts["taken"] = f"{time.monotonic() - begun:,.0f} s, while others took {share:.0%} of all cores"
    if share > _BUSY:
        bench.notes.append(f"The machine was busy: others took {share:.0%} of it, so these numbers are of no use.")
    facts["date"] = time.strftime("%Y-%m-%d", time.gmtime())
    return bench, facts


@contextmanager
def _folder(options: argparse.Namespace, name: str, size: int) -> Iterator[Path]:
    parent: Path = options.folder or BUILD
    parent.mkdir(parents=True, exist_ok=True)
    machine.need_disk(parent, size)
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=parent))
    try:
        yield folder
    finally:
        if options.keep:
            progress(f"Everything is in {folder}.")
        else:
            shutil.rmtree(folder, ignore_errors=True)
