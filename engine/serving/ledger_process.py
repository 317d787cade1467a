"""The ledger's process: the one writer, behind a Unix socket. Run as a program by the parent."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import time
from pathlib import Path

import uvloop

from engine.home import Home
from engine.observing.metrics import Metrics
from engine.serving import given
from engine.serving.given import Given
from ledger.errors import HomeLocked, LedgerError
from ledger.remote.owner import OwnedLedger
from ledger.remote.server import LedgerServer

_PATIENCE_SECONDS = 3.0
_LOOK_SECONDS = 0.25


async def keep(told: Given) -> int:
    """Write until the parent says that it is enough, or the writer has ended by a mistake of ours."""
    beating = asyncio.create_task(given.beat())
    home = Home(Path(told.home))
    ledger = await _open(home)
    metrics = Metrics(told.settings.metrics_dir)
    ledger.measured = metrics.committed
    server = LedgerServer(ledger, home.path)
    enough = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, enough.set)
    await server.start(socket.socket(fileno=told.listeners[0]))
    given.ready()
    while server.ledger.alive and not enough.is_set():
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                await enough.wait()
        except TimeoutError:
            continue
    await server.stop()
    beating.cancel()
    return 0 if enough.is_set() else 3


async def _open(home: Home) -> OwnedLedger:
    """The one before this, if it was killed, may hold the file for a moment."""
    until = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return OwnedLedger(home.database)
        except HomeLocked:
            if time.monotonic() > until:
                raise
            await asyncio.sleep(_LOOK_SECONDS / 10)


def main() -> int:
    """Returns the exit status."""
    told = given.take()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            return runner.run(keep(told))
        except (LedgerError, OSError) as exc:
            return given.refuse(str(exc), busy=True)


if __name__ == "__main__":
    sys.exit(main())
