"""`muster serve`: the service in the foreground, until it is told to stop."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
from importlib import import_module
from pathlib import Path

import uvloop

from engine.access.caller import Principal, operator
from engine.cli.client import find_opa
from engine.cli.output import UNAVAILABLE, YES, progress
from engine.home import Home, HomeLock, write_private
from engine.opa.binary import OpaBinary
from engine.runtime import DEFAULT_TENANT, Runtime
from engine.serving import listening
from engine.serving.renewing import Certificates
from engine.settings import Settings


def serve(settings: Settings, *, demo: bool, workers: int | None) -> int:
    """Serve until SIGTERM or SIGINT. `demo` makes the home where there is none, activates what is configured where that
    has changed, and leaves tokens for a day in `demo.env`. `workers` is over what is configured."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    count = workers or settings.workers
    if count == 1:
        gc.disable()  # until there is something to answer: hardly anything that a start makes is garbage
    with asyncio.Runner(loop_factory=uvloop.new_event_loop if count == 1 else None) as runner:
        return runner.run(_serve(settings, demo=demo, workers=count))


async def _serve(settings: Settings, *, demo: bool, workers: int) -> int:
    home = Home(settings.home)
    listening.place(settings)  # what is refused is refused before anything is made
    listening.for_envoy(settings)
    certificates = None
    if settings.tls is not None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # "read your files again" may come before anybody listens to it
        certificates = Certificates.load(settings.tls)
    opa = find_opa(settings)
    if demo and not home.exists():
        from engine.cli.setup import make_home  # knows how sources are built

        progress(f"making a home in {home.path}")
        token, _ = await make_home(settings, opa)
        progress(f"the first admin token, shown once: {token}")
    home.check()
    if workers == 1:
        return await _one(settings, home, opa, certificates, demo=demo)
    return await _many(settings, home, opa, certificates, demo=demo, workers=workers)


async def _one(settings: Settings, home: Home, opa: OpaBinary, certificates: Certificates | None, *, demo: bool) -> int:
    """Everything in this process."""
    # The application takes longer to import than anything else here to start: meanwhile OPA checks and loads.
    importing = asyncio.get_running_loop().run_in_executor(None, import_module, "engine.serving.service")
    async with Runtime(settings=settings, home=home, opa=opa) as runtime:
        await importing
        from engine.serving import service

        if demo:
            await _prepare(runtime)
        sockets = service.Sockets(
            public=listening.listen(settings),
            control=listening.control(runtime.folder),
            gateways=listening.gateways(settings),
            certificates=certificates,
        )
        address = listening.address(sockets.public, settings.scheme)
        served = await service.serve(runtime, sockets, beside=True, listening=lambda: _tell(address, home, demo=demo))
        return YES if served else UNAVAILABLE


async def _many(
    settings: Settings, home: Home, opa: OpaBinary, certificates: Certificates | None, *, demo: bool, workers: int
) -> int:
    """A process for the ledger, and several that answer."""
    from engine.serving.parent import Parent

    lock = HomeLock(home)
    try:
        if demo:
            async with Runtime(settings=settings, home=home, opa=opa, held=lock) as runtime:
                await _prepare(runtime)
        parent = Parent(settings=settings, opa=opa, lock=lock, workers=workers, certificates=certificates)
        await parent.run(lambda address: _tell(address, home, demo=demo))
    finally:
        lock.release()
    return YES


def _tell(address: str, home: Home, *, demo: bool) -> None:
    progress(f"Muster is listening on {address}, home {home.path}")
    if demo:
        progress(_try_next(address, home.path))


async def _prepare(runtime: Runtime) -> None:
    await _activate_configured(runtime)
    await _leave_tokens(runtime, runtime.settings)


async def _activate_configured(runtime: Runtime) -> None:
    from engine.cli.setup import build_and_store

    revision = build_and_store(runtime.settings, runtime.home, runtime.opa).revision
    if not runtime.has(DEFAULT_TENANT) or runtime.active(DEFAULT_TENANT).revision != revision:
        progress(f"activating revision {revision[:12]}, built from what is configured")
        await runtime.activate(DEFAULT_TENANT, revision, operator(DEFAULT_TENANT), "what is configured has changed")


async def _leave_tokens(runtime: Runtime, settings: Settings) -> None:
    """Tokens for a day, one for each role that the demo plays."""
    from engine.entries.tokens import Tokens
    from engine.entries.writer import Once, Writer

    tokens = Tokens(Writer(runtime))
    caller = operator(DEFAULT_TENANT)
    lines = [f"export MUSTER_URL='{listening.url(settings)}'"]
    for role in ("admin", "app", "gateway", "author", "auditor"):
        principal = Principal(type="system", id=f"demo-{role}")
        secret, _ = await tokens.create(role, principal, "P1D", Once.of(caller, None, role))
        lines.append(f"export {role.upper()}='{secret.text}'")
    write_private(runtime.home.path / "demo.env", "\n".join(lines) + "\n")


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
