"""What bad input gets: a problem document that names the place; never a 500, never an allow."""

from __future__ import annotations

import json
import re
import socket
from typing import Any

import pytest

from tests.service.running import Service, export

GOOD = json.dumps(export("u")).encode()


def post(service: Service, content: bytes, **headers: str) -> Any:
    """A decision request with these very bytes."""
    return service.http(
        "POST",
        "/v1/decisions",
        role="gateway",
        content=content,
        headers={"Content-Type": "application/json", **headers},
    )


@pytest.mark.parametrize(
    ("content", "status", "place"),
    [
        (b"", 400, ""),
        (b"{", 400, ""),
        (b"[]", 400, ""),
        (b"null", 400, ""),
        (b"\xff\xfe{}", 400, ""),
        (b"\xef\xbb\xbf" + GOOD, 400, ""),
        (GOOD + b"x", 400, ""),
        (GOOD.replace(b'"REQ-1"', b'"\xff"'), 400, ""),
        (GOOD.replace(b'"REQ-1"', rb'"\ud800"'), 400, "/context/ticket"),
        (GOOD.replace(b'"ticket"', rb'"\ud800"'), 400, "/context"),
        (GOOD.replace(b'"REQ-1"', b"NaN"), 400, "/context/ticket"),
        (GOOD.replace(b'"REQ-1"', b"Infinity"), 400, "/context/ticket"),
        (GOOD.replace(b'"REQ-1"', b"1e400"), 400, "/context/ticket"),
        (GOOD.replace(b'"REQ-1"', b"9007199254740993"), 400, "/context/ticket"),
        (GOOD.replace(b'"REQ-1"', b"[" * 40 + b"]" * 40), 400, "/context/ticket"),
        (GOOD.replace(b'"ticket"', b'"ticket": "REQ-9", "ticket"'), 400, "/context"),
        (b'{"subject": 1,' + GOOD[1:], 400, ""),
        (GOOD.replace(b'"REQ-1"', b'"' + b"x" * 5000 + b'"'), 400, "/context/ticket"),
        (GOOD.replace(b'"REQ-1"', json.dumps(["x"] * 257).encode()), 400, "/context/ticket"),
        (GOOD.replace(b'"REQ-1"', b'"' + b"x" * 70_000 + b'"'), 413, ""),
        (b"[" * 60_000, 400, ""),
        (json.dumps({**export("u"), "time": "2020-01-01T00:00:00.000Z"}).encode(), 400, "/time"),
        (json.dumps({**export("u"), "subject": {"id": "u"}}).encode(), 400, "/subject/type"),
        (json.dumps({**export("u"), "subject": {"type": "user", "id": ""}}).encode(), 400, "/subject/id"),
        (json.dumps({**export("u"), "subject": {"type": "user", "id": 7}}).encode(), 400, "/subject/id"),
        (json.dumps({**export("u"), "action": {}}).encode(), 400, "/action/name"),
        (json.dumps({**export("u"), "context": []}).encode(), 400, "/context"),
        (json.dumps({"subject": {"type": "user", "id": "u"}}).encode(), 400, "/action"),
        (json.dumps(export("u", destination=7)).encode(), 400, "/context/destination"),
        (json.dumps(export("u", columns="all")).encode(), 400, "/context/columns"),
        (json.dumps(export("u", columns=[1])).encode(), 400, "/context/columns/0"),
        (json.dumps(export("u", approvals={})).encode(), 400, "/context/approvals"),
    ],
)
def test_malformed_bodies_are_400_with_the_place(service: Service, content: bytes, status: int, place: str) -> None:
    """Each kind of malformed body gets a problem document that names the field."""
    answer = post(service, content)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    if place:
        assert any(e["pointer"].startswith(place) for e in problem["errors"]), problem


