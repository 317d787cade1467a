"""The JavaScript client: the same answers as the Python one's, from the same servers."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

from tests.adapters.gateway.edge import Edge
from tests.clients.conftest import KITS
from tests.clients.javascript import node
from tests.clients.raw import BELIEVED, GARBAGE, SLOW, RawServer
from tests.service.running import Service
from tests.stillness import stop

CONTEXT = {"destination": "warehouse://analytics", "ticket": "REQ-1", "columns": ["customer_id"]}


def ask(url: str, token: str | None = None, user: str = "ada", **more: Any) -> dict[str, Any]:
    return {
        "what": "ask",
        "url": url,
        "token": token or "t",
        "user": user,
        "context": CONTEXT,
        "timeoutMs": 5000,
        **more,
    }


def test_denied_and_allowed(edge: Edge) -> None:
    """A no has its remedy with a whole address; both are recorded; a wrong token is Undecided."""
    url, token = edge.service.url, edge.service.token("gateway")
    no, yes, wrong = node([ask(url, token, "bob", requestId="js-1"), ask(url, token, times=3), ask(url, "x")])
    assert (no["allow"], yes["allow"], wrong["undecided"]) == (False, True, "refused")
    assert no["denials"][0]["remedy"]["href"].startswith(url + "/learn/")
    record = edge.record(no["decisionId"])
    assert (record["answer"]["allow"], record["request_id"]) == (False, "js-1")
    assert edge.record(yes["decisionId"])["answer"]["allow"] is True


def test_a_request_is_stored_once(edge: Edge) -> None:
    """Under one key it is the same; who may not store one is refused."""
    url, token = edge.service.url, edge.service.token("app")
    asked = {"what": "store", "url": url, "token": token, "user": "ada", "context": CONTEXT, "key": "js-1"}
    wrong = {**asked, "token": edge.service.token("gateway")}
    first, again, refused = node([asked, asked, wrong])
    assert first == again
    assert (refused["undecided"], refused["status"]) == ("refused", 403)
    shown = edge.service.call("app", "GET", f"/v1/requests/{first['request']}")
    assert (shown["expires_at"], shown["request_digest"]) == (first["expiresAt"], first["requestDigest"])


def test_what_is_believed_and_what_is_not(raw: RawServer) -> None:
    """Of all that a server can say the same is taken for an answer as in Python; nothing is asked a second time."""
    names = [*BELIEVED, *GARBAGE]
    before = len(raw.seen)
    for name, got in zip(names, node([ask(raw.url(name)) for name in names]), strict=True):
        if name in BELIEVED:
            assert got["allow"] is BELIEVED[name][1], name
        else:
            assert "allow" not in got, name
            wanted = GARBAGE[name][1]
            assert got["undecided"] in ({wanted, "unreachable"} if wanted == "bad-answer" else {wanted}), (name, got)
            assert got["retryAfter"] == (7 if name == "429" else 1)
    assert raw.questions(before) == [f"POST /{name}/v1/decisions HTTP/1.1" for name in names]


def test_one_deadline_holds_for_all_of_a_call(raw: RawServer) -> None:
    """Also against a service that sends a byte now and then."""
    for got in node([ask(raw.url(name), timeoutMs=400) for name in SLOW]):
        assert got["undecided"] == "timeout"
        assert 300 < got["ms"] < 1500


def test_a_service_that_is_gone_is_undecided(new_service: Callable[[], Service]) -> None:
    """Stopped: within the timeout; killed: at once."""
    service = new_service().start()
    token = service.token("gateway")
    assert service.process is not None
    stop(service.process.pid)
    [got] = node([ask(service.url, token, timeoutMs=1000)])
    assert (got["undecided"], got["ms"] < 1500) == ("timeout", True)
    service.kill()
    [got] = node([ask(service.url, token, timeoutMs=1000)])
    assert (got["undecided"], got["ms"] < 1000) == ("unreachable", True)


def test_neither_tokens_nor_keys_go_in_the_clear() -> None:
    """Plain HTTP is for this machine."""
    bad = ["http://muster.example", "http://10.0.0.1", "ftp://localhost", "https://u:p@muster.example", "muster"]
    good = ["https://muster.example/base/", "http://127.0.0.1:1", "http://[::1]:1", "http://localhost:1"]
    for what in ("address", "fetched"):
        told = node([{"what": what, "url": url} for url in (*bad, *good)])
        assert [each["refused"] for each in told] == ["TypeError"] * len(bad) + [False] * len(good)


def test_keys_are_read_strictly() -> None:
    """A set without a usable key, or with one twice, is no set."""
    key = {"kty": "OKP", "crv": "Ed25519", "kid": "a", "x": "A" * 43}
    sets: list[Any] = [{}, [], {"keys": []}, {"keys": [key, key]}, {"keys": [{"kty": "RSA", "kid": "a"}]}]
    sets.append({"keys": [{**key, "use": "enc"}]})
    told = node([{"what": "keys", "document": json.dumps(each)} for each in [*sets, {"keys": [key, {"kty": "RSA"}]}]])
    assert [bool(each["refused"]) for each in told] == [True] * len(sets) + [False]


def test_the_package_holds_what_it_needs() -> None:
    """What is published is complete and has no dependencies; the types name what is exported."""
    package = json.loads((KITS / "javascript" / "package.json").read_text())
    assert "dependencies" not in package
    for name in package["files"]:
        assert (KITS / "javascript" / name).exists()
    code = "import('muster-client').then((kit) => console.log(Object.keys(kit).join(' ')))"
    folder = KITS / "javascript"
    done = subprocess.run(["node", "-e", code], cwd=folder, capture_output=True, text=True, check=True)
    types = (folder / "index.d.ts").read_text()
    exported = done.stdout.split()
    assert {"Client", "Undecided", "require", "verifyAssertion", "onlyThroughTheGate"} <= set(exported)
    for name in exported:
        assert f"export class {name} " in types or f"export function {name}" in types, name
