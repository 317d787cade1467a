"""A worker: the whole service but for the ledger's writer, with an OPA of its own. Run as a program by the parent."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from pathlib import Path

import uvloop

from engine.errors import MusterError
from engine.home import Busy, Home, Shared
from engine.opa import binary
from engine.opa.errors import OpaError
from engine.runtime import Runtime
from engine.serving import given
from engine.serving.given import Given
from engine.serving.renewing import Certificates
from engine.serving.service import Sockets, serve
from ledger.errors import LedgerError


async def work(told: Given) -> int:
    """Serve until the parent says that it is enough."""
    beating = asyncio.create_task(given.beat())
    settings = told.settings
    opa = binary.find(Path(told.opa), settings.cache)
    shared = Shared(runtime=Path(told.folder), socket=Path(told.socket))
    public, control, *gateways = (socket.socket(fileno=number) for number in told.listeners)
    certificates = None if settings.tls is None else Certificates.taken_over(settings.tls, told.certificate)
    sockets = Sockets(public=public, control=control, gateways=gateways, certificates=certificates)
    async with Runtime(settings=settings, home=Home(settings.home), opa=opa, shared=shared) as runtime:
        served = await serve(runtime, sockets, beside=told.index == 0, listening=given.ready)
        beating.cancel()
        return 0 if served else given.refuse("it could not load all of itself; its log says why", busy=True)


def main() -> int:
    """Returns the exit status."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # whoever serves listens to it
    told = given.take()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            return runner.run(work(told))
        except (MusterError, LedgerError, OpaError, OSError) as exc:
            return given.refuse(str(exc), busy=isinstance(exc, Busy | LedgerError | OpaError))


if __name__ == "__main__":
    sys.exit(main())
