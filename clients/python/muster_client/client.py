"""The clients: `AsyncClient`, and `Client`, which is the same on a loop of its own in a thread.

One deadline holds for all of a call, from the connection to the last byte, so a service that drips bytes cannot hold
its caller. Connections are kept. No redirect is followed, no proxy of the environment is used, and nothing is sent
again: a question that is asked again is another recorded decision, and whether to ask again is the caller's to say.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import ssl
import threading
from collections.abc import Callable, Coroutine, Mapping
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import httpx

from muster_client import answers, calls
from muster_client.answers import Certified, Decision, Module, Raw, Stored
from muster_client.calls import Call, Entity, Token
from muster_client.errors import Undecided

T = TypeVar("T")
MOST_BYTES: Final = 1 << 20
"""An answer that is longer is no answer."""
_KEPT_SECONDS: Final = 30.0
"""Less than the service keeps a connection that is idle, so that it is not closed under a question."""
_SPARE: Final = 0.25


class AsyncClient:
    """Asks one service. Made and closed in one event loop."""

    def __init__(
        self,
        base_url: str,
        *,
        token: Token,
        timeout: float = 1.0,
        uds: str | None = None,
        verify: ssl.SSLContext | bool = True,
        plain_http: bool = False,
    ) -> None:
        """`token` is asked for at each call where it is a callable (a quick one); `uds` is a Unix socket.

        Raises ValueError for an address that would carry the token over a network in the clear.
        """
        self.base_url = calls.base_url(base_url, plain_http=plain_http or uds is not None)
        self.timeout = timeout
        self._token = token
        limits = httpx.Limits(keepalive_expiry=_KEPT_SECONDS)
        self._http = httpx.AsyncClient(
            base_url=self.base_url,
            transport=httpx.AsyncHTTPTransport(verify=verify, trust_env=False, uds=uds, limits=limits),
            timeout=timeout,
            follow_redirects=False,
            trust_env=False,
        )

    async def decide(
        self,
        subject: str | Entity,
        action: str,
        resource: Entity,
        context: Mapping[str, Any] | None = None,
        *,
        request_id: str | None = None,
    ) -> Decision:
        """May this be done now? Raises Undecided; a subject that is a text is the ID of a user."""
        call = calls.decide(subject, action, resource, context, calls.headers(self._token, request_id))
        return await self._asked(call, answers.decision)

    async def certified(
        self,
        user: str,
        scope: str,
        *,
        tier: str | None = None,
        within: str | None = None,
        request_id: str | None = None,
    ) -> Certified:
        """Does this user hold this certification now? Raises Undecided."""
        call = calls.certified(user, scope, tier, within, calls.headers(self._token, request_id))
        return await self._asked(call, answers.certified)

    async def next_required_training(
        self, user: str, action: str, *, request_id: str | None = None
    ) -> tuple[Module, ...]:
        """What the user has to take, in order, before the action can be allowed. Raises Undecided."""
        call = calls.next_required_training(user, action, calls.headers(self._token, request_id))
        return await self._asked(call, answers.modules)

    async def store(
        self,
        subject: str | Entity,
        action: str,
        resource: Entity,
        context: Mapping[str, Any] | None = None,
        *,
        expires_in: str | None = None,
        key: str | None = None,
        request_id: str | None = None,
    ) -> Stored:
        """Store a request beforehand, for a gateway's ask to cite. Raises Undecided: then it may have been stored.

        `expires_in` is an ISO 8601 duration. Sent again with the same `key` it is the same request.
        """
        more = calls.headers(self._token, request_id) | calls.once(key)
        call = calls.store(subject, action, resource, context, expires_in, more)
        return await self._asked(call, answers.stored, 201)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _asked(self, call: Call, parse: Callable[[dict[str, Any], str], T], status: int = 200) -> T:
        try:
            async with asyncio.timeout(self.timeout):
                raw = await self._sent(call)
        except (TimeoutError, httpx.TimeoutException) as exc:
            raise Undecided("timeout", f"there was no answer within {self.timeout:g} s") from exc
        except (httpx.ProtocolError, httpx.DecodingError) as exc:
            raise Undecided("bad-answer", f"the answer is no HTTP, or was cut off: {exc}") from exc
        except (httpx.HTTPError, OSError) as exc:
            raise Undecided("unreachable", f"the service is not reached: {exc or type(exc).__name__}") from exc
        return answers.read(raw, self.base_url, parse, status)

    async def _sent(self, call: Call) -> Raw:
        body = call.body or None
        async with self._http.stream(call.method, call.target, headers=call.headers, content=body) as answer:
            found = bytearray()
            async for part in answer.aiter_raw():
                found += part
                if len(found) > MOST_BYTES:
                    raise Undecided("bad-answer", f"the answer is longer than {MOST_BYTES} bytes")
            headers = {name.lower(): value for name, value in answer.headers.items()}
            return Raw(answer.status_code, headers, bytes(found))


class Client:
    """The same for code that does not know `await`; threads may share it, and a fork begins anew."""

    def __init__(
        self,
        base_url: str,
        *,
        token: Token,
        timeout: float = 1.0,
        uds: str | None = None,
        verify: ssl.SSLContext | bool = True,
        plain_http: bool = False,
    ) -> None:
        """As for AsyncClient."""
        self.base_url = calls.base_url(base_url, plain_http=plain_http or uds is not None)
        self.timeout = timeout
        self._given: dict[str, Any] = {
            "token": token, "timeout": timeout, "uds": uds, "verify": verify, "plain_http": plain_http
        }  # fmt: skip
        self._lock = threading.Lock()
        self._of: int | None = None

    def decide(
        self,
        subject: str | Entity,
        action: str,
        resource: Entity,
        context: Mapping[str, Any] | None = None,
        *,
        request_id: str | None = None,
    ) -> Decision:
        """May this be done now? Raises Undecided; a subject that is a text is the ID of a user."""
        return self._run(lambda it: it.decide(subject, action, resource, context, request_id=request_id))

    def certified(
        self,
        user: str,
        scope: str,
        *,
        tier: str | None = None,
        within: str | None = None,
        request_id: str | None = None,
    ) -> Certified:
        """Does this user hold this certification now? Raises Undecided."""
        return self._run(lambda it: it.certified(user, scope, tier=tier, within=within, request_id=request_id))

    def next_required_training(self, user: str, action: str, *, request_id: str | None = None) -> tuple[Module, ...]:
        """What the user has to take, in order, before the action can be allowed. Raises Undecided."""
        return self._run(lambda it: it.next_required_training(user, action, request_id=request_id))

    def store(
        self,
        subject: str | Entity,
        action: str,
        resource: Entity,
        context: Mapping[str, Any] | None = None,
        *,
        expires_in: str | None = None,
        key: str | None = None,
        request_id: str | None = None,
    ) -> Stored:
        """Store a request beforehand, for a gateway's ask to cite. Raises Undecided: then it may have been stored.

        `expires_in` is an ISO 8601 duration. Sent again with the same `key` it is the same request.
        """
        more = {"expires_in": expires_in, "key": key, "request_id": request_id}
        return self._run(lambda it: it.store(subject, action, resource, context, **more))

    def close(self) -> None:
        """Close the connections and end the thread; the next call begins anew."""
        with self._lock:
            if self._of != os.getpid():
                return
            self._of = None
            asyncio.run_coroutine_threadsafe(self._client.close(), self._loop).result(self.timeout + _SPARE)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, ask: Callable[[AsyncClient], Coroutine[Any, Any, T]]) -> T:
        self._begun()
        running = asyncio.run_coroutine_threadsafe(ask(self._client), self._loop)
        try:
            return running.result(self.timeout + _SPARE)
        except concurrent.futures.TimeoutError as exc:
            running.cancel()
            raise Undecided("timeout", f"there was no answer within {self.timeout:g} s") from exc

    def _begun(self) -> None:
        """The loop's thread, in this process."""
        with self._lock:
            if self._of == os.getpid():
                return
            self._loop = asyncio.new_event_loop()
            self._client = AsyncClient(self.base_url, **self._given)
            self._thread = threading.Thread(target=self._loop.run_forever, name="muster-client", daemon=True)
            self._thread.start()
            self._of = os.getpid()
