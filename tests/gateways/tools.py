"""Other people's gateways: where their programs are, installed where they are not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

_DEBIAN = {"nginx", "haproxy"}


def home() -> Path:
    """Where `install.sh` puts what is not Debian's."""
    return Path(os.environ.get("MUSTER_CACHE", Path.home() / ".cache" / "muster")) / "gateways"


def install() -> None:
    """Install what is missing; an error where that is not possible: a gateway's tests are never skipped."""
    script = Path(__file__).with_name("install.sh")
    done = subprocess.run([script], env={**os.environ, "PYTHON": sys.executable}, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 0, f"{script.name} failed ({done.returncode}): {done.stderr.decode()}"


def program(name: str) -> str:
    """The path of a gateway's program."""
    if name in _DEBIAN:
        found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        assert found, f"{name} is not installed"
        return found
    if name == "envoy":  # what pip puts into bin/ is a Python script that starts it
        return str(next(home().glob("binaries/lib/python*/site-packages/envoy/_bin/envoy")))
    return str(home() / "binaries" / "bin" / name)


def controlplane() -> str:
    """The client of Envoy's authorization on go-control-plane's types."""
    return str(home() / "controlplane")
