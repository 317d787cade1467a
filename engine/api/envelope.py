"""What is around every request, whichever lane it takes: its ID, and a path and query that are UTF-8."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, TypeAlias
from urllib.parse import unquote_to_bytes

from starlette.types import ASGIApp, Receive, Scope, Send

from engine.api import problems
from engine.errors import BadRequest
from ledger.ids import uuid7

BODY_LIMIT = 64 * 1024
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
Headers: TypeAlias = Iterable[tuple[bytes, bytes]]
"""As ASGI has them, names in lower case."""
_REQUEST_ID = re.compile(r"[!-~](?:[ -~]{0,254}[!-~])?")


def request_id_of(headers: Headers) -> str:
    """The request's ID: the caller's, where it sends a usable one."""
    for name, value in headers:
        if name == b"x-request-id":
            given = value.decode("latin-1")
            return given if _REQUEST_ID.fullmatch(given) else uuid7()
    return uuid7()


def has_body(headers: Headers) -> bool:
    """Whether a request announces a body, which would be taken for what comes next by whoever does not read it."""
    return any(n == b"transfer-encoding" or (n == b"content-length" and v != b"0") for n, v in headers)


class Envelope:
    """ASGI middleware around everything: the request's ID, and a path and query that are UTF-8."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Give each request its ID and each answer the same; refuse what cannot be decoded."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = request_id_of(scope["headers"])
        scope.setdefault("state", {})["request_id"] = request_id

        async def answer(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {
                    **message,
                    "headers": [*message["headers"], (b"x-request-id", request_id.encode())],
                }
            await send(message)

        if not (_readable(scope.get("raw_path") or b"") and _readable(scope.get("query_string") or b"")):
            error = BadRequest("the path or the query is not UTF-8, or holds control characters")
            await problems.of(error)(scope, receive, answer)
            return
        await self.app(scope, receive, answer)


def _readable(encoded: bytes) -> bool:
    """UTF-8 without control characters: a route's `$` would match before a newline, and take `ID%0A` for `ID`."""
    try:
        return not CONTROL.search(unquote_to_bytes(encoded).decode("utf-8"))
    except UnicodeDecodeError:
        return False
