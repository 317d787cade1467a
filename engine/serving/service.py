"""The service in one process, over a runtime that has been started: HTTP, and what runs beside it."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from engine.api.gateway import Gateways
from engine.api.hot import HotLane
from engine.api.services import GATEWAY_SCOPE, OPERATOR_SCOPE, Services
from engine.observing.metrics import Metrics
from engine.runtime import Runtime
from engine.serving import crowd
from engine.serving.behind import Behind
from engine.serving.crowd import Crowd
from engine.serving.http import DRAIN_SECONDS, Listener, Server, config
from engine.serving.renewing import Certificates
from engine.serving.shedding import Shedding
from engine.settings import Settings
from engine.training.keeper import Keeper

if TYPE_CHECKING:
    from grpc import aio

_log = logging.getLogger(__name__)

_REFRESH_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sockets:
    """Where one process listens. `gateways` are in the order of the settings; `certificates` are the public one's."""

    public: socket.socket
    control: socket.socket
    gateways: Sequence[socket.socket]
    certificates: Certificates | None


async def serve(runtime: Runtime, sockets: Sockets, *, beside: bool, listening: Callable[[], None]) -> bool:
    """Serve until SIGTERM or SIGINT; whether it ever listened. `listening` is called when it does.

    `beside`: whether this process also keeps time's entries, checkpoints and witnesses; one of a service's does.
    """
    found = Services.of(runtime)
    gateways = Gateways.of(found)
    behind = Behind(found, gateways)
    _settle_down()
    lane = HotLane(behind, found, gateways)
    shedding = partial(Shedding, found.admission, lane.refusal)
    listeners = _listeners(runtime.settings, sockets, shedding, lambda: found.metrics.refuse("connections"))
    server = Server(config(lane), listeners)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, server.stop)
    await gateways.begin()
    envoy = await _for_envoy(runtime.settings, gateways, sockets.certificates)
    aside = (Keeper(found.attempts), found.checkpoints, found.witnesses) if beside else ()
    running = [asyncio.create_task(what.run()) for what in (*aside, gateways)]
    if sockets.certificates is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, sockets.certificates.ask)
        running.append(asyncio.create_task(sockets.certificates.watch()))
    if runtime.settings.metrics_dir is not None:
        running.append(asyncio.create_task(_refresh(found.metrics)))
    told = asyncio.create_task(_tell(server, listening))
    loading = asyncio.create_task(_load(behind, server))
    try:
        await server.serve(sockets=[each.socket for each in listeners])
    finally:
        for task in (*running, told, loading):
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*running, told, loading, return_exceptions=True)
        if envoy is not None:
            await envoy.stop(DRAIN_SECONDS)
        await gateways.keysets.close()
        found.metrics.close()
        if found.tracing is not None:
            await asyncio.to_thread(found.tracing.close)
    return server.started and not _failed(loading)


async def _for_envoy(settings: Settings, gateways: Gateways, certificates: Certificates | None) -> aio.Server | None:
    """Listen for Envoy, where that is wanted; gRPC is not loaded where it is not."""
    if settings.envoy_listen is None:
        return None
    from engine.serving import envoy

    return await envoy.serve(gateways, str(settings.envoy_listen), certificates)


def _listeners(
    settings: Settings, sockets: Sockets, shedding: Callable[[], Shedding], told: Callable[[], None]
) -> list[Listener]:
    """Each socket with its room, and with what says who comes by it. `told` of each connection without
    room; what `shedding` makes refuses requests without room."""
    public, each = crowd.shares(crowd.room(), len(sockets.gateways))
    certificates = sockets.certificates
    return [
        Listener(
            socket=sockets.public,
            crowd=Crowd(public, told),
            marks={},
            shedding=shedding(),
            offered=None if certificates is None else lambda: certificates.offer,
        ),
        Listener(socket=sockets.control, crowd=Crowd(None), marks={OPERATOR_SCOPE: True}),
        *(
            Listener(
                socket=bound,
                crowd=Crowd(each, told),
                marks={GATEWAY_SCOPE: (gateway.tenant, gateway.name)},
                shedding=shedding(),
            )
            for gateway, bound in zip(settings.gateway_sockets, sockets.gateways, strict=True)
        ),
    ]


def _settle_down() -> None:
    """What is loaded now stays: the collector need not look at it again, and rarely at all. One pass over some hundred
    thousand objects takes tens of milliseconds, in which nobody is answered."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    gc.enable()


async def _refresh(metrics: Metrics) -> None:
    """What is read when somebody asks another worker has to be there before."""
    while True:
        metrics.refresh()
        await asyncio.sleep(_REFRESH_SECONDS)


async def _load(behind: Behind, server: Server) -> None:
    """Load the rest once somebody can be answered; a service without it ends."""
    await server.listening.wait()
    try:
        await behind.load()
    except Exception:
        _log.exception("the application behind the decisions cannot be loaded")
        server.stop()
        raise
    gc.freeze()


def _failed(task: asyncio.Task[None]) -> bool:
    """Whether a task ended with an error."""
    return task.done() and not task.cancelled() and task.exception() is not None


async def _tell(server: Server, listening: Callable[[], None]) -> None:
    await server.listening.wait()
    listening()
