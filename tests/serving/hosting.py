"""A ledger in one thread and its client in another, with the socket between them: as two processes have it."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from ledger.clock import Clock
from ledger.remote import RemoteLedger
from ledger.remote.owner import OwnedLedger
from ledger.remote.server import LedgerServer
from ledger.sqlite import SqliteReader

T = TypeVar("T")


class Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run one coroutine in it, and wait."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    def end(self) -> None:
        """End it."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


class Host:
    """What stands for the ledger's process."""

    def __init__(self, database: Path, listener: socket.socket, clock: Clock | None = None) -> None:
        self.ledger = OwnedLedger(database, clock=clock)
        self._loop = Loop()
        self.server = self._loop.run(self._start(database.parent, listener))

    async def _start(self, home: Path, listener: socket.socket) -> LedgerServer:
        server = LedgerServer(self.ledger, home)
        await server.start(listener.dup())
        return server

    def stop(self) -> None:
        """End as on SIGTERM."""
        self._loop.run(self.server.stop())
        self._loop.end()


class HostedLedger(RemoteLedger):
    """A RemoteLedger that ends with its loop and with its host."""

    host: Host
    own: Loop

    def close(self) -> None:
        """Close the client, its loop, and the ledger."""
        super().close()
        self.own.end()
        self.host.stop()


def listening(path: Path) -> socket.socket:
    """A bound Unix socket."""
    listener = socket.socket(socket.AF_UNIX)
    path.unlink(missing_ok=True)
    listener.bind(str(path))
    listener.listen()
    return listener


def hosted(database: Path, clock: Clock | None = None) -> tuple[HostedLedger, SqliteReader]:
    """A ledger behind a socket, and a reader of it."""
    path = database.with_suffix(".sock")
    with listening(path) as listener:
        host = Host(database, listener, clock)
    own = Loop()
    ledger = own.run(HostedLedger.connect(database, path, clock=clock))
    assert isinstance(ledger, HostedLedger)
    ledger.host, ledger.own = host, own
    return ledger, ledger.reader()
