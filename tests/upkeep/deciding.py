"""Clients that decide without a pause while something else is done, and what they were told."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx

from tests.service.running import PLAIN, Service, export, until


@dataclass(slots=True)
class Deciding:
    """One client; every answer's status and how long it took."""

    service: Service
    user: str
    answers: list[tuple[int, float]] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def _run(self) -> None:
        token = self.service.tokens["gateway"]
        with httpx.Client(headers={"Authorization": f"Bearer {token}"}, timeout=60, verify=PLAIN) as http:
            while not self._stop.is_set():
                began = time.monotonic()
                answer = http.post(self.service.url + "/v1/decisions", json=export(self.user))
                status = answer.status_code if answer.status_code != 200 or answer.json()["allow"] else 0
                self.answers.append((status, time.monotonic() - began))

    @contextmanager
    def throughout(self, what: str) -> Iterator[None]:
        """Decide meanwhile: begun before it, ended after it, and every decision an allow."""
        self.service.token("gateway")
        thread = threading.Thread(target=self._run)
        thread.start()
        try:
            until(lambda: len(self.answers) > 3, "decisions are made")
            before = len(self.answers)
            yield
            made = len(self.answers) - before
            until(lambda: len(self.answers) > before + made, "decisions are still made")
        finally:
            self._stop.set()
            thread.join()
        assert {status for status, _ in self.answers} == {200}
        assert made > 0
        slowest = sorted(seconds for _, seconds in self.answers)
        sys.stdout.write(f"{what}: {made} decisions meanwhile, p99 {1000 * slowest[int(len(slowest) * 0.99)]:.1f} ms\n")
