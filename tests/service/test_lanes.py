"""The hot lane and the application behind it answer alike, whatever they are sent."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.api.decisions import DecisionBody
from engine.api.envelope import BODY_LIMIT
from engine.api.hot import _Odd, _question
from engine.api.reading import validate
from engine.decide.request import Request
from engine.errors import BadRequest
from ledger import strict
from ledger.errors import StrictError
from tests.service.running import PLAIN, Service, export

BEHIND = {"Idempotency-Key": "1"}
"""A header that decisions have no use for: the hot lane hands such a request on."""


def both(service: Service, **request: Any) -> list[httpx.Response]:
    """The same request by each lane."""
    headers = request.pop("headers", {})
    url = service.url + "/v1/decisions"
    return [httpx.post(url, headers={**headers, **more}, timeout=30, verify=PLAIN, **request) for more in ({}, BEHIND)]


def alike(hot: httpx.Response, behind: httpx.Response) -> None:
    """The same status, headers and document, but for what names the one answer."""
    own = {"decision_id", "at"}
    documents = [
        {k: v for k, v in json.loads(answer.content).items() if k not in own} if answer.content else None
        for answer in (hot, behind)
    ]
    assert documents[0] == documents[1]
    assert hot.status_code == behind.status_code
    volatile = {"date", "x-request-id", "content-length"}
    headers = [{k: v for k, v in answer.headers.items() if k not in volatile} for answer in (hot, behind)]
    assert headers[0] == headers[1]
    for answer in (hot, behind):
        assert answer.headers["x-request-id"]
        assert int(answer.headers["content-length"]) == len(answer.content)


def bearer(service: Service, role: str = "gateway") -> dict[str, str]:
    """The header of a role."""
    return {"Authorization": f"Bearer {service.token(role)}"}


ODD_BODIES: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"{",
    "an array": b"[]",
    "null": b"null",
    "no fields": b"{}",
    "a key twice": json.dumps(export("lanes")).encode().replace(b'"ticket"', b'"columns"'),
    "a field of nobody's": json.dumps({**export("lanes"), "now": "2026-01-01T00:00:00.000Z"}).encode(),
    "a subject of nobody's": json.dumps({**export("lanes"), "subject": {"type": "user", "id": "a", "x": 1}}).encode(),
    "an empty ID": json.dumps({**export("lanes"), "subject": {"type": "user", "id": ""}}).encode(),
    "a long ID": json.dumps({**export("lanes"), "subject": {"type": "user", "id": "x" * 1025}}).encode(),
    "a number as ID": json.dumps({**export("lanes"), "subject": {"type": "user", "id": 7}}).encode(),
    "properties null": json.dumps({**export("lanes"), "action": {"name": "x", "properties": None}}).encode(),
    "context a list": json.dumps({**export("lanes"), "context": []}).encode(),
    "1e400": json.dumps(export("lanes", size=17)).encode().replace(b"17", b"1e400"),
    "a float": json.dumps(export("lanes", size=1.5)).encode(),
    "an integer spelled as float": json.dumps(export("lanes", size=1.0)).encode(),
    "a large integer": json.dumps(export("lanes", size=2**53)).encode(),
    "a lone surrogate": json.dumps(export("lanes", note="\ud800")).encode(),
    "not UTF-8": json.dumps(export("lanes")).encode().replace(b"REQ-1", b"REQ\xff1"),
    "a wrong type": json.dumps(export("lanes", columns="customer_id")).encode(),
    "deep": json.dumps(export("lanes", note=json.loads("[" * 40 + "]" * 40))).encode(),
    **{
        f"{n} levels": json.dumps(export("lanes", x="#")).encode().replace(b'"#"', b"[" * n + b"]" * n)
        for n in (250, 300, 1100)
    },
    "a long array": json.dumps(export("lanes", columns=["a"] * 257)).encode(),
    "a long text": json.dumps(export("lanes", note="x" * 4097)).encode(),
    "too long": json.dumps(export("lanes", note=["x" * 4000] * 20)).encode(),
    "pretty": json.dumps(export("lanes"), indent=2).encode(),
    "compact": json.dumps(export("lanes"), separators=(",", ":")).encode(),
    "an unknown action": json.dumps({**export("lanes"), "action": {"name": "nothing"}}).encode(),
    "an unknown person": json.dumps(export("nobody-here")).encode(),
    "a person as resource": json.dumps({**export("lanes"), "resource": {"type": "user", "id": "lanes"}}).encode(),
}


@pytest.mark.parametrize("name", ODD_BODIES)
def test_bodies(service: Service, name: str) -> None:
    """Whatever the body: one text for each mistake, one answer for each question."""
    service.person("lanes")
    headers = {**bearer(service), "Content-Type": "application/json"}
    alike(*both(service, content=ODD_BODIES[name], headers=headers))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer x"},
        {"Authorization": "Basic eDp5"},
        {"Authorization": "bearer mst.default.00000000-0000-7000-8000-000000000000." + "A" * 43},
        {"Authorization": "Bearer mst.nowhere.00000000-0000-7000-8000-000000000000." + "A" * 43},
    ],
    ids=str,
)
def test_who_is_calling(service: Service, headers: dict[str, str]) -> None:
    """No token, half a token, an unknown one."""
    alike(*both(service, json=export("lanes"), headers=headers))


def test_two_authorizations(service: Service) -> None:
    """Two tokens in one request are one too many."""
    headers = [("Authorization", bearer(service)["Authorization"])] * 2
    url = service.url + "/v1/decisions"
    hot = httpx.post(url, headers=headers, json=export("lanes"))
    behind = httpx.post(url, headers=[*headers, *BEHIND.items()], json=export("lanes"))
    alike(hot, behind)
    assert hot.status_code == 400


@pytest.mark.parametrize("role", ["gateway", "app", "admin", "auditor", "author", "user:lanes", "user:other"])
def test_who_may(service: Service, role: str) -> None:
    """The same roles may ask, the same people about themselves only."""
    service.person("lanes")
    alike(*both(service, json=export("lanes"), headers=bearer(service, role)))


@pytest.mark.parametrize("kind", ["text/plain", "application/json; charset=utf-8", "APPLICATION/JSON", "", "json"])
def test_content_type(service: Service, kind: str) -> None:
    """JSON is said to be JSON."""
    headers = {**bearer(service), "Content-Type": kind}
    alike(*both(service, content=json.dumps(export("lanes")), headers=headers))


def test_a_query_and_a_path_that_only_look_like_it(service: Service) -> None:
    """A stray parameter is refused, and an escaped path is the same path."""
    headers = bearer(service)
    assert httpx.post(service.url + "/v1/decisions?x=1", headers=headers, json=export("lanes")).status_code == 400
    assert httpx.post(service.url + "/v1/%64ecisions", headers=headers, json=export("lanes")).status_code == 200
    assert httpx.get(service.url + "/v1/decisions", headers=headers).status_code == 405
    assert httpx.post(service.url + "/v1/decisions/", headers=headers, json=export("lanes")).status_code == 404


def test_the_callers_request_id(service: Service) -> None:
    """A usable ID is echoed and recorded, another one is replaced."""
    for sent, echoed in (("abc-1", True), ("an ID of 256 characters at most", True), ("x" * 257, False), ('a"b', True)):
        hot = httpx.post(
            service.url + "/v1/decisions",
            headers={**bearer(service), "X-Request-ID": sent},
            json=export("lanes"),
        )
        assert (hot.headers["x-request-id"] == sent) is echoed
        record = service.call("auditor", "GET", f"/v1/decisions/{hot.json()['decision_id']}")
        assert record["request_id"] == hot.headers["x-request-id"]


def test_a_body_in_pieces(service: Service) -> None:
    """However the bytes arrive, the question is the same."""
    whole = json.dumps(export("lanes")).encode()
    headers = {**bearer(service), "Content-Type": "application/json"}

    def pieces(size: int) -> Any:
        return (whole[i : i + size] for i in range(0, len(whole), size))

    for size in (1, 7, 100):
        answer = httpx.post(service.url + "/v1/decisions", headers=headers, content=pieces(size), timeout=30)
        assert answer.status_code == 200


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**54), 2**54) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def questions(draw: st.DrawFn) -> bytes:
    """A question with some of its parts replaced, taken out, or joined by others."""
    body: dict[str, Any] = export("lanes")
    for _ in range(draw(st.integers(0, 3))):
        part = draw(st.sampled_from([body, *(v for v in body.values() if isinstance(v, dict))]))
        key = draw(st.sampled_from([*part, "properties", "x"]))
        if draw(st.booleans()):
            part[key] = draw(JSON_VALUES)
        else:
            part.pop(key, None)
    spaces = draw(st.sampled_from([None, (",", ":"), (" ,", ": ")]))
    return json.dumps(body, separators=spaces, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")


def read_behind(body: bytes) -> Request | None:
    """The question as the application behind reads it; None where it refuses."""
    try:
        return validate(DecisionBody, strict.read(body, max_bytes=BODY_LIMIT)).request()
    except (StrictError, BadRequest):
        return None


@settings(max_examples=2000, deadline=None)
@given(body=questions())
def test_the_hot_lane_reads_nothing_that_the_other_refuses(body: bytes) -> None:
    """Both read the same question, and what one does not take the other does not."""
    try:
        hot: Request | None = _question(body)
    except _Odd:
        hot = None
    assert hot == read_behind(body)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=questions())
def test_answers_to_anything_are_alike(service: Service, body: bytes) -> None:
    """Over the wire, too."""
    headers = {**bearer(service), "Content-Type": "application/json"}
    alike(*both(service, content=body, headers=headers))
