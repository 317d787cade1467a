"""One revision, ready to be asked. Owns an OPA and the way to it; knows nothing of what the answers mean."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import Final

from engine.opa import process
from engine.opa.batch import Asked, Batcher, Counts
from engine.opa.binary import OpaBinary
from engine.opa.errors import CouldNotDecide
from engine.opa.process import Served
from engine.opa.watch import Watch
from ledger.canonical import JSON

_AT_ONCE: Final = 16
_MAX_WAITING: Final = 1024


class Evaluator:
    """Asks one revision; an async context manager, or start() and stop(). Belongs to the event loop it was started in.

    Nothing it answers is a guess: what is not a checked answer of this revision is a CouldNotDecide.
    """

    def __init__(
        self,
        binary: OpaBinary,
        bundle_path: Path,
        revision: str,
        *,
        verification_key: Path,
        runtime_dir: Path | None = None,
        evaluation_seconds: float = 1.0,
    ) -> None:
        """`runtime_dir`: a short folder of ours, 0700; without one, one is made and removed."""
        self.revision = revision
        self.opa = binary
        self._served = Served(binary=binary, bundle=bundle_path, verification_key=verification_key)
        self._runtime = runtime_dir
        self._made: Path | None = None
        self._seconds = evaluation_seconds
        self._watch: Watch | None = None
        self._batcher = Batcher(self._query, seconds=evaluation_seconds, processors=process.processors())
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._waiting = 0

    async def __aenter__(self) -> Evaluator:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Return when OPA serves this revision and has passed the canary; raise OpaStartError otherwise."""
        if self._watch is not None:
            raise RuntimeError("an Evaluator is started once")
        folder = self._runtime
        if folder is None:
            folder = self._made = Path(tempfile.mkdtemp(prefix="muster-opa-", dir="/tmp"))
        self._watch = Watch(self._served, self.revision, folder)
        failed: BaseException | None = None
        try:
            process.check_runtime(folder)
            await self._watch.start()
        except BaseException as exc:  # noqa: BLE001 - raised below: see setup.py
            failed = exc
        if failed is not None:
            await self.stop()
            raise failed

    async def stop(self) -> None:
        """End OPA and leave nothing behind; what still waits gets `opa-down`. May be called twice."""
        await self._batcher.close()
        if self._watch is not None:
            await self._watch.stop()
        if self._made is not None:
            shutil.rmtree(self._made, ignore_errors=True)
            self._made = None

    @property
    def ready(self) -> bool:
        """Whether an OPA that has passed the canary serves now."""
        return self._watch is not None and self._watch.client is not None

    @property
    def pid(self) -> int | None:
        """OPA's process, None while none serves."""
        return self._watch.pid if self._watch is not None else None

    @property
    def restarts(self) -> int:
        """How often OPA was started again."""
        return self._watch.restarts if self._watch is not None else 0

    @property
    def counts(self) -> Counts:
        """What was asked how, and which callers' questions failed when they were asked alone."""
        return self._batcher.counts

    async def evaluate(self, entrypoint: str, body: bytes, *, deadline: float | None = None) -> JSON:
        """The result of an entrypoint for a canonical input, within `deadline` seconds. Raises CouldNotDecide."""
        seconds = self._seconds if deadline is None else deadline
        if self._waiting >= _MAX_WAITING:
            raise CouldNotDecide("overloaded", f"{self._waiting} questions wait already")
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        self._waiting += 1
        try:
            async with asyncio.timeout_at(until):
                await self._turns.acquire()
        except TimeoutError as exc:
            raise CouldNotDecide("overloaded", f"no turn within {seconds:g} s") from exc
        finally:
            self._waiting -= 1
        try:
            return await self._query(entrypoint, body, until - loop.time())
        finally:
            self._turns.release()

    async def decide(self, body: bytes, *, caller: str, action: str, asked: Asked | None = None) -> JSON:
        """A gate's decision for a canonical input, asked together with what else waits. Raises CouldNotDecide.

        `asked` is called when the first call that carries this item is sent, with the number of items in that call.
        """
        if not self.ready:
            raise self._down()
        return await self._batcher.decide(body, caller=caller, action=action, asked=asked)

    async def _query(self, entrypoint: str, body: bytes, deadline: float) -> JSON:
        if self._watch is None:
            raise self._down()
        return await self._watch.query(entrypoint, body, deadline)

    def _down(self) -> CouldNotDecide:
        return CouldNotDecide("opa-down", self._watch.why if self._watch is not None else "OPA has not been started")
