"""The application behind the hot lane, loaded while decisions are answered already.

It is most of what a start loads, and no decision needs it. Whoever asks for anything of it before it is there waits.
"""

from __future__ import annotations

import asyncio
from importlib import import_module

from starlette.types import ASGIApp, Receive, Scope, Send

from engine.api import problems
from engine.api.gateway import Gateways
from engine.api.services import Services
from engine.errors import Unavailable

_MODULE = "engine.api.app"


class Behind:
    """ASGI. `load` has to be run beside it, once."""

    def __init__(self, found: Services, gateways: Gateways) -> None:
        self._found, self._gateways = found, gateways
        self._app: asyncio.Future[ASGIApp] = asyncio.get_running_loop().create_future()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand on, as soon as there is an application."""
        try:
            app = await asyncio.shield(self._app)
        except Unavailable as error:
            app = problems.of(error)
        await app(scope, receive, send)

    async def load(self) -> None:
        """Load it; raises whatever keeps it from being loaded, and from then on every request is told so."""
        try:
            await asyncio.to_thread(import_module, _MODULE)
            from engine.api.app import application

            self._app.set_result(application(self._found, self._gateways))
        except Exception:
            self._app.set_exception(Unavailable("this service could not load all of itself, and ends: send it again"))
            self._app.exception()  # seen, also where nobody waits
            raise
