"""The Python client: what it takes for a yes, from the running service and from servers that say anything."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from muster_client import AsyncClient, Client, Entity, Refused, Undecided

from tests.adapters.gateway.edge import Edge
from tests.clients.conftest import KITS
from tests.clients.raw import BELIEVED, GARBAGE, SLOW, RawServer
from tests.service.running import Service
from tests.stillness import stop

DATASET = Entity("dataset", "customers", {"customer": "acme"})
CONTEXT: dict[str, Any] = {"destination": "warehouse://analytics", "ticket": "REQ-1", "columns": ["customer_id"]}


@pytest.fixture
def client(edge: Edge) -> Iterator[Client]:
    """A client of the running service."""
    with Client(edge.service.url, token=edge.service.token("gateway"), timeout=5) as made:
        yield made


def test_denied_trained_allowed(edge: Edge, client: Client) -> None:
    """A no has what is missing and where to get it; after training the next answer is a yes; both are in the log."""
    edge.service.person("kit")
    no = client.decide("kit", "data-export", DATASET, CONTEXT, request_id="req-77")
    assert (no.allow, no.verdict, no.mode) == (False, "deny", "enforce")
    assert no.denials[0].remedy.href is not None
    assert no.denials[0].remedy.href.startswith(edge.service.url + "/learn/")
    record = edge.record(no.decision_id)
    assert record["answer"]["allow"] is False
    assert record["request_id"] == "req-77"
    modules = client.next_required_training("kit", "data-export")
    assert "secure-data-export" in {each.module for each in modules}
    assert all(each.href.startswith(edge.service.url) and each.minutes > 0 for each in modules)
    edge.service.train("kit")
    yes = client.decide(Entity("user", "kit"), "data-export", DATASET, CONTEXT)
    assert (yes.allow, yes.denials) == (True, ())
    assert edge.record(yes.decision_id)["answer"]["allow"] is True
    assert yes.valid_until is not None
    assert client.next_required_training("kit", "data-export") == ()


def test_a_request_is_stored_once(edge: Edge) -> None:
    """Under one key it is the same, from either client; what is wrong with it is refused, and a deny is no answer."""
    url, token = edge.service.url, edge.service.token("app")
    context = {**CONTEXT, "ticket": "REQ-kit"}

    async def again() -> Any:
        async with AsyncClient(url, token=token, timeout=5) as made:
            return await made.store("ada", "data-export", DATASET, context, expires_in="PT5M", key="kit-1")

    with Client(url, token=token, timeout=5) as made:
        first = made.store("ada", "data-export", DATASET, context, expires_in="PT5M", key="kit-1")
        assert asyncio.run(again()) == first
        assert made.store(Entity("user", "ada"), "data-export", DATASET, context).request != first.request
        with pytest.raises(Refused, match="only what the gate will see"):
            made.store("ada", "data-export", DATASET, {"colums": []})
        with pytest.raises(ValueError, match="Idempotency-Key"):
            made.store("ada", "data-export", DATASET, key="two\r\nlines")
    shown = edge.service.call("app", "GET", f"/v1/requests/{first.request}")
    assert (shown["expires_at"], shown["request_digest"]) == (first.expires_at, first.request_digest)
    assert shown["context"] == context


def test_certified_is_a_recorded_decision(edge: Edge, client: Client) -> None:
    """`isCertified`, for who has it and who has not."""
    scope = "data-export"
    yes, no = client.certified("ada", scope), client.certified("bob", scope, tier="completed", within="P12M")
    assert (yes.certified, yes.scope, no.certified, no.status) == (True, scope, False, "none")
    assert yes.decision_id is not None
    assert edge.record(yes.decision_id)["answer"]["certified"] is True


def test_the_token_is_asked_for_at_each_call(edge: Edge) -> None:
    """So a token can be changed without a restart; a wrong one is Refused, which is Undecided."""
    tokens = [edge.service.token("gateway"), "muster.default.nobody.x", ""]
    with Client(edge.service.url, token=lambda: tokens.pop(0), timeout=5) as client:
        assert client.decide("ada", "data-export", DATASET, CONTEXT).allow is True
        with pytest.raises(Refused) as refused:
            client.decide("ada", "data-export", DATASET, CONTEXT)
        assert refused.value.status == 401
        with pytest.raises(Undecided, match="token is empty"):
            client.decide("ada", "data-export", DATASET, CONTEXT)
    with Client(edge.service.url, token=Path("/nowhere/token").read_text) as client:
        with pytest.raises(Undecided) as undecided:
            client.decide("ada", "data-export", DATASET, CONTEXT)
        assert undecided.value.cause == "no-token"


def test_what_the_service_calls_malformed_is_refused(client: Client) -> None:
    """With the sentence of its problem document; what is no JSON is not sent."""
    with pytest.raises(Refused) as refused:
        client.decide("", "data-export", DATASET)
    assert (refused.value.status, refused.value.cause) == (400, "refused")
    for odd in (float("nan"), "\ud800"):
        with pytest.raises(Refused, match="no JSON"):
            client.decide("ada", "data-export", DATASET, {"a": odd})


@pytest.mark.parametrize("name", BELIEVED)
def test_what_is_believed(raw: RawServer, name: str) -> None:
    """An answer of the API's shape, with members that are not known yet; in shadow mode `allow` counts."""
    with Client(raw.url(name), token="t") as client:
        assert client.decide("ada", "data-export", DATASET).allow is BELIEVED[name][1]


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_is_undecided(raw: RawServer, name: str) -> None:
    """Never an allow, never another error, and nothing is asked a second time."""
    before = len(raw.seen)
    with Client(raw.url(name), token="t", timeout=5) as client, pytest.raises(Undecided) as undecided:
        client.decide("ada", "data-export", DATASET)
    assert undecided.value.cause == GARBAGE[name][1], undecided.value
    assert raw.questions(before) == [f"POST /{name}/v1/decisions HTTP/1.1"]
    if name == "503-told":
        assert undecided.value.decision_id == "0193-2"
    assert undecided.value.retry_after == (7 if name == "429" else 1)


