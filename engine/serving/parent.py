"""The parent of a service with several workers: holds the home and the sockets, and keeps the others running.

It decides nothing and reads no request. The ledger's process comes first and goes last; workers come and go for
themselves. Whoever ends unasked is started again at once, and more and more slowly where that does not last; whoever
hangs is ended for it. Where none has ever lasted, and each has ended too often, the service ends, and says of what.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from engine.errors import Unavailable
from engine.home import HomeLock
from engine.opa.binary import OpaBinary
from engine.serving import listening
from engine.serving.child import Child
from engine.serving.given import Given
from engine.serving.http import DRAIN_SECONDS
from engine.serving.lives import TRIES, Lives
from engine.serving.renewing import Certificates
from engine.settings import Settings

_LEDGER: Final = "ledger's process"
_WORKER: Final = "engine.serving.worker"
_LEDGER_SECONDS: Final = 15.0
_LOOK_SECONDS: Final = 5.0
_LOOKS_IN_SILENCE: Final = 4
"""Counted in looks, not by a clock: a parent that was suspended itself has not looked meanwhile."""

_log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Parent:
    """One service of several processes, under a home's lock that the caller holds.

    It alone looks at the certificate's files: its workers have what it has in use.
    """

    settings: Settings
    opa: OpaBinary
    lock: HomeLock
    workers: int
    certificates: Certificates | None
    _children: dict[str, Child] = field(init=False, default_factory=dict)
    _keeping: list[asyncio.Task[None]] = field(init=False, default_factory=list)
    _enough: asyncio.Event = field(init=False, default_factory=asyncio.Event)
    _failed: Unavailable | None = field(init=False, default=None)
    _ledger: socket.socket = field(init=False)
    _address: listening.Address = field(init=False)
    _control: socket.socket = field(init=False)
    _gateways: list[socket.socket] = field(init=False)

    async def run(self, told: Callable[[str], None]) -> None:
        """Serve until SIGTERM or SIGINT. `told` is called with the address once all workers listen.

        Raises SetupError or Busy, with the sentence of whichever process cannot start, and Unavailable where none
        lasts.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        self._metrics.mkdir(mode=0o700)
        self._ledger = listening.bind_unix(self._socket, 0o600)
        self._ledger.listen()
        self._control = listening.control(self.lock.runtime)
        self._address = listening.Address(self.settings)
        self._gateways = listening.gateways(self.settings)
        watching = None
        if self.certificates is not None:
            self.certificates.changed = self._tell
            loop.add_signal_handler(signal.SIGHUP, self.certificates.ask)
            watching = asyncio.create_task(self.certificates.watch())
        try:
            await self._start([lambda: self._start_ledger()])
            await self._start([lambda index=index: self._start_worker(index) for index in range(self.workers)])  # type: ignore[misc]
            if not self._enough.is_set():
                told(str(self._address))
            await self._enough.wait()
        finally:
            if watching is not None:
                watching.cancel()
            await self._end()
        if self._failed is not None:
            raise self._failed

    @property
    def _socket(self) -> Path:
        return self.lock.runtime / "ledger.sock"

    @property
    def _metrics(self) -> Path:
        return self.lock.runtime / "metrics"

    @property
    def _shared(self) -> dict[str, str]:
        """What is in the environment of each process besides: where they count, so that any of them shows the sum."""
        return {"PROMETHEUS_MULTIPROC_DIR": str(self._metrics)}

    async def _start(self, starts: list[Callable[[], Child]]) -> None:
        """Start some children, and wait until all of them are ready, or it is enough."""
        children = [start() for start in starts]
        enough = asyncio.create_task(self._enough.wait())
        ready = [asyncio.create_task(child.ready()) for child in children]
        try:
            waiting: set[asyncio.Task[Any]] = set(ready)
            while waiting and not enough.done():
                done, _ = await asyncio.wait({enough, *waiting}, return_when=asyncio.FIRST_COMPLETED)
                for task in done & waiting:
                    await task  # raises what the first that cannot start says
                waiting -= done
        finally:
            for task in (enough, *ready):
                task.cancel()
            await asyncio.gather(enough, *ready, return_exceptions=True)
        lives = Lives(child.name for child in children)
        for child, start in zip(children, starts, strict=True):
            self._keeping.append(asyncio.create_task(self._keep(child, start, lives)))

    async def _keep(self, child: Child, start: Callable[[], Child], lives: Lives) -> None:
        """Start it again whenever it ends, and end it where its loop does not turn any more."""
        loop = asyncio.get_running_loop()
        while True:
            lives.began(child.name, child.began)
            await self._ended(child)
            lives.ended(child.name, loop.time())
            if lives.hopeless(loop.time()):
                often = f"{TRIES} times in a row soon after it was started"
                self._failed = Unavailable(f"the {child.name} ended {often}, and no other lasted: {child.how}")
                self._enough.set()
                return
            pause = lives.pause(child.name)
            _log.warning("the %s ended (%s): another is started in %g s", child.name, child.how, pause)
            await asyncio.sleep(pause)
            child = start()

    async def _ended(self, child: Child) -> None:
        """Return once it has ended, be it because it was silent for too long."""
        heard, looks = -1, 0
        while not child.ended.is_set():
            looks = looks + 1 if child.heard == heard else 0
            heard = child.heard
            if looks == _LOOKS_IN_SILENCE:
                _log.warning("the %s gives no sign of life: it is killed", child.name)
                child.signal(signal.SIGKILL)
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS):
                    await child.ended.wait()

    def _start_ledger(self) -> Child:
        return self._child(_LEDGER, "engine.serving.ledger_process", 0, [self._ledger], self._shared)

    def _start_worker(self, index: int) -> Child:
        certificate = -1 if self.certificates is None else self.certificates.handed_over()
        with self._address.for_worker() as public:
            listeners = [public, self._control, *self._gateways]
            return self._child(f"worker {index}", _WORKER, index, listeners, self._shared, certificate)

    def _child(
        self,
        name: str,
        module: str,
        index: int,
        listeners: list[socket.socket],
        environment: dict[str, str],
        certificate: int = -1,
    ) -> Child:
        folder = self.lock.runtime / f"{module.rpartition('.')[2]}-{index}"
        shutil.rmtree(folder, ignore_errors=True)  # the sockets of one that was killed
        folder.mkdir(mode=0o700)
        descriptors = [each.fileno() for each in listeners]
        given = Given(
            home=str(self.settings.home),
            values=dict(self.settings.values),
            opa=str(self.opa.path),
            index=index,
            folder=str(folder),
            socket=str(self._socket),
            listeners=descriptors,
            certificate=certificate,
        )
        keeps = descriptors if certificate < 0 else [*descriptors, certificate]
        child = self._children[name] = Child(name, module, given, keeps, environment)
        return child

    def _tell(self) -> None:
        """Another certificate is in use: tell the workers. One that is just beginning finds that soon by itself."""
        for child in self._children.values():
            if child.name != _LEDGER and child.works:
                child.signal(signal.SIGHUP)

    def _stop(self) -> None:
        """End in order; asked twice, workers do not wait for what is under way."""
        if self._enough.is_set():
            for child in self._children.values():
                if child.name != _LEDGER:
                    child.signal(signal.SIGTERM)
        self._enough.set()

    async def _end(self) -> None:
        for task in self._keeping:
            task.cancel()
        await asyncio.gather(*self._keeping, return_exceptions=True)
        ledger = self._children.pop(_LEDGER, None)
        await asyncio.gather(*(child.stop(2 * DRAIN_SECONDS) for child in self._children.values()))
        if ledger is not None:
            await ledger.stop(_LEDGER_SECONDS)
        self._address.close()
        for each in (self._control, self._ledger, *self._gateways):
            each.close()
