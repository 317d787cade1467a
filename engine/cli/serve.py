"""`muster serve`: the service in the foreground, until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from engine.access.caller import Principal, operator
from engine.api.app import OperatorSocket, create_app
from engine.api.services import Services
from engine.cli.client import find_opa
from engine.cli.output import UNAVAILABLE, YES, progress
from engine.cli.setup import build_and_store, make_home
from engine.entries.tokens import Tokens
from engine.entries.writer import Once, Writer
from engine.home import CONTROL_SOCKET, Busy, Home, write_private
from engine.runtime import DEFAULT_TENANT, Runtime
from engine.settings import Settings, TcpListen, UnixListen
from engine.training.keeper import Keeper

_KEEP_ALIVE_SECONDS = 120
_DRAIN_SECONDS = 10


async def serve(settings: Settings, *, demo: bool) -> int:
    """Serve until SIGTERM or SIGINT. `demo` makes the home where there is none, activates what is configured where that
    has changed, and leaves tokens for a day in `demo.env`."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    home = Home(settings.home)
    opa = find_opa(settings)
    if demo and not home.exists():
        progress(f"making a home in {home.path}")
        token, _ = await make_home(settings, opa)
        progress(f"the first admin token, shown once: {token}")
    home.check()
    async with Runtime(settings=settings, home=home, opa=opa) as runtime:
        if demo:
            await _activate_configured(runtime)
            await _leave_tokens(runtime, settings)
        listeners = [_listen(settings.listen), _control(runtime.lock.runtime)]
        address = _address(listeners[0])
        app = create_app(runtime)
        server = _Server(
            uvicorn.Config(
                _Split(app, str(runtime.lock.runtime / CONTROL_SOCKET)),
                lifespan="off",
                ws="none",
                http="h11",
                proxy_headers=False,
                server_header=False,
                log_config=None,
                access_log=False,
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=_DRAIN_SECONDS,
            )
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, server.stop)
        found: Services = app.state.services
        aside = (Keeper(found.attempts), found.checkpoints, found.witnesses)
        beside = [asyncio.create_task(what.run()) for what in aside]
        serving = asyncio.create_task(server.serve(sockets=listeners))
        listening = asyncio.create_task(server.listening.wait())
        await asyncio.wait({serving, listening}, return_when=asyncio.FIRST_COMPLETED)
        listening.cancel()
        progress(f"Muster is listening on {address}, home {home.path}")
        if demo:
            progress(_try_next(address, home.path))
        await serving
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        return YES if server.started else UNAVAILABLE


class _Server(uvicorn.Server):
    """uvicorn, but for signals: it raises a captured one again when it is done, which would end us before the ledger
    and OPA are closed."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say so."""
        await super().startup(sockets)
        self.listening.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to `serve`."""
        yield

    def stop(self) -> None:
        """Finish what is under way, and end; asked twice, end at once."""
        self.force_exit = self.should_exit
        self.should_exit = True


class _Split:
    """The operator's socket and the public one are the same application, but for who is calling."""

    def __init__(self, app: ASGIApp, control: str) -> None:
        self.public, self.operator, self.control = app, OperatorSocket(app), control

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        server = scope.get("server")
        inside = server is not None and server[0] == self.control and server[1] is None
        await (self.operator if inside else self.public)(scope, receive, send)


async def _activate_configured(runtime: Runtime) -> None:
    revision = build_and_store(runtime.settings, runtime.home, runtime.opa).revision
    if DEFAULT_TENANT not in runtime.tenants() or runtime.active(DEFAULT_TENANT).revision != revision:
        progress(f"activating revision {revision[:12]}, built from what is configured")
        await runtime.activate(DEFAULT_TENANT, revision, operator(DEFAULT_TENANT), "what is configured has changed")


async def _leave_tokens(runtime: Runtime, settings: Settings) -> None:
    """Tokens for a day, one for each role that the demo plays."""
    tokens = Tokens(Writer(runtime))
    caller = operator(DEFAULT_TENANT)
    lines = [f"export MUSTER_URL='{_url(settings.listen)}'"]
    for role in ("admin", "app", "gateway", "author", "auditor"):
        principal = Principal(type="system", id=f"demo-{role}")
        secret, _ = await tokens.create(role, principal, "P1D", Once.of(caller, None, role))
        lines.append(f"export {role.upper()}='{secret.text}'")
    write_private(runtime.home.path / "demo.env", "\n".join(lines) + "\n")


def _listen(where: TcpListen | UnixListen) -> socket.socket:
    try:
        if isinstance(where, UnixListen):
            return _bind_unix(where.path, 0o660)
        family = socket.AF_INET6 if ":" in where.host else socket.AF_INET
        # The protocol is named, or asyncio does not see TCP and leaves Nagle on: 40 ms an answer.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((where.host, where.port))
    except OSError as exc:
        raise Busy(f"cannot listen on {_url(where)}: {exc.strerror}; choose another MUSTER_LISTEN") from exc
    return listener


def _control(runtime: Path) -> socket.socket:
    return _bind_unix(runtime / CONTROL_SOCKET, 0o600)


def _bind_unix(path: Path, mode: int) -> socket.socket:
    """Bind a socket with the mode that is wanted from its first moment; one that a dead process left is replaced."""
    if path.is_socket() and not _alive(path):
        path.unlink()
    listener = socket.socket(socket.AF_UNIX)
    before = os.umask(0o777 & ~mode)
    try:
        listener.bind(str(path))
    finally:
        os.umask(before)
    return listener


def _alive(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def _address(listener: socket.socket) -> str:
    name = listener.getsockname()
    if isinstance(name, str):
        return f"unix:{name}"
    host = f"[{name[0]}]" if ":" in name[0] else name[0]
    return f"http://{host}:{name[1]}"


def _url(where: TcpListen | UnixListen) -> str:
    if isinstance(where, UnixListen):
        return f"unix:{where.path}"
    return f"http://{where.host}:{where.port}"


def _try_next(address: str, home: Path) -> str:
    return f"""
Try, in another terminal:

  . {home}/demo.env
  curl -s $MUSTER_URL/v1/decisions -H "Authorization: Bearer $GATEWAY" -H 'Content-Type: application/json' -d '{{
    "subject": {{"type": "user", "id": "ada"}}, "action": {{"name": "data-export"}},
    "resource": {{"type": "dataset", "id": "customers", "properties": {{"customer": "acme"}}}},
    "context": {{"destination": "warehouse://analytics", "ticket": "REQ-1", "columns": ["customer_id"]}}}}'
  curl -s "$MUSTER_URL/v1/next-required-training?user=ada&action=data-export" -H "Authorization: Bearer $APP"
  .venv/bin/muster learn link ada   # a link to My training, as ada (once you have added her: see make demo)
  make demo                     # the whole story, each request and answer
  .venv/bin/muster replay       # every decision again, byte for byte
  .venv/bin/muster ledger verify

{address}/docs has every call. Stop with Ctrl-C.
"""
