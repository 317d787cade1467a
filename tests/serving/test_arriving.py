"""Connections that come while there is much to do."""

from __future__ import annotations

import asyncio
import socket
import time
from concurrent.futures import Future

from starlette.types import Receive, Scope, Send

from tests.serving.answering import Answering

CONNECTIONS = 300


async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - as ASGI has it
    """Answers."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


async def turns(until: Future[None]) -> int:
    """Makes each turn of the loop a long one; how many there were."""
    many = 0
    while not until.done():
        many += 1
        time.sleep(0.02)  # noqa: ASYNC251 - on purpose
        await asyncio.sleep(0)
    return many


def test_a_crowd_is_taken_in_a_few_turns() -> None:
    """However long a turn of the loop takes, who comes is taken in it, with everybody else who has come."""
    answering = Answering(app)
    with answering.running():
        assert answering.loop is not None
        answered = Future[None]()
        counted = asyncio.run_coroutine_threadsafe(turns(answered), answering.loop)
        connections = [socket.create_connection(("127.0.0.1", answering.port)) for _ in range(CONNECTIONS)]
        for connection in connections:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        for connection in connections:
            connection.settimeout(60)
            assert connection.recv(1000).endswith(b"ok")
        answered.set_result(None)
        assert counted.result(60) < CONNECTIONS / 2
        assert answering.crowd.here == CONNECTIONS
        for connection in connections:
            connection.close()
    assert answering.crowd.here == 0
