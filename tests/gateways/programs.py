"""Real gateways as programs, each on the configuration that `muster gateway config` prints.

`written` and `process` know nothing of who answers for Muster: an address and a key are all they need, of the
stand-in or of Muster itself.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.cli.main import main
from tests.gateways import tools
from tests.gateways.waiting import listening, wait_until
from tests.ports import free_port

KEY: Final = "gateway-key_0123456789abcdef"
PROFILES: Final = ("nginx", "caddy", "traefik", "haproxy", "envoy-http", "envoy-grpc")


@dataclass(frozen=True, slots=True)
class Printed:
    """What a command wrote."""

    stdout: str
    stderr: str


def config(kind: str, *words: str, want: int = 0) -> Printed:
    """`muster gateway config`, as the command line runs it, in this process: a start of its own takes a second."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(["gateway", "config", kind, *words])
    said = Printed(out.getvalue(), err.getvalue())
    assert code == want, f"{kind} {words}: {code}\n{said.stdout}{said.stderr}"
    return said


def written(profile: str, folder: Path, muster: str, backend: str, listen: str, *more: str, key: str = KEY) -> None:
    """A gateway's configuration in a folder, with all of its files, and the file of its key."""
    kind, _, over = profile.partition("-")
    words = ["--muster", muster, "--backend", backend, "--listen", listen, "--folder", str(folder)]
    if over:
        words += ["--over", over]
    if kind == "haproxy":
        words += ["--inner", f"unix:{folder / 'ask.sock'}"]
    if kind == "traefik":
        words += ["--inner", f"http://127.0.0.1:{free_port()}"]
    elif not muster.startswith("unix:") and "--tls-cert" not in more:
        file = folder / "key"
        file.write_text(f'proxy_set_header Muster-Gateway-Key "{key}";\n' if kind == "nginx" else f"{key}\n")
        file.chmod(0o600)
        words += ["--key-file", str(file)]
    config(kind, *words, *more, "--write", str(folder))


def command(profile: str, folder: Path, *, check: bool = False) -> list[str]:
    """What starts a gateway in the foreground, or has it check its configuration."""
    kind, _, over = profile.partition("-")
    program = tools.program(kind)
    if kind == "nginx":
        more = f"daemon off; pid {folder}/nginx.pid; user root;"
        test = ["-t"] if check else []
        return [program, *test, "-p", str(folder), "-e", "stderr", "-c", f"{folder}/nginx.conf", "-g", more]
    if kind == "caddy":
        return [program, "validate" if check else "run", "--config", f"{folder}/Caddyfile", "--adapter", "caddyfile"]
    if kind == "traefik":
        return [program, f"--configFile={folder}/traefik.yml"]
    if kind == "haproxy":
        return [program, "-c" if check else "-db", "-f", f"{folder}/haproxy.cfg"]
    mode = ["--mode", "validate"] if check else ["--concurrency", "2", "--disable-hot-restart"]
    return [program, "-c", f"{folder}/envoy-{over}.yaml", "--log-level", "warning", *mode]


def environment(folder: Path, key: str = KEY) -> dict[str, str]:
    """A gateway's environment: its own folders, and for Traefik the key."""
    own = {
        "HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder),
        "XDG_DATA_HOME": str(folder),
        "CADDY_ADMIN": f"unix/{folder}/admin",
    }
    return {**os.environ, **own, "MUSTER_GATEWAY_KEY": key}


@contextmanager
def process(profile: str, folder: Path, address: tuple[str, int], key: str = KEY) -> Iterator[None]:
    """A gateway on the configuration of a folder; returns when it listens (Traefik reads its routes after that)."""
    log = folder / "log"
    with log.open("ab") as out:
        running = subprocess.Popen(
            command(profile, folder),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env=environment(folder, key),
            cwd=folder,
        )
    try:

        def up() -> bool:
            assert running.poll() is None, f"{profile} ended: {log.read_text('utf-8', 'replace')[-3000:]}"
            return listening(address)

        wait_until(up, f"{profile} listens")
        yield
    finally:
        running.terminate()
        try:
            running.wait(10)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait(10)


@contextmanager
def short_folder() -> Iterator[Path]:
    """A folder whose sockets' paths are short enough for every gateway."""
    folder = Path(tempfile.mkdtemp(prefix="gw"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
