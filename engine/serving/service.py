"""The service in one process, over a runtime that has been started: HTTP, and what runs beside it."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from engine.api.app import create_app, served
from engine.api.services import Services
from engine.observing.metrics import Metrics
from engine.runtime import Runtime
from engine.serving.http import Server, Split, config
from engine.training.keeper import Keeper

_REFRESH_SECONDS = 1.0


async def serve(
    runtime: Runtime, listeners: Sequence[socket.socket], control: Path, *, beside: bool, listening: Callable[[], None]
) -> bool:
    """Serve until SIGTERM or SIGINT; whether it ever listened. `listening` is called when it does.

    `beside`: whether this process also keeps time's entries, checkpoints and witnesses; one of a service's does.
    """
    app = create_app(runtime)
    _settle_down()
    server = Server(config(Split(served(app), control)))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, server.stop)
    found: Services = app.state.services
    aside = (Keeper(found.attempts), found.checkpoints, found.witnesses) if beside else ()
    running = [asyncio.create_task(what.run()) for what in aside]
    if runtime.settings.metrics_dir is not None:
        running.append(asyncio.create_task(_refresh(found.metrics)))
    told = asyncio.create_task(_tell(server, listening))
    try:
        await server.serve(sockets=list(listeners))
    finally:
        for task in (*running, told):
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*running, told, return_exceptions=True)
        found.metrics.close()
        if found.tracing is not None:
            await asyncio.to_thread(found.tracing.close)
    return server.started


def _settle_down() -> None:
    """What is loaded now stays: the collector need not look at it again, and rarely at all. One pass over some hundred
    thousand objects takes tens of milliseconds, in which nobody is answered."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


async def _refresh(metrics: Metrics) -> None:
    """What is read when somebody asks another worker has to be there before."""
    while True:
        metrics.refresh()
        await asyncio.sleep(_REFRESH_SECONDS)


async def _tell(server: Server, listening: Callable[[], None]) -> None:
    await server.listening.wait()
    listening()
