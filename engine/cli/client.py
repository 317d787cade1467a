"""How a command reaches the application: through the running service, or in process when none runs.

Writing commands go through the service's control socket, whose file only the home's owner can open. When no service
runs, the same application is started here, under the home's lock. With `MUSTER_TOKEN` set the command acts as that
token's principal, else as the operator.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.access.caller import TENANT_HEADER
from engine.cli.output import progress
from engine.errors import BadRequest
from engine.home import Busy, Home, running
from engine.opa import binary
from engine.settings import Settings
from ledger.model import JSON

if TYPE_CHECKING:
    import httpx

_TIMEOUT_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and body of a call, parsed where it is JSON."""

    status: int
    body: JSON


@asynccontextmanager
async def connected(settings: Settings, tenant: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application, wherever it runs."""
    import httpx  # takes a tenth of a second, and `serve` does without

    headers = {TENANT_HEADER: tenant}
    token = os.environ.get("MUSTER_TOKEN")
    if token:
        headers["Authorization"] = f"Bearer {token}"
    home = Home(settings.home)
    home.check()
    service = running(home)
    if service is not None:
        transport = httpx.AsyncHTTPTransport(uds=str(service.control))
        async with _client(transport, headers) as client:
            yield client
        return
    # Only here is the whole application needed: most commands speak to a running service, and shall not wait for it.
    from engine.api.app import OperatorSocket, create_app
    from engine.runtime import Runtime

    async with (
        Runtime(settings=settings, home=home, opa=find_opa(settings)) as runtime,
        _client(httpx.ASGITransport(OperatorSocket(create_app(runtime))), headers) as client,
    ):
        yield client


def call(
    settings: Settings,
    tenant: str,
    method: str,
    path: str,
    body: JSON = None,
    params: dict[str, str] | None = None,
) -> Answer:
    """One call; raises Busy if the service goes away meanwhile."""

    async def once() -> Answer:
        async with connected(settings, tenant) as client:
            return await send(client, method, path, body, params)

    return asyncio.run(once())


async def send(
    client: httpx.AsyncClient, method: str, path: str, body: JSON = None, params: dict[str, str] | None = None
) -> Answer:
    """One call over a connected client."""
    import httpx

    try:
        response = await client.request(method, path, json=body, params=params)
    except httpx.InvalidURL as exc:
        raise BadRequest(f"an argument holds characters that cannot be sent: {exc}") from exc
    except httpx.TransportError as exc:
        raise Busy(f"the running service does not answer: {exc!r}") from exc
    is_json = "json" in response.headers.get("content-type", "")
    return Answer(response.status_code, response.json() if is_json else response.text)


def find_opa(settings: Settings) -> binary.OpaBinary:
    """The OPA that this configuration uses; installs it where there is none."""
    return binary.find(settings.opa_bin, settings.cache, progress=progress)


def _client(transport: httpx.AsyncBaseTransport, headers: dict[str, str]) -> httpx.AsyncClient:
    import httpx

    return httpx.AsyncClient(transport=transport, base_url="http://muster", headers=headers, timeout=_TIMEOUT_SECONDS)
