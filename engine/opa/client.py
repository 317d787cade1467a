"""Asks one OPA over its Unix socket: opa-python-client's AsyncOpaClient, with what that lacks.

Adds the socket (`wire`, in the place of the client's session), our own deadline, and checks of the answer: an
`AsyncOpaClient` takes an undefined result for `{}` and repeats a 500 three times. Asks by POST /v1/data only (OPA's
REST API, "Get a Document with Input"): /v1/query does not honour strict builtin errors. Sends the caller's bytes as
they are.
"""

from __future__ import annotations

import asyncio
import json
import re
from functools import lru_cache
from pathlib import Path

from opa_client.opa_async import AsyncOpaClient

from engine.opa import answers
from engine.opa.errors import CouldNotDecide
from engine.opa.process import MAX_BODY_BYTES
from engine.opa.wire import Wire
from ledger.canonical import JSON

_ENTRYPOINT = re.compile(r"[a-z_]+(/[a-z_]+)+")
_QUERY = "strict-builtin-errors=true&provenance=true"


class OpaClient(AsyncOpaClient):
    """A client of the OPA on `socket`; answers count only if they come from `revision`."""

    def __init__(self, socket: Path, revision: str) -> None:
        super().__init__(host="opa", retries=0)
        self._socket = socket
        self._revision = revision

    async def open(self) -> None:
        """Make the session; connections are made when they are needed."""
        await self._init_session()

    async def _init_session(self) -> None:
        self._session = Wire(self._socket, answers.MAX_BYTES)

    async def query(self, entrypoint: str, body: bytes, deadline: float) -> JSON:
        """The result of `entrypoint` (a path below /v1/data) for the input `body`, within `deadline` seconds.

        At the deadline the connection is closed, which ends the evaluation in OPA. Raises CouldNotDecide.
        """
        question = b'{"input":%b}' % body
        if len(question) > MAX_BODY_BYTES:
            raise CouldNotDecide("opa-error", f"the input is longer than {MAX_BODY_BYTES} bytes")
        target = _target(entrypoint)
        if self._session is None:
            raise CouldNotDecide("opa-down", "the connection to OPA is closed")
        try:
            async with asyncio.timeout(deadline), self._request("POST", target, data=question) as response:
                status, data = response.status, response.body
        except TimeoutError as exc:
            raise CouldNotDecide("timeout", f"OPA did not answer {entrypoint} within {deadline:.3g} s") from exc
        except OSError as exc:
            raise CouldNotDecide("opa-down", f"OPA went away: {exc or type(exc).__name__}") from exc
        if status != 200:
            raise CouldNotDecide("opa-error", f"OPA answered {entrypoint} with {status}: {_named(data)}")
        answer = answers.read(data)
        if _revisions(answer) != [self._revision]:
            raise CouldNotDecide("wrong-revision", f"OPA answered from another revision than {self._revision[:12]}")
        if "result" not in answer:
            raise CouldNotDecide("undefined", f"{entrypoint} is undefined for this input")
        return answer["result"]


@lru_cache(maxsize=64)
def _target(entrypoint: str) -> str:
    if not _ENTRYPOINT.fullmatch(entrypoint):  # a record that is replayed may name anything
        raise CouldNotDecide("undefined", "this is not the name of an entrypoint")
    return f"/v1/data/{entrypoint}?{_QUERY}"


def _revisions(answer: dict[str, JSON]) -> list[JSON]:
    """The revisions of all bundles that OPA answered from: there must be exactly one."""
    provenance = answer.get("provenance")
    bundles = provenance.get("bundles") if isinstance(provenance, dict) else None
    if not isinstance(bundles, dict):
        return []
    return [bundle.get("revision") if isinstance(bundle, dict) else None for bundle in bundles.values()]


def _named(data: bytes) -> str:
    """OPA's code and place for an error, without its message: that quotes the input, which is about a person."""
    try:
        error = json.loads(data)
        inner = (error.get("errors") or [error])[0]
        place = inner.get("location") or {}
        where = f" at {place['file']}:{place['row']}" if place.get("file") else ""
        return f"{inner.get('code')}{where}"[:200]
    except (ValueError, AttributeError, KeyError, IndexError, TypeError, RecursionError):
        return "an error that could not be read"