@pytest.mark.parametrize("name", ["text-true", "empty", "no-id"])
def test_garbage_is_undecided_for_the_other_calls(raw: RawServer, name: str) -> None:
    """Neither certified nor free of training."""
    with Client(raw.url(name), token="t") as client:
        with pytest.raises(Undecided):
            client.certified("ada", "data-export")
        with pytest.raises(Undecided):
            client.next_required_training("ada", "data-export")


@pytest.mark.parametrize("name", SLOW)
@pytest.mark.alone
def test_one_deadline_holds_for_all_of_a_call(raw: RawServer, name: str) -> None:
    """Also against a service that sends a byte now and then, with and without `await`."""

    async def asked() -> None:
        async with AsyncClient(raw.url(name), token="t", timeout=0.4) as client:
            await client.decide("ada", "data-export", DATASET)

    def plain() -> None:
        with Client(raw.url(name), token="t", timeout=0.4) as client:
            client.decide("ada", "data-export", DATASET)

    calls: list[Callable[[], None]] = [lambda: asyncio.run(asked()), plain]
    for call in calls:
        began = time.monotonic()
        with pytest.raises(Undecided) as undecided:
            call()
        assert undecided.value.cause == "timeout"
        assert 0.3 < time.monotonic() - began < 1.5


@pytest.mark.alone
def test_a_service_that_is_gone_is_undecided(new_service: Callable[[], Service]) -> None:
    """Stopped: within the timeout; killed: at once, also on a connection that was kept."""
    service = new_service().start()
    service.person("ada")
    with Client(service.url, token=service.token("gateway")) as client:
        assert client.decide("ada", "data-export", DATASET, CONTEXT).allow is False
        assert service.process is not None
        stop(service.process.pid)
        for cause in ("timeout", "unreachable"):
            began = time.monotonic()
            with pytest.raises(Undecided) as undecided:
                client.decide("ada", "data-export", DATASET, CONTEXT)
            assert undecided.value.cause == cause
            assert time.monotonic() - began < 1.5
            service.kill()


def test_a_client_is_shared_by_threads_and_survives_a_fork(edge: Edge, client: Client) -> None:
    """Each thread gets its own answer; a child of a fork begins anew."""
    got: list[bool] = []

    def ask(user: str) -> None:
        got.append(client.decide(user, "data-export", DATASET, CONTEXT).allow is (user == "ada"))

    threads = [threading.Thread(target=ask, args=(user,)) for user in ("ada", "bob") * 10]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [True] * 20
    code = (
        "import os, sys\nfrom muster_client import Client, Entity\n"
        "client = Client(sys.argv[1], token=sys.argv[2], timeout=5)\n"
        "ask = lambda: client.decide('ada', 'data-export', Entity('dataset', 'customers'))\n"
        "ask()\nchild = os.fork()\nasked = ask()\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) if child else 0)"
    )
    env = {**os.environ, "PYTHONPATH": str(KITS / "python")}
    words = [sys.executable, "-c", code, edge.service.url, edge.service.token("gateway")]
    subprocess.run(words, env=env, check=True, timeout=60)


@pytest.mark.parametrize(
    "url",
    ["http://muster.example", "http://10.0.0.1:80", "ftp://localhost", "muster", "https://u:p@muster.example", ""],
)
def test_a_token_goes_nowhere_in_the_clear(url: str) -> None:
    """Plain HTTP is for this machine, unless its caller says that the network is trusted."""
    for kind in (Client, AsyncClient):
        with pytest.raises(ValueError, match="https"):
            kind(url, token="t")
    for fine in ("https://muster.example/base/", "http://127.0.0.1:1", "http://[::1]:1", "http://localhost"):
        assert not Client(fine, token="t").base_url.endswith("/")
    assert Client("http://muster.internal", token="t", plain_http=True).base_url


def test_proxies_of_the_environment_are_not_used(raw: RawServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token goes to the service and to nobody between."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with Client(raw.url("yes"), token="t") as client:
        assert client.decide("ada", "data-export", DATASET, request_id="ok-1").allow is True
        assert b"x-request-id: ok-1" in raw.heads[-1].lower()
        assert client.decide("ada", "data-export", DATASET, request_id="two words\r\nX-A: b").allow is True
        assert b"x-request-id" not in raw.heads[-1].lower()


def test_the_service_on_a_socket(edge: Edge) -> None:
    """`uds` reaches a service that listens on a Unix socket; a socket for gateways answers no questions."""
    with Client("http://muster", token="t", uds=str(edge.socket)) as client, pytest.raises(Undecided):
        client.decide("ada", "data-export", DATASET)
    with Client("http://muster", token="t", uds="/nowhere") as client, pytest.raises(Undecided) as undecided:
        client.decide("ada", "data-export", DATASET)
    assert undecided.value.cause == "unreachable"


def test_the_package_installs_alone(tmp_path: Path) -> None:
    """With its types, and nothing of the service's."""
    source = tmp_path / "source"
    words = ["cp", "-r", str(KITS / "python"), str(source)]
    subprocess.run(words, check=True)
    target = tmp_path / "target"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check"]
    subprocess.run([*pip, "--target", str(target), str(source)], check=True)
    assert (target / "muster_client" / "py.typed").exists()
    assert {path.name for path in target.iterdir()} >= {"muster_client"}
    for path in (target / "muster_client").glob("*.py"):
        assert "from engine" not in path.read_text()
        assert "from ledger" not in path.read_text()
