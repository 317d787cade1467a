"""`muster-verify PATH`: check an export without the service: an evidence archive, or the log as tlog-tiles.

Exit codes: 0 nothing was found; 1 something was; 2 wrong usage, or a path that is no export.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from . import archive, tiles
from .errors import Invalid
from .finding import Report


def main(argv: Sequence[str] | None = None) -> int:
    """Check a path; returns the exit code."""
    parser = argparse.ArgumentParser(prog="muster-verify", description=__doc__)
    parser.add_argument("path", type=Path, help="an evidence archive, or a folder of tlog-tiles")
    add_options(parser)
    arguments = parser.parse_args(argv)
    try:
        report = check(arguments.path, arguments)
    except Invalid as exc:
        print(f"muster-verify: {exc}", file=sys.stderr)  # noqa: T201 - a command prints
        return 2
    return tell(report, as_json=arguments.json)


def add_options(parser: argparse.ArgumentParser) -> None:
    """What the one who checks brings along."""
    parser.add_argument("--key", metavar="VKEY|FILE", help="the log's verifier key, from a source that you trust")
    kept = "a checkpoint that you kept: the log has to begin with it"
    parser.add_argument("--since", type=Path, action="append", default=[], metavar="CHECKPOINT", help=kept)
    parser.add_argument("--witness-policy", type=Path, metavar="FILE", help="tlog-policy: who has to have cosigned")
    parser.add_argument("--json", action="store_true", help="print JSON")


def check(path: Path, arguments: argparse.Namespace) -> Report:
    """The report on an export of either kind; raises Invalid where a path is neither."""
    vkey = key(arguments.key)
    quorum = read(arguments.witness_policy) if arguments.witness_policy else None
    since = tuple((str(kept), read(kept)) for kept in arguments.since)
    if (path / "manifest.json").is_file():
        return archive.report(path, vkey, policy=quorum, since=since)
    if (path / "checkpoint").is_file():
        return tiles.check(path, vkey, since=since, quorum=quorum)
    raise Invalid(f"{path} is neither an evidence archive (manifest.json) nor a log as tiles (checkpoint)")


def tell(report: Report, *, as_json: bool) -> int:
    """Print a report; the exit code that it is worth."""
    if as_json:
        print(json.dumps(report.described(), ensure_ascii=False, indent=2))  # noqa: T201
    for line in report.told:
        print(f"note: {line}", file=sys.stderr)  # noqa: T201
    for finding in report.findings:
        print(str(finding), file=sys.stderr)  # noqa: T201
    if not as_json:
        words = "whole" if report.ok else f"{len(report.findings)} findings"
        counted = f"{report.size} entries, {report.checkpoints} checkpoints, {report.erased} erased"
        print(f"{counted}, root {report.root.hex()}: {words}")  # noqa: T201
    return 0 if report.ok else 1


def key(text: str | None) -> str | None:
    """A verifier key, from its text or from a file; raises Invalid."""
    if text is None or "+" in text:
        return text
    return read(Path(text)).decode("utf-8", "replace").strip()


def read(path: Path) -> bytes:
    """A file's bytes; raises Invalid."""
    try:
        return path.read_bytes()
    except OSError as exc:
        raise Invalid(f"{path}: {exc.strerror}") from exc


if __name__ == "__main__":
    sys.exit(main())
