"""A real Muster, started as its users start it, and a caller with a token for every role."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

MUSTER = str(Path(sys.executable).with_name("muster"))
ROOT = Path(__file__).parents[2]
READY_SECONDS = 30.0
PLAIN = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Trusts nobody. Who asks over HTTP without it loads all public authorities first: 50 ms for each client of httpx."""


def instant(ahead: timedelta = timedelta()) -> str:
    """The instant that lies so far ahead of now."""
    moment = datetime.now(UTC) + ahead
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def until(condition: Callable[[], Any], what: str, seconds: float = READY_SECONDS) -> Any:
    """Wait for a condition, with a deadline; returns its value."""
    deadline, pause = time.monotonic() + seconds, 0.01
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(pause)  # a condition is polled: nothing here waits for time to pass
        pause = min(pause * 1.2, 0.1)  # what takes long is not asked so often that it takes longer


def environment(home: Path, opa: Path, **more: str) -> dict[str, str]:
    """The environment of a command: this home, this OPA, and nothing of the tests' own settings."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("MUSTER_")}
    return {
        **kept,
        "MUSTER_HOME": str(home),
        "MUSTER_OPA_BIN": str(opa),
        "MUSTER_LISTEN": "127.0.0.1:0",
        "MUSTER_POLICIES": str(ROOT / "policies"),
        "MUSTER_BUNDLE": str(ROOT / "bundles" / "companyos"),
        **more,
    }


@dataclass(slots=True)
class Service:
    """One running service on a home of its own."""

    home: Path
    env: dict[str, str]
    tokens: dict[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ("serve",)
    prefix: tuple[str, ...] = ()
    process: subprocess.Popen[str] | None = None
    url: str = ""
    socket: Path | None = None

    def start(self, *, ready: bool = True) -> Service:
        """Start the service and wait until it listens and, unless told otherwise, can decide."""
        log = (self.home.parent / f"{self.home.name}.log").open("a+")
        at = log.seek(0, os.SEEK_END)
        self.process = subprocess.Popen(
            [*self.prefix, MUSTER, *self.arguments], env=self.env, stdout=log, stderr=log, text=True, cwd=ROOT
        )

        def listening() -> str | None:
            assert self.process is not None
            log.seek(at)
            text = log.read()
            assert self.process.poll() is None, f"the service ended: {text}"
            found = re.search(r"listening on (\S+),", text)
            return found.group(1) if found else None

        self.url = until(listening, "the service listens")
        log.close()
        if ready:
            until(lambda: self.http("GET", "/readyz").status_code == 200, "the service is ready")
        return self

    def stop(self) -> None:
        """End the service as an operator does."""
        if self.process is not None and self.process.poll() is None:
            # Whatever it was started through (strace, say), it is Muster itself that is told to end.
            os.kill(json.loads((self.home / "lock").read_text())["pid"], signal.SIGTERM)
            self.process.wait(30)

    def kill(self) -> None:
        """End the service as a power cut does."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(30)

    def http(self, method: str, path: str, *, role: str | None = None, **more: Any) -> httpx.Response:
        """One request, under the token of a role."""
        headers = dict(more.pop("headers", {}))
        if role is not None:
            headers["Authorization"] = f"Bearer {self.token(role)}"
        if self.socket is None:
            return httpx.request(method, self.url + path, headers=headers, timeout=30, verify=PLAIN, **more)
        transport = httpx.HTTPTransport(uds=str(self.socket), verify=PLAIN)
        with httpx.Client(transport=transport, base_url="http://muster") as http:
            return http.request(method, path, headers=headers, timeout=30, **more)

    def call(self, role: str, method: str, path: str, body: Any = None, want: int = 200, **more: Any) -> Any:
        """One request whose status is as expected; returns its JSON."""
        answer = self.http(method, path, role=role, json=body, **more)
        assert answer.status_code == want, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    def token(self, name: str) -> str:
        """The token of a role, or of a person (`user:ID`), made when it is first needed."""
        if name not in self.tokens:
            wanted = (
                {"role": "person", "principal": name}
                if name.startswith("user:")
                else {"role": name, "principal": f"system:test-{name}"}
            )
            self.tokens[name] = self.call("admin", "POST", "/v1/tokens", wanted)["token"]
        return self.tokens[name]

    def muster(self, *words: str, want: int | None = 0, **env: str) -> subprocess.CompletedProcess[str]:
        """One command beside the service."""
        done = subprocess.run(
            [MUSTER, *words], env={**self.env, **env}, capture_output=True, text=True, check=False, cwd=ROOT
        )
        assert want is None or done.returncode == want, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def person(self, user: str, **directory: Any) -> None:
        """Add a person to the directory."""
        self.call("admin", "PUT", f"/v1/subjects/{user}", {"persona": "engineers", "customer": "acme", **directory})

    def passed(self, user: str, module: str, tier: str, days_ago: float = 3) -> Any:
        """Bring in one result of a person."""
        row = {
            "user": user,
            "module": module,
            "version": "1.0.0",
            "tier": tier,
            "passed_at": instant(-timedelta(days=days_ago)),
            "reason": "test",
            "provenance": "test",
        }
        return self.call("author", "POST", "/v1/results/import", {"results": [row]})["imported"][0]

    def train(self, user: str) -> None:
        """Let a person have what the data-export gate asks."""
        self.passed(user, "secure-data-export", "completed")
        self.passed(user, "export-scenario", "proficient")

    def decide(self, user: str, role: str = "gateway", **changed: Any) -> Any:
        """Ask for the data export."""
        return self.call(role, "POST", "/v1/decisions", export(user, **changed))


def export(user: str, customer: str = "acme", **context: Any) -> dict[str, Any]:
    """A data export that only training can be missing from."""
    asked = {"destination": "warehouse://analytics", "ticket": "REQ-1", "columns": ["customer_id"], **context}
    return {
        "subject": {"type": "user", "id": user},
        "action": {"name": "data-export"},
        "resource": {"type": "dataset", "id": "customers", "properties": {"customer": customer}},
        "context": asked,
    }


def make_home(env: dict[str, str]) -> str:
    """`muster init`; returns the first admin token."""
    done = subprocess.run([MUSTER, "init", "--json"], env=env, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["token"])


def copy_home(template: Path, home: Path) -> None:
    """A home like another, for a test that wants its own."""
    shutil.copytree(template, home)
