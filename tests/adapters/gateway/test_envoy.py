"""Envoy's own protocol: what a CheckRequest is answered over gRPC, by a client of gRPC's authors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from engine.adapters.gateway import messages
from tests.adapters.gateway.edge import EXPORT, Edge, Stub
from tests.service.running import until
from tests.service.test_killed import opas
from tests.stillness import stopped

METADATA = "envoy.filters.http.jwt_authn"
Raw = list[tuple[str, bytes]]


@pytest.fixture
def stub(edge: Edge) -> Iterator[Any]:
    """The service's client."""
    with grpc.insecure_channel(edge.check) as channel:
        yield Stub(channel)


def request(
    user: str | None = "ada",
    target: str = EXPORT,
    *,
    raw: bool = True,
    claims: Any = None,
    ticket: bytes = b"REQ-1",
    more: Raw | None = None,
) -> Any:
    """What Envoy says of a request; with `encode_raw_headers` the headers stand in a map of bytes."""
    lines: Raw = [(":method", b"POST"), (":path", target.encode()), ("x-ticket", ticket), *(more or [])]
    if user is not None:
        lines.append(("x-user", user.encode()))
    headers = [messages.HeaderValue(key=name, raw_value=value) for name, value in lines]
    http = messages.HttpRequest(
        method="POST",
        path=target,
        host="api.example",
        headers={} if raw else {name: value.decode("latin-1") for name, value in lines},
        header_map=messages.HeaderMap(headers=headers) if raw else None,
    )
    metadata = {}
    if claims is not None:
        told = messages.Struct()
        told.update({"payload": claims})
        metadata[METADATA] = told
    return messages.CheckRequest(
        attributes=messages.AttributeContext(
            request=messages.Request(http=http),
            metadata_context=messages.Metadata(filter_metadata=metadata),
        )
    )


def check(stub: Any, edge: Edge, asked: Any, key: str | None = "envoy-grpc") -> Any:
    """One call with a gateway's key."""
    return stub.Check(asked, metadata=[("muster-gateway-key", edge.keys[key])] if key else [], timeout=10)


@pytest.mark.parametrize("raw", [True, False])
def test_allow_is_code_0_and_overwrites(edge: Edge, stub: Any, raw: bool) -> None:
    """What the client has sent under Muster's names is overwritten or removed before the backend sees it."""
    got = check(stub, edge, request(raw=raw, more=[("muster-decision-id", b"mine"), ("muster-problem", b"mine")]))
    assert got.status.code == 0
    headers = {option.header.key: option.header.value for option in got.ok_response.headers}
    record = edge.record(headers["muster-decision-id"])
    assert record["answer"]["allow"] is True
    assert record["via"]["gateway"] == "envoy-grpc"
    assert headers["muster-assertion"].count(".") == 2
    overwrite = messages.OVERWRITE_IF_EXISTS_OR_ADD
    assert all(option.append_action == overwrite for option in got.ok_response.headers)
    assert {"muster-problem", "muster-gateway-key"} <= set(got.ok_response.headers_to_remove)
    assert got.dynamic_metadata["decision_id"] == headers["muster-decision-id"]


def test_deny_is_code_7_with_the_document(edge: Edge, stub: Any) -> None:
    """403, the remedy, and the decision's ID."""
    got = check(stub, edge, request("bob"))
    assert (got.status.code, got.denied_response.status.code) == (7, 403)
    document = json.loads(got.denied_response.body)
    assert edge.record(document["decision_id"])["answer"]["allow"] is False
    assert "ok_response" not in [name.name for name, _ in got.ListFields()]


def test_nobody_is_code_16(edge: Edge, stub: Any) -> None:
    """Nobody who is known, and no gateway that is known; only the first is recorded."""
    got = check(stub, edge, request(None))
    assert (got.status.code, got.denied_response.status.code) == (16, 401)
    size = edge.size()
    stranger = check(stub, edge, request(), key=None)
    assert (stranger.status.code, stranger.denied_response.status.code) == (16, 401)
    assert edge.size() == size


def test_a_silent_opa_is_a_denied_503(edge: Edge, stub: Any) -> None:
    """Never a gRPC error, which `failure_mode_allow` would take for an allow."""
    with stopped(opas(edge.service)):
        got = check(stub, edge, request("bob", ticket=b"REQ-555555"))
        assert (got.status.code, got.denied_response.status.code) == (14, 503)
    until(lambda: check(stub, edge, request()).status.code == 0, "the next good one passes")


@pytest.mark.parametrize(
    "asked",
    [
        messages.CheckRequest(),
        request(target=""),
        request(target="/../admin"),
        request(target="/caf\u00e9\u4e2d"),
        request(more=[("x-ticket", b"\xff\xfe")]),
        request(more=[("x-user", b"root")]),
        request(more=[(f"x-{n}", b"1") for n in range(300)]),
    ],
)
def test_what_cannot_be_read_is_never_an_allow(edge: Edge, stub: Any, asked: Any) -> None:
    """An empty request, odd paths, bytes that are no text, a second name, too many headers."""
    got = check(stub, edge, asked)
    assert got.status.code in (7, 16)
    assert got.denied_response.status.code in (401, 403)


def test_what_envoy_has_verified_is_held_against_the_issuer(edge: Edge, stub: Any) -> None:
    """Claims of a pinned issuer name the subject; any others nobody."""
    now = 2_000_000_000.0
    good = {"iss": edge.provider.issuer, "aud": ["api"], "sub": "ada", "exp": now, "iat": 1_700_000_000.0}
    got = check(stub, edge, request(None, claims=good), key="mesh")
    assert got.status.code == 0, got
    for wrong in (None, {}, {**good, "iss": "https://evil.example"}, {**good, "aud": "x"}, {**good, "exp": 1.0}):
        assert check(stub, edge, request("ada", claims=wrong), key="mesh").status.code == 16


def test_a_gateway_over_http_does_not_ask_here(edge: Edge, stub: Any) -> None:
    """And Envoy's profile does not ask over HTTP."""
    assert check(stub, edge, request(), key="nginx").status.code == 7
    headers = [("Host", "api.example"), ("Muster-Gateway-Key", edge.keys["envoy-grpc"]), ("X-User", "ada")]
    assert edge.raw("POST", "/v1/forward-auth" + EXPORT, headers).status == 403
