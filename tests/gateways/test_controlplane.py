"""Envoy's service, asked by other people's types: a client on go-control-plane and grpc-go, in a process of its own."""

from __future__ import annotations

import base64
import json
import subprocess
from typing import Any

import pytest

from tests.adapters.gateway.edge import EXPORT, Edge
from tests.gateways import tools
from tests.service.running import until
from tests.service.test_killed import opas
from tests.stillness import stopped

OVERWRITE = "OVERWRITE_IF_EXISTS_OR_ADD"
Asks = list[dict[str, Any]]


def ask(edge: Edge, user: str | None = "ada", **changed: Any) -> dict[str, Any]:
    """An ask for the export; its headers as bytes in a map, as `encode_raw_headers` has them."""
    raw = [named(":path", EXPORT.encode()), named("x-ticket", b"REQ-1")]
    raw += [] if user is None else [named("x-user", user.encode())]
    told = {"key": edge.keys["envoy-grpc"], "method": "POST", "host": "api.example", "path": EXPORT, "raw": raw}
    return told | changed


def in_table(edge: Edge, user: str) -> dict[str, Any]:
    """The same, its headers as texts in a table."""
    return ask(edge, raw=None, headers={":path": EXPORT, "x-ticket": "REQ-1", "x-user": user})


def named(name: str, value: bytes) -> dict[str, str]:
    """A header whose value may be any bytes."""
    return {"name": name, "value": base64.b64encode(value).decode()}


def answers(edge: Edge, *asks: dict[str, Any]) -> Asks:
    """What the service said to each, one after the other."""
    lines = "".join(json.dumps(each) + "\n" for each in asks)
    done = subprocess.run(
        [tools.controlplane(), edge.check], input=lines, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    told: Asks = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(told) == len(asks)
    for each in told:
        assert not each["invalid"], "what Envoy's types demand is there"
        assert not each["unknown"], "and nothing that they do not have"
    return told


@pytest.fixture(scope="module", autouse=True)
def _installed(installed: object) -> None:
    assert installed


def test_allow(muster: Edge) -> None:
    """OK, code 0, and headers that overwrite what the client has sent, however Envoy hands them over."""
    for told in answers(muster, ask(muster), in_table(muster, "ada")):
        assert (told["rpc"], told["code"], told["kind"]) == ("OK", 0, "ok")
        assert set(told["headers"]) == {"muster-decision-id", "muster-assertion"}
        assert set(told["actions"]) == {OVERWRITE}
        assert {"muster-problem", "muster-gateway-key"} <= set(told["remove"])
        assert told["headers"]["muster-decision-id"] == told["decision"]
        assert muster.record(told["decision"])["answer"]["allow"] is True


def test_deny(muster: Edge) -> None:
    """OK, code 7, 403 and the document with its remedy."""
    for told in answers(muster, ask(muster, "bob"), in_table(muster, "bob")):
        assert (told["rpc"], told["code"], told["kind"], told["status"]) == ("OK", 7, "denied", 403)
        document = json.loads(told["body"])
        assert document["decision_id"] == told["decision"] == told["headers"]["muster-decision-id"]
        assert any("secure-data-export" in str(denial["remedy"]) for denial in document["denials"])
        assert told["headers"]["content-type"] == "application/problem+json"
        assert muster.record(told["decision"])["answer"]["allow"] is False


def test_unauthenticated(muster: Edge) -> None:
    """OK, code 16 and 401: nobody is recorded, a gateway that nobody knows is not, whatever its key."""
    (nobody,) = answers(muster, ask(muster, None))
    assert (nobody["rpc"], nobody["code"], nobody["kind"], nobody["status"]) == ("OK", 16, "denied", 401)
    assert "www-authenticate" in nobody["headers"]
    assert muster.record(nobody["decision"])["answer"]["allow"] is False
    size = muster.size()
    for told in answers(muster, *(ask(muster, key=key) for key in ("", "nobody's", muster.keys["nginx"][:-1]))):
        assert (told["rpc"], told["code"], told["status"], told["decision"]) == ("OK", 16, 401, "")
    assert muster.size() == size


def test_undecided(muster: Edge) -> None:
    """Could-not-decide is no error of gRPC's and no `error_response`, which can be taken for a yes: code 14, 503."""
    with stopped(opas(muster.service)):
        (told,) = answers(muster, ask(muster, raw=[named("x-ticket", b"REQ-77"), named("x-user", b"ada")]))
    assert (told["rpc"], told["code"], told["kind"], told["status"]) == ("OK", 14, "denied", 503)
    assert told["headers"]["retry-after"].isdigit()
    until(lambda: answers(muster, ask(muster))[0]["code"] == 0, "the next good one passes")


def test_what_cannot_be_read_is_denied(muster: Edge) -> None:
    """Nothing at all, bytes that are no text, paths and methods that are none: OK, code 7 or 16, never 0."""
    odd = [
        {"key": muster.keys["envoy-grpc"], "empty": True},
        ask(muster, path=""),
        ask(muster, path="/customers/acme/exports/../export-page", method="GET"),
        ask(muster, path="/caf\u00e9\u4e2d"),
        ask(muster, method=""),
        ask(muster, method="POST, GET"),
        ask(muster, host=""),
        ask(muster, host="api.example, evil.example"),
        ask(muster, raw=[named("x-user", b"ada\xff\xfe"), named("x-ticket", b"REQ-1")]),
        ask(muster, raw=[named("x-user", b"ada"), named("x-ticket", b"REQ-\xff\x00")]),
        ask(muster, raw=[named("x-user", b"ada"), named("x-user", b"bob"), named("x-ticket", b"REQ-1")]),
        ask(muster, raw=[named(f"x-{n}", b"1") for n in range(300)]),
    ]
    for sent, told in zip(odd, answers(muster, *odd), strict=True):
        assert (told["rpc"], told["kind"]) == ("OK", "denied"), sent
        assert (told["code"], told["status"]) in {(7, 403), (16, 401)}, sent
        assert muster.record(told["decision"])["answer"]["allow"] is False, sent


def test_too_large(muster: Edge) -> None:
    """A body is not looked at; over 4 MiB the call is refused by gRPC itself, unread, and the next one is answered."""
    small, large, after = answers(muster, ask(muster, body=1 << 20), ask(muster, body=5 << 20), ask(muster))
    assert (small["rpc"], small["code"]) == ("OK", 0)
    assert (large["rpc"], large["kind"], large["decision"]) == ("ResourceExhausted", "", "")
    assert (after["rpc"], after["code"]) == ("OK", 0)
