"""OPA built from its sources by `go install`, which checks them against Go's checksum database, in about a minute."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from engine.opa.errors import OutOfReach

_MODULE: Final = "github.com/open-policy-agent/opa"
_LOWEST_GO: Final = (1, 26)
_SAY_SECONDS: Final = 10.0
_WHOLE_SECONDS: Final = 900.0


def build(version: str, folder: Path, path_env: str | None, progress: Callable[[str], None]) -> Path:
    """The binary in `folder`; raises OutOfReach."""
    go = shutil.which("go", path=path_env)
    if go is None:
        raise OutOfReach("there is no go on PATH")
    _require_go(go)
    progress(f"building OPA {version} with `go install`: this takes about a minute, once")
    environment = {**os.environ, "GOBIN": str(folder), "CGO_ENABLED": "0"}
    began = time.monotonic()
    with tempfile.TemporaryFile() as said:
        child = subprocess.Popen(
            [go, "install", f"{_MODULE}@v{version}"],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            env=environment,
            cwd=folder,
        )
        with child:
            try:
                while _still_running(child):
                    seconds = time.monotonic() - began
                    if seconds > _WHOLE_SECONDS:
                        raise OutOfReach(f"go install did not end within {_WHOLE_SECONDS:g} s")
                    progress(f"still building OPA ({seconds:.0f} s)")
            finally:
                child.kill()  # does nothing to one that has ended
        said.seek(0)
        lines = said.read().decode("utf-8", "replace").split("\n")
    if child.returncode != 0:
        raise OutOfReach("go install failed: " + " | ".join(line.strip() for line in lines[-4:] if line.strip()))
    return folder / "opa"


def _still_running(child: subprocess.Popen[bytes]) -> bool:
    try:
        child.wait(_SAY_SECONDS)
    except subprocess.TimeoutExpired:
        return True
    return False


def _require_go(go: str) -> None:
    try:
        said = subprocess.run([go, "version"], capture_output=True, timeout=10, check=True, text=True).stdout
    except (OSError, subprocess.SubprocessError) as exc:
        raise OutOfReach(f"`go version` fails: {exc}") from exc
    match = re.search(r"\bgo(\d+)\.(\d+)", said)
    if match is None or (int(match[1]), int(match[2])) < _LOWEST_GO:
        raise OutOfReach(f"it needs Go {_LOWEST_GO[0]}.{_LOWEST_GO[1]} or newer, here is {said.strip()!r}")
