# Only what engine.opa.client uses of opa-python-client 3, which has no types of its own.

from contextlib import AbstractAsyncContextManager

from aiohttp import BaseConnector, ClientResponse, ClientSession
from yarl import URL

class AsyncOpaClient:
    host: str
    port: int
    retries: int
    headers: dict[str, str] | None
    root_url: str
    _session: ClientSession | None
    _connector: BaseConnector | None
    def __init__(
        self,
        host: str = ...,
        port: int = ...,
        version: str = ...,
        ssl: bool = ...,
        cert: str | tuple[str, str] | None = ...,
        headers: dict[str, str] | None = ...,
        token: str | None = ...,
        retries: int = ...,
        timeout: float = ...,
    ) -> None: ...
    async def _init_session(self) -> None: ...
    def _request(
        self, method: str, url: str | URL, *, data: bytes | None = ...
    ) -> AbstractAsyncContextManager[ClientResponse]: ...
    async def close_connection(self) -> None: ...
