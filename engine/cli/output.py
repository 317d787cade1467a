"""What a command prints, and with which exit code it ends."""

from __future__ import annotations

import json
import sys
from typing import Final

from ledger.model import JSON

YES: Final = 0
NO: Final = 1
USAGE: Final = 2
UNAVAILABLE: Final = 3


def progress(text: str) -> None:
    """A line for people, on stderr."""
    print(text, file=sys.stderr, flush=True)


def machine(value: JSON) -> None:
    """A value for machines, on stdout."""
    print(json.dumps(value, ensure_ascii=False, indent=2))


def bar(what: str, done: int, total: int) -> None:
    """A progress line that overwrites itself, on a terminal only."""
    if sys.stderr.isatty():
        end = "\n" if done == total else ""
        print(f"\r{what} {done}/{total}", end=end, file=sys.stderr, flush=True)


def refused(status: int, body: JSON) -> int:
    """Tell what the service refused; the exit code that its status stands for."""
    problem = body if isinstance(body, dict) else {}
    progress(f"{problem.get('title', 'refused')}: {problem.get('detail', '')} ({status})")
    errors = problem.get("errors")
    for error in errors if isinstance(errors, list) else ():
        if isinstance(error, dict):
            progress(f"  {error['pointer']}: {error['detail']}")
    return UNAVAILABLE if status >= 500 else USAGE
