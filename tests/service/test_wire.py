"""What reaches the service before there is a request: slow, endless, broken and crowded connections."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from urllib.parse import urlsplit

import httpx
import pytest

from engine.serving import wire
from tests.service.running import PLAIN, Service, export


def connect(service: Service) -> socket.socket:
    """A connection of ours alone."""
    where = urlsplit(service.url)
    assert where.hostname
    assert where.port
    made = socket.create_connection((where.hostname, where.port), timeout=30)
    made.settimeout(30)
    return made


def answer(connection: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def test_a_connection_that_says_half_a_thing_is_closed(service: Service) -> None:
    """Half a head gets 408 after ten seconds, silence is closed; and meanwhile others are answered."""
    with closing(connect(service)) as half, closing(connect(service)) as silent:
        half.sendall(b"POST /v1/decisions HTTP/1.1\r\nHost: x\r\nContent-")
        began = time.monotonic()
        assert service.http("GET", "/healthz").status_code == 200
        assert b"408" in answer(half).split(b"\r\n")[0]
        assert answer(silent) == b""
        assert wire.HEAD_SECONDS * 0.8 < time.monotonic() - began < wire.HEAD_SECONDS * 2


def test_a_head_without_an_end(service: Service) -> None:
    """One endless line, or many lines: refused at a bound, not kept."""
    with closing(connect(service)) as endless:
        endless.sendall(b"GET /healthz HTTP/1.1\r\nX: ")
        try:
            for _ in range(1000):
                endless.sendall(b"x" * 1024)
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert answer(endless)[:12] in (b"HTTP/1.1 431", b"")
    with closing(connect(service)) as many:
        many.sendall(b"GET /healthz HTTP/1.1\r\n" + b"".join(b"X-%d: 1\r\n" % n for n in range(200)) + b"\r\n")
        assert answer(many).startswith(b"HTTP/1.1 431")


@pytest.mark.parametrize(
    "request_",
    [
        b"\x00\x01\x02\x03\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/decisions HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /v1/decisions HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcde",
        b"POST /v1/decisions HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/decisions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost : x\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\nX: 1\r\n\r\n",
    ],
    ids=lambda raw: repr(raw[:60]),
)
def test_what_is_no_http_gets_a_problem_document(service: Service, request_: bytes) -> None:
    """Never a 200, never a 500; a problem document, and the connection is closed."""
    with closing(connect(service)) as broken:
        broken.sendall(request_)
        broken.shutdown(socket.SHUT_WR)
        head, _, body = answer(broken).partition(b"\r\n\r\n")
    status = int(head.split(b" ")[1]) if head else 400
    assert 400 <= status < 500, head
    if head:
        assert b"application/problem+json" in head
        assert json.loads(body)["status"] == status
    assert service.http("GET", "/healthz").status_code == 200


def test_an_upgrade_is_an_ordinary_request(service: Service) -> None:
    """Nobody is switched to another protocol."""
    headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Key": "x", "Sec-WebSocket-Version": "13"}
    assert httpx.get(service.url + "/healthz", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "framing", [b"Content-Length: %d\r\n\r\n%b", b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n"]
)
def test_a_body_behind_an_upgrade_is_no_request(service: Service, framing: bytes) -> None:
    """The parser takes what follows an upgrade for something else; nothing in it is ever answered."""
    inner = b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Request-ID: smuggled\r\n\r\n"
    with closing(connect(service)) as outer:
        outer.sendall(b"POST /v1/decisions HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: x\r\n")
        head, _, body = (framing % (len(inner), inner)).partition(b"\r\n\r\n")
        outer.sendall(head + b"\r\n\r\n")
        time.sleep(0.2)  # the body comes in another segment
        with suppress(OSError):
            outer.sendall(body)
        found = answer(outer)
    assert found.startswith(b"HTTP/1.1 400")
    assert b"smuggled" not in found


def test_trailers_are_refused(service: Service) -> None:
    """They could say who is calling after that was decided, and have no end."""
    body = json.dumps(export("trailer")).encode()
    with closing(connect(service)) as late:
        late.sendall(
            b"POST /v1/decisions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n" % (len(body), body)
        )
        late.sendall(b"Authorization: Bearer %b\r\n\r\n" % service.token("gateway").encode())
        assert b"HTTP/1.1 200" not in answer(late)


def test_a_trailer_without_an_end(service: Service) -> None:
    """Framing is bounded like a head."""
    with closing(connect(service)) as endless:
        endless.sendall(b"POST /v1/decisions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ")
        sent = 0
        with suppress(OSError):
            for _ in range(2000):
                endless.sendall(b"x" * 4096)
                sent += 4096
                time.sleep(0.0005)
        assert sent < 6 << 20


def test_half_a_body_behind_a_whole_request_is_closed(service: Service) -> None:
    """However the segments fall, a request that does not come whole has its time."""
    with closing(connect(service)) as half:
        half.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nPOST /v1/decisions HTTP/1.1\r\nHost: x\r\nCont")
        began = time.monotonic()
        answer(half)
        assert time.monotonic() - began < wire.HEAD_SECONDS * 2


def test_a_flood_of_pipelined_requests_is_refused(service: Service) -> None:
    """What waits on one connection is bounded."""
    with closing(connect(service)) as many:
        with suppress(OSError):
            many.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 5000)
        assert answer(many).count(b"HTTP/1.1 200") < 100
    assert service.http("GET", "/healthz").status_code == 200


def test_pipelined_requests_are_answered_in_order(service: Service) -> None:
    """Three in one packet."""
    one = b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Request-ID: %d\r\n\r\n"
    with closing(connect(service)) as many:
        many.sendall(b"".join(one % n for n in range(3)))
        text = b""
        while text.count(b"x-request-id") < 3:
            text += many.recv(65536)
    assert [text.index(b"x-request-id: %d" % n) for n in range(3)] == sorted(
        text.index(b"x-request-id: %d" % n) for n in range(3)
    )


def test_a_caller_over_its_rate_is_told_when_to_come_again(new_service: Callable[[], Service]) -> None:
    """429 with Retry-After, for that caller only, in both lanes, and nothing is recorded."""
    service = new_service()
    service.env |= {"MUSTER_CALLER_RATE": "2", "MUSTER_CALLER_BURST": "5"}
    service.start()
    service.person("rated")
    service.token("app")
    headers = {"Authorization": f"Bearer {service.token('gateway')}"}
    size = service.call("admin", "GET", "/v1/ledger/head")["size"]
    for more in ({}, {"Idempotency-Key": "1"}):
        time.sleep(3)  # the bucket fills: five tokens at two a second
        answers = [
            httpx.post(service.url + "/v1/decisions", headers={**headers, **more}, json=export("rated"), verify=PLAIN)
            for _ in range(12)
        ]
        assert [a.status_code for a in answers[:5]] == [200] * 5
        refused = [a for a in answers if a.status_code == 429]
        assert len(refused) >= 5
        assert all(int(a.headers["retry-after"]) >= 1 for a in refused)
        assert refused[0].json()["type"] == "urn:muster:problem:too-many"
        size += 12 - len(refused)
    assert service.decide("rated", role="app")["verdict"] == "deny"
    assert service.call("admin", "GET", "/v1/ledger/head")["size"] == size + 1
    metrics = service.http("GET", "/metrics").text
    assert 'muster_refused_total{reason="rate"}' in metrics
    service.stop()


@pytest.mark.alone
def test_overload_refuses_the_rest_at_once_and_recovers(new_service: Callable[[], Service]) -> None:
    """Far more connections than can be served: some are answered, the others get 503 soon, and then all is well."""
    service = new_service().start()
    service.person("load")
    headers = {"Authorization": f"Bearer {service.token('gateway')}"}
    statuses: list[int] = []
    slowest: list[float] = []

    def ask(number: int) -> None:
        with httpx.Client(headers=headers, timeout=30, verify=PLAIN) as http:
            for turn in range(6):
                began = time.monotonic()
                body = export("load", ticket=f"REQ-{number}{turn}")
                found = http.post(service.url + "/v1/decisions", json=body)
                statuses.append(found.status_code)
                if found.status_code == 503:
                    slowest.append(time.monotonic() - began)
                    assert found.headers["retry-after"]

    crowd = [threading.Thread(target=ask, args=(number,)) for number in range(400)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    assert set(statuses) <= {200, 503}
    assert statuses.count(200) >= 64
    assert [service.decide("load")["verdict"] for _ in range(20)] == ["deny"] * 20
    service.muster("replay")
    service.stop()
