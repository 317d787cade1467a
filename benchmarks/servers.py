"""The systems that are compared: OPA by itself, Cerbos where npm has it, and Muster; each as its users start it."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.load import Target
from benchmarks.machine import Refused
from benchmarks.processes import Server

ROOT: Final = Path(__file__).resolve().parent.parent
MUSTER: Final = str(Path(sys.executable).with_name("muster"))
_READY_S: Final = 120.0
_CERBOS: Final = "0.51.0"


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def opa_binary() -> str:
    """The OPA that Muster uses."""
    done = subprocess.run([MUSTER, "opa", "path"], capture_output=True, text=True, check=True, cwd=ROOT)
    return done.stdout.strip()


def built() -> str:
    """How the Muster that is measured was made: `make` has it installed from its wheel."""
    where = [sys.executable, "-P", "-c", "import ledger.canonical as found; print(found.__file__)"]
    found = subprocess.run(where, capture_output=True, text=True, check=True).stdout.strip()
    if found == str(ROOT / "ledger" / "canonical.py"):
        return "as it lies here, not compiled"
    return f"installed from its wheel, {'not ' if found.endswith('.py') else ''}compiled"


def environment(home: Path, listen: str) -> dict[str, str]:
    """Of every `muster` command: this home, and nothing of the caller's own settings."""
    ours = ("MUSTER_", "PYTHONDONTWRITEBYTECODE")  # an installed Muster is compiled, and not anew at each start
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {
        **kept,
        "PYTHONPYCACHEPREFIX": str(ROOT / "build" / "pycache"),
        "MUSTER_HOME": str(home),
        "MUSTER_LISTEN": listen,
        "MUSTER_OPA_BIN": opa_binary(),
        "MUSTER_POLICIES": str(ROOT / "policies"),
        "MUSTER_BUNDLE": str(ROOT / "bundles" / "companyos"),
    }


@dataclass(slots=True)
class Muster:
    """A running service. `address` is `host:port` or `unix:PATH`."""

    server: Server
    address: str
    start_s: float

    def call(self, token: str, method: str, path: str, body: Any = None) -> Any:
        """One request by HTTP; raises Refused where the answer is not 200."""
        connection = _connect(self.address)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, _headers(token))
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            raise Refused(f"{method} {path}: {answer.status} {text.decode(errors='replace')[:500]}")
        is_json = answer.getheader("content-type", "").startswith("application/json")
        return json.loads(text) if is_json else text.decode()


def start_muster(home: Path, *, cores: str, said: Path, workers: int = 1, unix: bool = False) -> Muster:
    """Start the service on a home and wait until it is ready; `start_s` is how long that took."""
    listen = f"unix:{home.parent}/muster.sock" if unix else f"127.0.0.1:{free_port()}"
    more = ["--workers", str(workers)] if workers > 1 else []
    begun = time.perf_counter()
    server = Server([MUSTER, "serve", *more], cores=cores, said=said, env=environment(home, listen))
    try:
        _until_ready(server, listen, "/readyz")
    except BaseException:
        server.stop()
        raise
    return Muster(server, listen, time.perf_counter() - begun)


def start_opa(home: Path, *, cores: str, said: Path, log: bool) -> tuple[Server, str]:
    """OPA alone, on the bundle that this home serves, with its console decision log or without; and its address.

    Its log of requests, which is on by default, is off: that is in its favour.
    """
    address = f"127.0.0.1:{free_port()}"
    [bundle] = (home / "bundles").glob("*.tar.gz")
    command = [opa_binary(), "run", "--server", "--addr", address, "--skip-version-check", "--log-level", "error"]
    command += ["--signing-alg", "EdDSA", "--verification-key", str(home / "keys" / "bundle.pub.pem")]
    command += ["--bundle", str(bundle)]
    if log:
        command += ["--set", "decision_logs.console=true"]
    server = Server(command, cores=cores, said=said)
    _until_ready(server, address, "/health?bundles")
    return server, address


def start_cerbos(build: Path, folder: Path, *, cores: str, said: Path) -> tuple[Server, str]:
    """Cerbos with a policy of the gate's conditions and an audit log on disk; raises Refused where it cannot be had."""
    binary = build / "cerbos" / "node_modules" / "@cerbos" / "cerbos-linux-x64" / "cerbos-linux-x64"
    if not binary.exists():
        _install_cerbos(build / "cerbos")
    if not binary.exists():
        raise Refused("npm has no binary of Cerbos for this machine")
    address, policies = f"127.0.0.1:{free_port()}", folder / "policies"
    policies.mkdir(parents=True)
    shutil.copy(Path(__file__).parent / "cerbos.yaml", policies / "dataset.yaml")
    command = [str(binary), "server", "--log-level=ERROR"]
    for setting in (
        f"server.httpListenAddr={address}",
        f"server.grpcListenAddr=127.0.0.1:{free_port()}",
        "telemetry.disabled=true",
        "storage.driver=disk",
        f"storage.disk.directory={policies}",
        "audit.enabled=true",
        "audit.decisionLogsEnabled=true",
        "audit.accessLogsEnabled=false",
        "audit.backend=local",
        f"audit.local.storagePath={folder / 'audit'}",
    ):
        command.append(f"--set={setting}")
    server = Server(command, cores=cores, said=said)
    _until_ready(server, address, "/_cerbos/health")
    return server, address


def _install_cerbos(folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise Refused("there is no npm")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "package.json").write_text('{"private": true}\n')
    done = subprocess.run(
        [npm, "install", "--no-audit", "--no-fund", f"cerbos@{_CERBOS}"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise Refused(f"npm cannot install it: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}")


def make_home(home: Path) -> str:
    """`muster init`; answers the first admin's token."""
    done = subprocess.run(
        [MUSTER, "init", "--json"],
        env=environment(home, "127.0.0.1:0"), capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    if done.returncode:
        raise Refused(f"no home can be made: {done.stderr}")
    return str(json.loads(done.stdout)["token"])


def decisions(address: str, bodies: Path, token: str) -> Target:
    """Muster's decisions, asked with a gateway's token."""
    return Target(address, "/v1/decisions", bodies, (f"Authorization: Bearer {token}",))


def _until_ready(server: Server, address: str, path: str) -> None:
    deadline = time.monotonic() + _READY_S
    last = "nobody listens"
    while time.monotonic() < deadline:
        server.alive()
        connection = _connect(address)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            last = answer.read().decode(errors="replace")
            if answer.status == 200:
                return
        except (OSError, http.client.HTTPException):
            pass
        finally:
            connection.close()
        time.sleep(0.005)
    raise Refused(f"not ready within {_READY_S:.0f} s: {' '.join(last.split())[:300]}")


class _Unix(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=30)
        self._path = path

    def connect(self) -> None:
        """Open it."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(self._path)


def _connect(address: str) -> http.client.HTTPConnection:
    if address.startswith("unix:"):
        return _Unix(address.removeprefix("unix:"))
    return http.client.HTTPConnection(address, timeout=30)


def _headers(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
