"""What hostile or broken callers send to AuthZEN's endpoints: a 4xx with its reason, never an allow and never a 500."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.adapters.authzen.asking import ALICE, HTTP, READ, RECORD_1, answered, asked, pointers, post, size
from tests.service.running import Service

PATHS = ["evaluation", "evaluations", "search/subject", "search/resource", "search/action"]
GOOD = json.dumps(asked(ALICE, READ, RECORD_1, context={"x": "y"})).encode()
assert b'"y"' in GOOD


BYTES: dict[str, tuple[bytes, int, str]] = {
    "10,000 deep, arrays": (b"[" * 10_000 + b"]" * 10_000, 400, ""),
    "10,000 deep, objects": (b'{"subject":' * 5_000 + b"1" + b"}" * 5_000, 400, ""),
    "10,000 deep, inside": (GOOD.replace(b'"y"', b"[" * 10_000 + b"]" * 10_000), 400, ""),
    "33 deep": (GOOD.replace(b'"y"', b"[" * 32 + b"]" * 32), 400, "/context/x"),
    "5 MB": (b'{"context":{"x":"' + b"a" * 5_000_000 + b'"},' + GOOD[1:], 413, ""),
    "5 MB of blanks": (b" " * 5_000_000 + GOOD, 413, ""),
    "a long text": (GOOD.replace(b'"y"', b'"' + b"a" * 5000 + b'"'), 400, "/context/x"),
    "a duplicate key": (b'{"subject":{"type":"user","id":"bob"},' + GOOD[1:], 400, ""),
    "a duplicate key, escaped": (b'{"\\u0073ubject":{"type":"user","id":"bob"},' + GOOD[1:], 400, ""),
    "a duplicate key in an entity": (GOOD.replace(b'"id": "alice"', b'"id": "bob", "id": "alice"'), 400, "/subject"),
    "1e400": (GOOD.replace(b'"y"', b"1e400"), 400, "/context/x"),
    "-1e400": (GOOD.replace(b'"y"', b"-1e400"), 400, "/context/x"),
    "NaN": (GOOD.replace(b'"y"', b"NaN"), 400, "/context/x"),
    "an integer beyond doubles": (GOOD.replace(b'"y"', b"9007199254740993"), 400, "/context/x"),
    "a lone surrogate": (GOOD.replace(b'"y"', rb'"\ud800"'), 400, "/context/x"),
    "a lone surrogate in a key": (GOOD.replace(b'"x"', rb'"\udfff"'), 400, "/context"),
    "a lone surrogate in an id": (GOOD.replace(b'"alice"', rb'"alice\ud800"'), 400, "/subject/id"),
    "no UTF-8": (GOOD.replace(b'"y"', b'"\xff"'), 400, ""),
    "overlong UTF-8": (GOOD.replace(b'"y"', b'"\xc0\xaf"'), 400, ""),
    "a byte order mark": (b"\xef\xbb\xbf" + GOOD, 400, ""),
    "UTF-16": (GOOD.decode().encode("utf-16"), 400, ""),
    "two documents": (GOOD + GOOD, 400, ""),
    "an array": (b"[" + GOOD + b"]", 400, ""),
    "null": (b"null", 400, ""),
    "a text": (b'"subject"', 400, ""),
    "257 items somewhere": (GOOD.replace(b'"y"', json.dumps([0] * 257).encode()), 400, "/context/x"),
}


@pytest.mark.parametrize(("content", "status", "place"), BYTES.values(), ids=BYTES)
@pytest.mark.parametrize("path", PATHS)
def test_bytes_that_are_no_request(certified: Service, path: str, content: bytes, status: int, place: str) -> None:
    """A problem document that names the place; nothing is recorded."""
    before = size(certified)
    answer = post(certified, path, content)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["detail"]
    if place:
        assert [p.startswith(place) for p in pointers(problem)] == [True]
    assert size(certified) == before


def test_the_next_good_request_is_answered(certified: Service) -> None:
    """After all of that."""
    assert answered(certified, "evaluation", GOOD)["decision"] is True


TYPES: list[Any] = [None, True, 1, 1.5, "", "x", [], [{}], {}, {"type": "user"}, {"id": "alice"}]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("part", ["subject", "action", "resource", "context", "page", "options", "evaluations"])
def test_every_part_of_every_type(certified: Service, path: str, part: str) -> None:
    """200 or 400, never anything else; and never an allow where Alice, reading and record-1 are not all named."""
    for value in TYPES:
        body = {**asked(ALICE, READ, RECORD_1), part: value}
        answer = post(certified, path, body)
        assert answer.status_code in (200, 400), (value, answer.text)
        if answer.status_code == 200 and part in ("subject", "action", "resource") and "decision" in answer.json():
            assert answer.json()["decision"] is False


@pytest.mark.parametrize("path", PATHS)
def test_headers_that_are_odd(certified: Service, path: str) -> None:
    """Two content types, none, another; two tokens, another scheme, an unknown token."""
    token = certified.token("gateway")
    good = [("Authorization", f"Bearer {token}"), ("Content-Type", "application/json")]
    cases: list[tuple[list[tuple[str, str]], int]] = [
        (good, 200),
        ([good[0], ("Content-Type", "application/json; charset=utf-8")], 200),
        ([good[0]], 400),
        ([good[0], ("Content-Type", "application/jsonp")], 400),
        ([good[0], ("Content-Type", "application/x-www-form-urlencoded")], 400),
        ([*good, good[0]], 400),
        ([("Authorization", f"Basic {token}"), good[1]], 401),
        ([("Authorization", "Bearer x"), good[1]], 401),
        ([("Authorization", f"Bearer {token}x"), good[1]], 401),
        ([good[1]], 401),
    ]
    for headers, status in cases:
        answer = HTTP.post(f"{certified.url}/access/v1/{path}", headers=headers, content=GOOD)
        assert answer.status_code == status, (headers[1:], answer.text)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_other_methods(certified: Service, path: str, method: str) -> None:
    """405, and nothing is decided."""
    assert certified.http(method, f"/access/v1/{path}", role="gateway").status_code == 405


@pytest.mark.parametrize("path", ["evaluation/", "Evaluation", "evaluation%2f", "evaluation/x", "search", "search/x"])
def test_other_paths(certified: Service, path: str) -> None:
    """404: no spelling but the one of the specification."""
    assert post(certified, path, GOOD).status_code == 404


def test_a_query_string_is_refused(certified: Service) -> None:
    """400: no parameter is known, so each is a mistake."""
    assert post(certified, "evaluation?tenant=other", GOOD).status_code == 400
