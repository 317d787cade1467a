"""A service of several processes, and callers that know which worker answers them."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx

from tests.service.running import Service, export, until

LEDGER = "engine.serving.ledger_process"
WORKER = "engine.serving.worker"


def children(parent: int) -> dict[int, str]:
    """The command of every process that a process has started, by process ID; without those that have ended."""
    found = {}
    for thread in Path(f"/proc/{parent}/task").iterdir():
        for pid in map(int, (thread / "children").read_text().split()):
            with suppress(FileNotFoundError, ProcessLookupError):
                if alive(pid):
                    found[pid] = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return found


def alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has reaped yet has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Caller:
    """One connection to one worker."""

    def __init__(self, fleet: Fleet) -> None:
        host, port = re.sub(r"^http://", "", fleet.url).rsplit(":", 1)
        self.http = http.client.HTTPConnection(host, int(port), timeout=30)
        self.fleet = fleet
        try:
            self.http.connect()
            self._call("GET", "/healthz", None, None)
            self.worker = self._worker(int(port))
        except BaseException:
            self.close()
            raise

    def _worker(self, port: int) -> int:
        """Whose socket the other end of this connection is."""
        own = self.http.sock.getsockname()[1]
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            words = line.split()
            if words[1].endswith(f":{port:04X}") and words[2].endswith(f":{own:04X}"):
                inode = words[9]
                break
        else:
            raise AssertionError("the connection is gone")
        for pid in self.fleet.workers():
            for descriptor in Path(f"/proc/{pid}/fd").iterdir():
                with suppress(FileNotFoundError):
                    if str(descriptor.readlink()) == f"socket:[{inode}]":
                        return pid
        raise AssertionError("no worker has the connection")

    def close(self) -> None:
        """End the connection."""
        self.http.close()

    def call(self, role: str, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """One request under the token of a role: status, and JSON."""
        return self._call(method, path, body, self.fleet.token(role))

    def _call(self, method: str, path: str, body: Any, token: str | None) -> tuple[int, Any]:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        self.http.request(method, path, None if body is None else json.dumps(body), headers)
        answer = self.http.getresponse()
        data = answer.read()
        return answer.status, json.loads(data) if data else None

    def decide(self, user: str) -> tuple[int, Any]:
        """May this user export?"""
        return self.call("gateway", "POST", "/v1/decisions", export(user))


class Fleet(Service):
    """See Service; several workers."""

    def everybody(self) -> None:
        """People who may export, and some who may not; and the tokens that callers need."""
        for user in ("kim", "lou", "max", "ned"):
            self.person(user)
        for user in ("kim", "lou"):
            self.train(user)
        for role in ("gateway", "auditor", "admin", "app"):
            self.token(role)

    @property
    def parent(self) -> int:
        assert self.process is not None
        return self.process.pid

    def workers(self) -> list[int]:
        """The process IDs of the workers that live."""
        return sorted(pid for pid, command in children(self.parent).items() if WORKER in command)

    def ledgers(self) -> list[int]:
        """The process ID of the ledger's process."""
        return [pid for pid, command in children(self.parent).items() if LEDGER in command]

    def opa_of(self, worker: int) -> int:
        """The process ID of a worker's OPA."""
        return next(pid for pid, command in children(worker).items() if " run --server " in command)

    def callers(self) -> dict[int, Caller]:
        """A connection to each worker, by its process ID."""
        found: dict[int, Caller] = {}
        for _ in range(500):
            with suppress(OSError, http.client.HTTPException):  # a worker that is just ending
                caller = Caller(self)
                if caller.worker in found:
                    caller.close()
                else:
                    found[caller.worker] = caller
            if len(found) == len(self.workers()):
                break
        if sorted(found) != self.workers():
            for caller in found.values():
                caller.close()
            raise AssertionError("every worker takes connections")
        return found

    def whole(self, count: int) -> bool:
        """Whether so many workers serve, each with an OPA, and the ledger."""
        workers = self.workers()
        served = len(workers) == count and len(self.ledgers()) == 1
        return served and all(any(" run --server " in c for c in children(pid).values()) for pid in workers)

    def settled(self, count: int) -> None:
        """Wait until all workers answer that they can decide."""
        until(lambda: self.whole(count), "all processes run")

        def ready() -> bool:
            try:
                callers = list(self.callers().values())
                try:
                    return all(caller.call("gateway", "GET", "/readyz")[0] == 200 for caller in callers)
                finally:
                    for caller in callers:
                        caller.close()
            except (OSError, AssertionError, http.client.HTTPException, httpx.TransportError):
                return False

        until(ready, "all workers can decide")

    def end(self, pid: int) -> None:
        """`kill -9`, and wait until it is dead."""
        os.kill(pid, signal.SIGKILL)
        until(lambda: not alive(pid), f"process {pid} has ended")