def test_the_content_type_must_be_json(service: Service) -> None:
    """Another content type is malformed, whatever the bytes."""
    assert post(service, GOOD, **{"Content-Type": "text/plain"}).status_code == 400


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Basic dXNlcjpwYXNz"},
        {"Authorization": "Bearer x"},
        {"Authorization": "Bearer mst.default.x.y"},
        {"Authorization": "Bearer mst.other.01890000-0000-7000-8000-000000000000." + "a" * 43},
        {"Authorization": "Bearer mst.default.01890000-0000-7000-8000-000000000000." + "a" * 43},
    ],
)
def test_strangers_are_401_and_leave_no_record(service: Service, headers: dict[str, str]) -> None:
    """No token, or none that is known: 401 with a challenge, and the ledger does not grow."""
    service.token("auditor")
    size = service.call("auditor", "GET", "/v1/ledger/head")["size"]
    answer = service.http("POST", "/v1/decisions", json=export("u"), headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert service.call("auditor", "GET", "/v1/ledger/head")["size"] == size


def test_roles_are_kept_apart(service: Service) -> None:
    """What a role may not do is 403, decided by Rego."""
    service.person("rae")
    service.call("auditor", "POST", "/v1/decisions", export("rae"), want=403)
    service.call("gateway", "PUT", "/v1/subjects/rae", {}, want=403)
    service.call("app", "POST", "/v1/tokens", {"role": "admin", "principal": "system:x"}, want=403)
    service.call("admin", "POST", "/v1/approvals", export("rae"), want=403)
    service.call("gateway", "GET", "/v1/ledger/head", want=403)
    service.call("user:rae", "POST", "/v1/decisions", export("someone-else"), want=403)


def test_nobody_waives_for_themselves(service: Service) -> None:
    """A two-person rule compares principals, not tokens."""
    service.person("sam")
    own = service.call("admin", "POST", "/v1/tokens", {"role": "admin", "principal": "user:sam"})["token"]
    service.tokens["sam-as-admin"] = own
    waiver = {"user": "sam", "scope": "data-export", "reason": "r", "until": "2199-01-01T00:00:00.000Z"}
    service.call("sam-as-admin", "POST", "/v1/waivers", waiver, want=403)


def test_a_deactivated_person_holds_no_token(service: Service) -> None:
    """Whatever their role: the call after the deactivation is 401."""
    service.person("ulf")
    made = service.call("admin", "POST", "/v1/tokens", {"role": "admin", "principal": "user:ulf"})
    service.tokens["ulf-as-admin"] = made["token"]
    service.call("ulf-as-admin", "GET", "/v1/tokens")
    service.person("ulf", active=False)
    service.call("ulf-as-admin", "GET", "/v1/tokens", want=401)
    service.person("ulf")
    service.call("ulf-as-admin", "GET", "/v1/tokens")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("principal", "system:operator"),
        ("principal", "user:someone "),
        ("principal", "someone"),
        ("role", "root"),
        ("expires", "P1M"),
        ("expires", "P\u0661D"),
        ("expires", "PT0S"),
    ],
)
def test_odd_tokens_are_not_issued(service: Service, field: str, value: str) -> None:
    """Names that only look like somebody's, roles and durations that are none."""
    wanted = {"role": "admin", "principal": "user:someone", field: value}
    problem = service.call("admin", "POST", "/v1/tokens", wanted, want=400)
    assert [e["pointer"] for e in problem["errors"]] == [f"/{field}"]


def test_a_body_that_is_cut_off_leaves_no_fault(service: Service) -> None:
    """A caller that goes away in the middle of a body: nothing is recorded, nothing is logged as our fault."""
    host, port = service.url.removeprefix("http://").split(":")
    log = service.home.parent / f"{service.home.name}.log"
    with socket.create_connection((host, int(port))) as connection:
        head = f"POST /v1/decisions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {service.token('gateway')}\r\n"
        connection.sendall(f"{head}Content-Type: application/json\r\nContent-Length: 99\r\n\r\n{{".encode())
    assert service.http("GET", "/healthz").status_code == 200
    assert "Traceback" not in log.read_text("utf-8")


def test_a_revoked_token_is_refused_at_once(service: Service) -> None:
    """The call after the revocation is 401."""
    made = service.call("admin", "POST", "/v1/tokens", {"role": "gateway", "principal": "system:g"})
    service.tokens["doomed"] = made["token"]
    service.call("doomed", "GET", "/v1/gates")
    service.call("admin", "DELETE", f"/v1/tokens/{made['id']}")
    service.call("doomed", "GET", "/v1/gates", want=401)


