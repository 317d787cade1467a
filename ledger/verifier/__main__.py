"""`muster-verify PATH`: check an export without the service: an evidence archive, or the log as tlog-tiles.

Exit codes: 0 nothing was found; 1 something was; 2 wrong usage, or a path that is no export.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from . import archive, note, reading, tiles
from .errors import Invalid
from .finding import Report, printable


def main(argv: Sequence[str] | None = None) -> int:
    """Check a path; returns the exit code."""
    parser = argparse.ArgumentParser(prog="muster-verify", description=__doc__)
    parser.add_argument("path", type=Path, help="an evidence archive, or a folder of tlog-tiles")
    add_options(parser)
    arguments = parser.parse_args(argv)
    try:
        return tell(check(arguments.path, arguments), as_json=arguments.json)
    except Invalid as exc:
        said = str(exc)
    except Exception as exc:  # noqa: BLE001 - whatever an export does to us is told; 1 would say that it was checked
        said = f"{arguments.path} cannot be checked: {type(exc).__name__}: {exc}"
    print(f"muster-verify: {printable(said)}", file=sys.stderr)  # noqa: T201 - a command prints
    return 2


def add_options(parser: argparse.ArgumentParser) -> None:
    """What the one who checks brings along."""
    signs = "the log's verifier key, from a source that you trust; once more for each key that it took over from"
    parser.add_argument("--key", action="append", default=[], metavar="VKEY|FILE", help=signs)
    kept = "a checkpoint that you kept: the log has to begin with it"
    parser.add_argument("--since", type=Path, action="append", default=[], metavar="CHECKPOINT", help=kept)
    parser.add_argument("--witness-policy", type=Path, metavar="FILE", help="tlog-policy: who has to have cosigned")
    parser.add_argument("--json", action="store_true", help="print JSON")


def check(path: Path, arguments: argparse.Namespace) -> Report:
    """The report on an export of either kind; raises Invalid where a path is neither."""
    vkeys = tuple(key(text) for text in arguments.key)
    vkey, former = vkeys[0] if vkeys else None, vkeys[1:]
    quorum = read(arguments.witness_policy) if arguments.witness_policy else None
    since = tuple((str(kept), read(kept)) for kept in arguments.since)
    if os.path.lexists(path / "manifest.json"):  # whether it is a file is for whoever reads it
        return archive.report(path, vkey, former=former, policy=quorum, since=since)
    if os.path.lexists(path / "checkpoint"):
        return tiles.check(path, vkey, former=former, since=since, quorum=quorum)
    raise Invalid(f"{path} is neither an evidence archive (manifest.json) nor a log as tiles (checkpoint)")


def tell(report: Report, *, as_json: bool) -> int:
    """Print a report; the exit code that it is worth."""
    if as_json:
        print(json.dumps(report.described(), indent=2))  # noqa: T201
    for line in report.told:
        print(f"note: {printable(line)}", file=sys.stderr)  # noqa: T201
    for finding in report.findings:
        print(str(finding), file=sys.stderr)  # noqa: T201
    if not as_json:
        words = "whole" if report.ok else f"{len(report.findings)} findings"
        counted = f"{report.size} entries, {report.checkpoints} checkpoints, {report.erased} erased"
        print(f"{counted}, root {report.root.hex()}: {words}")  # noqa: T201
    return 0 if report.ok else 1


def key(text: str) -> str:
    """A verifier key, from its text or from a file; raises Invalid.

    What is a key is never looked for as a file, which whoever made an export could have put where it is checked.
    """
    try:
        return note.parse_key(text).vkey()
    except Invalid:
        if "+" in text and not os.path.exists(text):  # noqa: PTH110 - a text may be too long for a path
            raise
    return note.parse_key(note.key_text(read(Path(text), reading.MOST_KEY))).vkey()


def read(path: Path, most: int = reading.MOST_NOTE) -> bytes:
    """The bytes of a file that the one who checks names; raises Invalid."""
    try:
        return reading.read(path, most, follow=True)
    except OSError as exc:
        raise Invalid(f"{path}: {exc.strerror}") from exc


if __name__ == "__main__":
    sys.exit(main())
