"""What is written down of an ask that cannot be answered, and what is told where nothing can be written down."""

from __future__ import annotations

import asyncio
import json
import socket
from urllib.parse import urlsplit

import grpc
import pytest

from engine.access.caller import Caller, Principal
from engine.decide.asking import Asking
from engine.errors import Undecided
from tests.adapters.gateway.edge import TICKET, Edge, Stub
from tests.adapters.gateway.test_envoy import check, request
from tests.service.running import until
from tests.service.test_killed import opas
from tests.stillness import stopped


@pytest.mark.parametrize("user", ["ada", None])
def test_what_could_not_say_whether_a_gateway_may_ask_is_recorded(edge: Edge, user: str | None) -> None:
    """OPA is silent before the first ask: 503 in time, and a record of the gateway that names nobody."""
    edge.service.stop()
    edge.service.start()
    with stopped(opas(edge.service)):
        got = edge.ask("nginx", user)
        assert (got.status, got.problem["cause"]) == (503, "timeout"), got.body
    record = edge.record(got.decision)
    assert record["answer"] is None
    assert record["undecided"]["cause"] == "timeout"
    assert record["request"]["subject"] == {"type": "gateway", "id": "nginx", "known": False}
    assert record["request"]["reason"] == "undecided"
    assert record["via"] == {"gateway": "nginx", "credential": "key"}
    until(lambda: edge.ask("nginx", "ada").status == 200, "the next good one passes")
    until(lambda: edge.ask("tokens", more=[TICKET, edge.bearer("ada")]).status == 200, "the issuer's keys are there")
    edge.service.muster("replay", "--id", got.decision)


def test_whether_a_gateway_may_ask_is_told_in_time_or_not_decided() -> None:
    """A verdict that does not come before the time is over is neither yes nor no."""

    async def never(_: Caller) -> str:
        await asyncio.Event().wait()
        raise AssertionError

    async def ask() -> None:
        caller = Caller(tenant="default", role="gateway", principal=Principal(type="system", id="edge"), token_id=None)
        until = asyncio.get_running_loop().time() + 0.01
        await Asking(caller=caller, again=lambda: caller, request_id="1", permit=never, until=until).permitted()

    with pytest.raises(Undecided) as raised:
        asyncio.run(ask())
    assert raised.value.cause == "timeout"


@pytest.mark.parametrize(
    ("host", "recorded"),
    [
        ("API.example:8443", "api.example"),
        ("api.example.", "api.example"),
        ("anybody's text <b>", None),
        ("a" * 200, None),
        ("user@api.example", None),
        ("api..example", None),
    ],
)
def test_a_host_is_recorded_only_where_it_is_one(edge: Edge, host: str, recorded: str | None) -> None:
    """Whatever else a client writes there does not get into the log."""
    got = edge.ask("nginx", "ada", target="/nowhere", host=host)
    assert got.status == 403
    record = edge.record(got.decision)
    if record["request"]["reason"] == "ambiguous_ask":
        assert record["request"]["asked"] == {}
    else:
        assert record["request"]["asked"]["host"] == recorded
    assert recorded is not None or host not in json.dumps(record)


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"MADEUP /v1/forward-auth HTTP/1.1\r\nHost: api.example\r\n\r\n", 400),
        (b"GET /v1/forward-auth HTTP/1.1\r\nHost: api.example\r\nX-A: " + b"a" * 33_000 + b"\r\n\r\n", 431),
        (b"GET /v1/forward-auth HTTP/1.1\r\nHost: api.example\r\nTransfer-Encoding: xchunked\r\n\r\n", 400),
        (b"GET /v1/forward-auth HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n", 400),
        (b"GET /v1/forward-auth HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", 400),
        (b"GET /v1/forward-auth HTTP/1.1\r\nHost : api.example\r\n\r\n", 400),
    ],
)
def test_what_is_no_http_is_told_so_and_passes_nowhere(edge: Edge, head: bytes, status: int) -> None:
    """A problem document, which no gateway takes for a pass; nothing is recorded, and each is answered."""
    size = edge.size()
    at = urlsplit(edge.service.url)
    with socket.create_connection((at.hostname, at.port), timeout=10) as client:
        client.sendall(head)
        answer = b"".join(iter(lambda: client.recv(65_536), b""))
    line, _, rest = answer.partition(b"\r\n")
    assert line.startswith(b"HTTP/1.1 %d " % status), answer[:200]
    assert b"application/problem+json" in rest
    assert json.loads(rest.partition(b"\r\n\r\n")[2])["status"] == status
    assert edge.size() == size


def test_a_message_that_is_too_large_is_an_error_and_no_answer(edge: Edge) -> None:
    """gRPC's own, which Envoy tells by `status_on_error`; nothing is recorded."""
    size = edge.size()
    large = request("ada", more=[("x-large", b"a" * (5 << 20))])
    with grpc.insecure_channel(edge.check) as channel, pytest.raises(grpc.RpcError) as raised:
        check(Stub(channel), edge, large)
    assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert edge.size() == size