def test_an_idempotency_key_has_its_effect_once(service: Service) -> None:
    """The same key and request give the first entry; another request under the key is 409."""
    service.person("tom")
    body = {"user": "tom", "track": "operations/core", "reason": "r", "until": "2199-01-01T00:00:00.000Z"}
    key = {"Idempotency-Key": "waive-tom"}
    first = service.call("admin", "POST", "/v1/waivers", body, headers=key)
    assert service.call("admin", "POST", "/v1/waivers", body, headers=key) == first
    service.call("admin", "POST", "/v1/waivers", {**body, "reason": "s"}, want=409, headers=key)


def test_an_import_is_checked_whole_before_anything_is_written(service: Service) -> None:
    """Every wrong row and field is named, and no row is written."""
    service.person("una")
    service.token("author")
    service.token("auditor")
    size = service.call("auditor", "GET", "/v1/ledger/head")["size"]
    good = {
        "user": "una", "module": "secure-data-export", "version": "1.0.0", "tier": "completed",
        "passed_at": "2026-01-01T00:00:00.000Z", "reason": "r", "provenance": "p",
    }  # fmt: skip
    rows = [
        good,
        {**good, "user": "ghost"},
        {**good, "module": "nope"},
        {**good, "tier": "proficient"},
        {**good, "tier": "certified"},
        {**good, "passed_at": "2026-01-01"},
        {**good, "passed_at": "2199-01-01T00:00:00.000Z"},
        {**good, "version": "one"},
        {**good, "extra": "x"},
        {k: v for k, v in good.items() if k != "reason"},
    ]
    problem = service.call("author", "POST", "/v1/results/import", {"results": rows}, want=400)
    assert {e["pointer"] for e in problem["errors"]} == {
        "/results/1/user", "/results/2/module", "/results/3/tier", "/results/4/tier", "/results/5/passed_at",
        "/results/6/passed_at", "/results/7/version", "/results/8/extra", "/results/9/reason",
    }  # fmt: skip
    assert service.call("auditor", "GET", "/v1/ledger/head")["size"] == size
    done = service.call("author", "POST", "/v1/results/import", {"results": [good, good]})["imported"]
    assert [r["repeated"] for r in done] == [False, True]


def test_stray_and_double_parameters_are_refused(service: Service) -> None:
    """A mistyped or doubled parameter is told, not ignored."""
    service.call("app", "GET", "/v1/is-certified?user=a&scope=b&teir=completed", want=400)
    service.call("app", "GET", "/v1/is-certified?user=a&user=b&scope=b", want=400)
    service.call("app", "GET", "/v1/is-certified?user=a", want=400)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/nothing",
        "/v1/subjects/u%0a",
        "/v1/subjects/u%00",
        "/v1/decisions/none",
        "/v1/subjects/%FF",
        "/v1/is-certified?user=%ff",
    ],
)
def test_odd_paths_get_problem_documents(service: Service, path: str) -> None:
    """Unknown paths and ones that are not UTF-8 are problems too, never a 500."""
    answer = service.http("GET", path, role="auditor")
    assert answer.status_code in (400, 404)
    assert answer.headers["content-type"] == "application/problem+json"


def test_the_documentation_is_whole_and_ours(service: Service) -> None:
    """OpenAPI describes every body and who may call; its page loads nothing from anybody else."""
    document = service.http("GET", "/openapi.json").json()
    assert "$ref" not in json.dumps(document["paths"]["/v1/decisions"]["post"]["requestBody"])
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], path
            takes_one = method in ("post", "put") and path != "/v1/ledger/checkpoint"  # "now" says it all
            assert ("requestBody" in operation) == takes_one, path
    page = service.http("GET", "/docs").text
    assert "://" not in page.replace("http://www.w3.org", "")
    for asset in re.findall(r'(?:src|href)="([^"]+)"', page):
        assert service.http("GET", asset).status_code == 200


def test_the_request_id_is_echoed(service: Service) -> None:
    """On every answer, and made where there was none or an odd one."""
    assert service.http("GET", "/healthz", headers={"X-Request-ID": "abc-1"}).headers["x-request-id"] == "abc-1"
    assert len(service.http("GET", "/healthz").headers["x-request-id"]) == 36
    assert service.http("POST", "/v1/decisions").headers["x-request-id"]
