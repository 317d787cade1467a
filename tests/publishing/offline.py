"""`muster-verify` as an auditor's machine runs it: little memory, little time, and output that has to be UTF-8."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.service.running import ROOT

_MEMORY = 1 << 30
_SECONDS = 30
_MAIN = (
    f"import resource, sys; resource.setrlimit(resource.RLIMIT_AS, ({_MEMORY}, {_MEMORY})); "
    "from ledger.verifier.__main__ import main; sys.exit(main(sys.argv[1:]))"
)
TERABYTE = 1 << 40


def run(path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """What it says of a path; whatever it met, it has come to an end with an exit code of its own."""
    done = subprocess.run(
        [sys.executable, "-c", _MAIN, str(path), *words],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        cwd=ROOT,
        timeout=_SECONDS,
        env={**os.environ, "PYTHONIOENCODING": "utf-8:strict"},
    )
    assert done.returncode in (0, 1, 2), done.stderr
    assert "Traceback" not in done.stderr
    return done


def sparse(path: Path) -> None:
    """A terabyte that is not there."""
    with path.open("wb") as file:
        file.truncate(TERABYTE)


def refill(path: Path, kind: str, elsewhere: Path) -> None:
    """Put something else in the place of a file, which a link would find elsewhere."""
    data = path.read_bytes()
    path.unlink()
    if kind == "sparse":
        sparse(path)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        elsewhere.write_bytes(data)
        path.symlink_to(elsewhere)
