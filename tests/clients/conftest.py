"""A service with gateways, an asker's token in a file, and applications of the examples, each in a process."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.adapters.gateway.conftest import edge
from tests.adapters.gateway.edge import Edge
from tests.clients.raw import RawServer
from tests.service.conftest import new_service, template
from tests.service.running import ROOT, until

__all__ = ["edge", "new_service", "template"]
KITS = ROOT / "clients"
Serve = Callable[..., str]


@pytest.fixture(scope="session")
def settings(edge: Edge, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of an example that asks the service."""
    file = tmp_path_factory.mktemp("token") / "token"
    file.write_text(edge.service.token("gateway") + "\n")
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("MUSTER_")},
        "MUSTER_URL": edge.service.url,
        "MUSTER_TOKEN_FILE": str(file),
        "PYTHONPATH": str(KITS / "python"),
        "PORT": "0",
    }


@pytest.fixture(scope="session")
def binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example in Go, built."""
    built = tmp_path_factory.mktemp("go") / "behind"
    subprocess.run(["go", "build", "-o", str(built), "./examples/behind"], cwd=KITS / "go", check=True)
    return built


@pytest.fixture(scope="session")
def serve(settings: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """Starts an application once, and gives its address; all are ended at the end."""
    started: dict[tuple[str, ...], tuple[subprocess.Popen[bytes], str]] = {}

    def begin(*words: str, **more: str) -> str:
        if words not in started:
            log = tmp_path_factory.mktemp("app") / "log"
            with log.open("wb") as out:
                process = subprocess.Popen(words, env=settings | more, stdout=out, stderr=out, cwd=KITS)
            started[words] = (process, "")

            def port() -> str | None:
                assert process.poll() is None, log.read_text()
                found = re.search(r"listening on (\d+)|running on http://127\.0\.0\.1:(\d+)", log.read_text())
                return next(filter(None, found.groups())) if found else None

            started[words] = (process, f"http://127.0.0.1:{until(port, 'the application listens')}")
        return started[words][1]

    yield begin
    for process, _ in started.values():
        process.kill()
        process.wait(10)


def uvicorn(example: str) -> tuple[str, ...]:
    """The command that serves an example in Python."""
    place = str(KITS / "python" / "examples")
    return sys.executable, "-m", "uvicorn", "--app-dir", place, "--port", "0", f"{example}:app"


@pytest.fixture(scope="session")
def raw() -> Iterator[RawServer]:
    """A server that answers anything."""
    with RawServer() as server:
        yield server


def timed(call: Callable[[], httpx.Response]) -> tuple[httpx.Response, float]:
    """An answer, and how many seconds it took."""
    began = time.monotonic()
    return call(), time.monotonic() - began
