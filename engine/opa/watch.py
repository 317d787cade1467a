"""Keeps one OPA serving: starts it, lets only one that passes the canary answer, and starts the next when it ends.

The first restart is immediate; while starts fail one after the other, the pause doubles from 0.05 s to 2 s. An OPA that
lives and does not answer is noticed by those who ask it: after some timeouts in a row the canary is asked once more,
and if that is not answered either, OPA is killed, which is an end like any other.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.opa import canary
from engine.opa.client import OpaClient
from engine.opa.errors import CouldNotDecide, OpaStartError
from engine.opa.process import OpaProcess, Served
from ledger.canonical import JSON

_LOG: Final = logging.getLogger(__name__)

_START_SECONDS: Final = 10.0
_CANARY_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.005
_TIMEOUTS: Final = 3
"""So many in a row, with no answer between them, are a doubt. Slow questions alone are not: the canary is answered."""
_DOUBT_SECONDS: Final = 2.0
"""For the canary of an OPA in doubt; evaluations that run beside it are few, and end at deadlines of their own."""
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 2.0
_STEADY_SECONDS: Final = 5.0
"""An OPA that has lived this long was a good one: its end is answered at once, like a first."""


@dataclass(slots=True)
class Watch:
    """`client` reaches the OPA that serves now; None while there is none, and `why` then says so."""

    served: Served
    revision: str
    runtime: Path
    client: OpaClient | None = None
    why: str = "OPA has not been started"
    restarts: int = 0
    _process: OpaProcess | None = None
    _task: asyncio.Task[None] | None = None
    _timeouts: int = 0
    _doubt: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The process that serves now."""
        return self._process.pid if self._process is not None and self.client is not None else None

    async def start(self) -> None:
        """Return when OPA serves; raise OpaStartError if the first start fails."""
        await self._begin()
        self._task = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        """End the watch and OPA."""
        tasks = [task for task in (self._task, self._doubt) if task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._task = self._doubt = None
        await self._end("OPA was stopped")

    async def query(self, entrypoint: str, body: bytes, deadline: float) -> JSON:
        """As OpaClient.query, of the OPA that serves now; `opa-down` while there is none."""
        client, process = self.client, self._process
        if client is None or process is None:
            raise CouldNotDecide("opa-down", self.why)
        try:
            answer = await client.query(entrypoint, body, deadline)
        except CouldNotDecide as exc:
            if client is self.client:  # else this is news of an OPA that is gone
                self._note(exc, client, process)
            raise
        self._timeouts = 0
        return answer

    def _note(self, failure: CouldNotDecide, client: OpaClient, process: OpaProcess) -> None:
        if failure.cause != "timeout":
            self._timeouts = 0  # it answered, or its end is noticed without us
            return
        self._timeouts += 1
        if self._timeouts >= _TIMEOUTS and self._doubt is None:
            self._doubt = asyncio.create_task(self._examine(client, process))

    async def _examine(self, client: OpaClient, process: OpaProcess) -> None:
        """Kill an OPA that does not answer the canary in time."""
        try:
            await client.query(canary.ALIVE, b"{}", _DOUBT_SECONDS)
        except CouldNotDecide as exc:
            if exc.cause == "timeout":
                _LOG.error("OPA for revision %s lives but does not answer", self.revision[:12])
                process.kill()
        finally:
            self._timeouts, self._doubt = 0, None

    async def _keep(self) -> None:
        pause = 0.0
        while True:
            if self._process is not None:
                began = time.monotonic()
                await self._process.ended.wait()
                _LOG.error("OPA for revision %s ended: %s", self.revision[:12], self._process.account())
                await self._end("OPA ended and is being started again")
                if time.monotonic() - began >= _STEADY_SECONDS:
                    pause = 0.0
            await asyncio.sleep(pause)
            pause = min(max(pause * 2, _FIRST_PAUSE), _LONGEST_PAUSE)
            self.restarts += 1
            try:
                await self._begin()
            except OpaStartError as exc:
                self.why = str(exc)
                _LOG.error("OPA for revision %s does not start: %s", self.revision[:12], exc)

    async def _begin(self) -> None:
        """Start one OPA and let it answer once it has passed the canary; leaves nothing behind if it does not."""
        process = self._process = OpaProcess.start(self.served, self.runtime)
        client = OpaClient(process.socket, self.revision)
        try:
            await client.open()
            await _listening(process)
            await _pass_canary(client, process)
        except BaseException:
            await client.close_connection()
            await self._end("OPA does not start")
            raise
        self.client, self._timeouts = client, 0

    async def _end(self, why: str) -> None:
        self.why = why
        client, self.client = self.client, None
        process, self._process = self._process, None
        if client is not None:
            await client.close_connection()
        if process is not None:
            await process.stop()


async def _listening(process: OpaProcess) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not process.listens():
        if process.ended.is_set():
            raise OpaStartError(f"OPA ended at its start: {process.account()}")
        if time.monotonic() > deadline:
            raise OpaStartError(f"OPA did not listen within {_START_SECONDS:g} s: {process.account()}")
        await asyncio.sleep(_POLL_SECONDS)


async def _pass_canary(client: OpaClient, process: OpaProcess) -> None:
    try:
        if await client.query(canary.ALIVE, b"{}", _CANARY_SECONDS) is not True:
            raise OpaStartError(f"{canary.ALIVE} is not true: this is no bundle that Muster built")
        strict = await client.query(canary.STRICT, canary.STRICT_INPUT, _CANARY_SECONDS)
    except CouldNotDecide as exc:
        if exc.cause == "opa-error" and "eval_builtin_error" in exc.detail:
            return
        raise OpaStartError(f"OPA does not pass the canary: {exc} ({process.account()})") from exc
    raise OpaStartError(f"OPA does not pass the canary: a builtin error was answered with {strict!r}")
