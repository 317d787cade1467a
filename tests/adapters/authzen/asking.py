"""Asks an AuthZEN decision point."""

from __future__ import annotations

import json
from typing import Any

import httpx

from tests.service.running import ROOT, Service

EXAMPLE = ROOT / "examples" / "authzen"
PUBLIC = "https://pdp.example.com"

ALICE = {"type": "user", "id": "alice"}
BOB = {"type": "user", "id": "bob"}
ADMIN = {**BOB, "properties": {"role": "admin"}}
READ, WRITE = {"name": "read"}, {"name": "write"}
RECORD_1, RECORD_2 = ({"type": "record", "id": f"record-{n}"} for n in (1, 2))
ACTIVE = {**RECORD_1, "properties": {"status": "active"}}
ARCHIVED = {**RECORD_2, "properties": {"status": "archived"}}
CONTEXT = {"time": "2025-06-27T18:03-07:00", "ip": "192.168.1.1"}


HTTP = httpx.Client(timeout=30)
"""Connections of the whole session: to make a client anew for each request takes longer than the request."""


def asked(subject: Any, action: Any, resource: Any, **more: Any) -> dict[str, Any]:
    """The body of a request; None leaves a part out."""
    parts = {"subject": subject, "action": action, "resource": resource, **more}
    return {key: value for key, value in parts.items() if value is not None}


def post(service: Service, path: str, body: Any, *, role: str | None = "gateway", **more: Any) -> httpx.Response:
    """One request below /access/v1, of JSON or of bytes."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", **more.pop("headers", {})}
    if role is not None:
        headers["Authorization"] = f"Bearer {service.token(role)}"
    return HTTP.post(f"{service.url}/access/v1/{path}", content=content, headers=headers, **more)


def answered(service: Service, path: str, body: Any, **more: Any) -> Any:
    """The document of a request that is answered."""
    answer = post(service, path, body, **more)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    return answer.json()


def refused(service: Service, path: str, body: Any, status: int = 400, **more: Any) -> Any:
    """The problem document of a request that is not."""
    answer = post(service, path, body, **more)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.json()


def pointers(problem: Any) -> list[str]:
    """The places that a problem document names."""
    return [error["pointer"] for error in problem.get("errors", [])]


def size(service: Service) -> int:
    """How many entries the log has, once the tokens that are used most have been made."""
    service.token("gateway")
    return int(_read(service, "/v1/ledger/head")["size"])


def record(service: Service, decision_id: str) -> Any:
    """What the ledger says of a decision."""
    return _read(service, f"/v1/decisions/{decision_id}")


def _read(service: Service, path: str) -> Any:
    answer = HTTP.get(service.url + path, headers={"Authorization": f"Bearer {service.token('auditor')}"})
    assert answer.status_code == 200, answer.text
    return answer.json()


def ids(answer: Any) -> list[str]:
    """Whom a search has found."""
    return [found.get("id") or found["name"] for found in answer["results"]]
