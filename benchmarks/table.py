"""What is printed: rows of median and spread with their goals, and a bar for what takes minutes."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median, quantiles
from typing import Final

from ledger.canonical import JSON

_BAR: Final = 30
_EVERY_S: Final = 0.5
_EVERY_S_IN_A_FILE: Final = 10.0


@dataclass(frozen=True, slots=True)
class Goal:
    """At least, or at most, a number."""

    bound: float
    at_least: bool

    def met(self, value: float) -> bool:
        """Whether a value is within it."""
        return value >= self.bound if self.at_least else value <= self.bound

    def __str__(self) -> str:
        return f"{'at least' if self.at_least else 'at most'} {number(self.bound)}"


@dataclass(frozen=True, slots=True)
class Measured:
    """One line of the table: a value of each round."""

    name: str
    unit: str
    rounds: tuple[float, ...]
    goal: Goal | None = None

    @property
    def value(self) -> float:
        """The median of the rounds."""
        return median(self.rounds)

    @property
    def met(self) -> bool | None:
        """Whether the goal is; None without one."""
        return None if self.goal is None else self.goal.met(self.value)

    def cells(self) -> tuple[str, ...]:
        """The line's columns."""
        spread = f"{number(min(self.rounds))} .. {number(max(self.rounds))}" if len(self.rounds) > 1 else ""
        verdict = "" if self.goal is None else f"{self.goal}: {'met' if self.met else 'MISSED'}"
        return self.name, number(self.value), spread, self.unit, verdict

    def described(self) -> dict[str, JSON]:
        """The line as JSON."""
        goal: JSON = None
        if self.goal is not None:
            goal = {"bound": self.goal.bound, "at_least": self.goal.at_least, "met": self.met}
        return {"name": self.name, "unit": self.unit, "median": self.value, "rounds": list(self.rounds), "goal": goal}


@dataclass(slots=True)
class Report:
    """What a bench has found so far: the lines of its table, and what is to be said beside them."""

    rows: list[Measured] = field(default_factory=list, kw_only=True)
    notes: list[str] = field(default_factory=list, kw_only=True)

    def add(self, name: str, unit: str, rounds: list[float], goal: Goal | None = None) -> None:
        """Add a line to the table."""
        self.rows.append(Measured(name, unit, tuple(rounds), goal))

    def print(self, facts: dict[str, str]) -> None:
        """The machine, the table, the notes."""
        for name, value in facts.items():
            say(f"{name:<12} {value}")
        say()
        for line in aligned(self.rows):
            say(line)
        for note in self.notes:
            say()
            say(note)

    def described(self, facts: dict[str, str], beside: dict[str, JSON]) -> dict[str, JSON]:
        """All of it as JSON, with more beside it."""
        return {
            "machine": dict(facts.items()),
            "measured": [row.described() for row in self.rows],
            "notes": list(self.notes),
            **beside,
        }


def say(text: str = "") -> None:
    """Print a line."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def progress(text: str) -> None:
    """Tell on stderr what is being done."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def number(value: float) -> str:
    """A number with as many digits as mean something."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def aligned(rows: Sequence[Measured]) -> list[str]:
    """The table's lines."""
    cells = [("", "median", "of rounds", "", "goal"), *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(5)]
    return [
        f"{name:<{widths[0]}}  {value:>{widths[1]}}  {spread:>{widths[2]}}  {unit:<{widths[3]}}  {goal}".rstrip()
        for name, value, spread, unit, goal in cells
    ]


def p99(values: Sequence[float]) -> float:
    """What 99 of 100 are at most."""
    return quantiles(values, n=100, method="inclusive")[98]


def bar(what: str, whole: int) -> Callable[[int], None]:
    """Shows on stderr how far something is, how fast, and how long it still takes."""
    start = time.monotonic()
    shown, first, tty = start, -1, sys.stderr.isatty()

    def told(done: int) -> None:
        nonlocal shown, first
        now = time.monotonic()
        first = done if first < 0 else first
        if done < whole and now - shown < (_EVERY_S if tty else _EVERY_S_IN_A_FILE):
            return
        shown, rate = now, (done - first) / max(now - start, 1e-9)
        left = f"{(whole - done) / rate:,.0f} s left" if rate else ""
        full = _BAR * done // whole
        line = f"{what} [{'#' * full}{'.' * (_BAR - full)}] {done:,} of {whole:,}  {rate:,.0f}/s  {left}"
        sys.stderr.write(f"\r{line}\x1b[K" if tty else f"{line}\n")
        if tty and done >= whole:
            sys.stderr.write("\n")
        sys.stderr.flush()

    return told
