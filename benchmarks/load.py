"""The load generator in `load/`: built where it is needed, run on one core, its report read."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.machine import Refused

SOURCE: Final = Path(__file__).parent / "load"
STAMP: Final = "0000000000"
"""Digits in a body that the generator replaces by a running number, so that every input is another."""


ANSWERED: Final = frozenset({"200"})
OR_REFUSED: Final = frozenset({"200", "503"})
"""Of Muster: what could not be decided is a refusal, and is counted as one, never as a decision."""


@dataclass(frozen=True, slots=True)
class Found:
    """What came of a run, or of a window of it: `rate` answers of status 200 a second, latencies in ms.

    Those of the answered count from when they were due, at a fixed rate; `served` and `refused` from when it was sent.
    """

    requests: int
    seconds: float
    rate: float
    mean: float
    p50: float
    p99: float
    p999: float
    worst: float
    served_p50: float
    served_p99: float
    refused_p50: float
    refused_p99: float
    statuses: dict[str, int]
    failed: int
    unsent: int
    late_ms: float
    first_failure: str

    @property
    def refused(self) -> int:
        """Answers of status 503."""
        return self.statuses.get("503", 0)


def build(into: Path) -> Path:
    """The generator's binary; raises Refused where there is no Go to build it with."""
    go, binary = shutil.which("go"), into / "load"
    if go is None:
        raise Refused("The load generator is written in Go: this needs Go 1.26 or newer on PATH.")
    into.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [go, "build", "-buildvcs=false", "-o", str(binary), "."],
        cwd=SOURCE,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Refused(f"The load generator cannot be built: {done.stderr}")
    return binary


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests go, and what they are: lines `EXPECTED<TAB>BODY` in a file."""

    address: str
    path: str
    bodies: Path
    headers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Generator:
    """The binary, and the core that it runs on."""

    binary: Path
    core: str

    def run(
        self,
        target: Target,
        *,
        connections: int,
        seconds: float,
        warm_up: float = 1.0,
        rate: float = 0.0,
        seed: int = 1,
        stamped_from: int | None = None,
        once: int = 0,
        every: float = 0.0,
        told: Callable[[Found], None] | None = None,
        accept: frozenset[str] | None = ANSWERED,
    ) -> Found:
        """Drive a target. `rate` 0 is a closed loop; `once`: so many requests in the file's order, and no more.

        `stamped_from` makes every input another. Raises Refused where a status is none of `accept` or an answer is not
        what it has to be; None accepts anything, and then it is counted only.
        """
        command = ["taskset", "-c", self.core, str(self.binary), "-target", target.address, "-path", target.path]
        for header in target.headers:
            command += ["-header", header]
        command += ["-bodies", str(target.bodies), "-connections", str(connections), "-seconds", str(seconds)]
        command += ["-warm-up", str(warm_up), "-rate", str(rate), "-seed", str(seed), "-every", str(every)]
        if stamped_from is not None:
            command += ["-stamp", STAMP, "-first", str(stamped_from)]
        if once:
            command += ["-order", "sequence", "-count", str(once)]
        whole = _reported(command, told)
        if accept is not None and (whole.failed or whole.statuses.keys() - accept):
            raise Refused(f"{target.address}{target.path} answered {whole.statuses}: {whole.first_failure}")
        return whole


def _reported(command: Sequence[str], told: Callable[[Found], None] | None) -> Found:
    whole: Found | None = None
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                report: dict[str, dict[str, Any]] = json.loads(line)
                if "whole" in report:
                    whole = found(report["whole"])
                elif told is not None:
                    told(found(report["window"]))
        finally:
            process.kill()
    if whole is None:
        raise Refused(f"The load generator said nothing: {' '.join(command)}")
    return whole


def found(report: dict[str, Any]) -> Found:
    """A report of the generator."""
    latency, served, refused = report["latency"], report["served"], report["refused"]
    return Found(
        requests=report["requests"],
        seconds=report["seconds"],
        rate=report["rate"],
        mean=latency["mean_ms"],
        p50=latency["p50_ms"],
        p99=latency["p99_ms"],
        p999=latency["p999_ms"],
        worst=latency["max_ms"],
        served_p50=served["p50_ms"],
        served_p99=served["p99_ms"],
        refused_p50=refused["p50_ms"],
        refused_p99=refused["p99_ms"],
        statuses=report["statuses"],
        failed=report["wrong"] + report["errors"],
        unsent=report["unsent"],
        late_ms=report["late_ms"],
        first_failure=report.get("first_failure", ""),
    )
