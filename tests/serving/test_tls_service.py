"""Muster over TLS, with one process and with several: served, renewed, and its commands beside it."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import pytest

from tests.service.conftest import new_service, template
from tests.service.running import Service, export, until
from tests.serving.authority import Authority
from tests.serving.fleet import alive
from tests.serving.secure import Secure, serial_of

__all__ = ["new_service", "template"]


@pytest.fixture(scope="module", params=[(), ("--workers", "2")], ids=["one process", "workers"])
def service(new_service: Callable[[], Service], request: pytest.FixtureRequest) -> Iterator[Secure]:
    """A service with TLS."""
    made = Secure.of(new_service(), *request.param)
    made.start()
    yield made
    made.stop()


def _served(service: Secure) -> set[int]:
    """The certificates that a number of connections met: each worker takes some of them."""
    return {service.serial() for _ in range(16)}


def test_decisions_go_over_tls_and_commands_beside_it(service: Secure) -> None:
    """The address says https; the operator's own socket has no TLS and needs none."""
    assert service.url.startswith("https://127.0.0.1:")
    assert service.decide("ada")["allow"] is False
    assert service.http("POST", "/v1/decisions", json=export("ada")).status_code == 401
    assert json.loads(service.muster("status", "--json").stdout)["ready"] is True
    service.muster("decide", "ada", "data-export", want=1)
    assert service.muster("token", "list").stdout
    with pytest.raises(httpx.TransportError):
        httpx.get(service.url.replace("https://", "http://") + "/healthz", timeout=10)
    with pytest.raises(httpx.ConnectError, match="certificate"):
        httpx.get(service.url + "/healthz", timeout=10)


def test_a_new_pair_is_taken_by_all_without_being_told(service: Secure) -> None:
    """Within seconds of its files being replaced; a connection that was there before lives on."""
    with httpx.Client(verify=service.context, base_url=service.url) as kept:
        assert kept.get("/healthz").status_code == 200
        cert, _ = service.renew()
        until(lambda: _served(service) == {serial_of(cert)}, "every process has the new pair", 15)
        assert kept.get("/healthz").status_code == 200
    until(lambda: f"the certificate in {cert} is in use now" in service.log(), "it is told")


def test_a_hangup_makes_it_look_now(service: Secure) -> None:
    """SIGHUP, to the process that was started, reaches all of them; whoever serves goes on, with the same processes."""
    before = service.workers()
    cert, _ = service.renew()
    os.kill(service.parent, signal.SIGHUP)
    until(lambda: _served(service) == {serial_of(cert)}, "every process has the new pair", 2.5)
    assert service.workers() == before
    told = service.log().count("is in use now")
    os.kill(service.parent, signal.SIGHUP)
    until(lambda: service.log().count("is in use now") > told, "asked for, it is told though nothing has changed")


def test_links_that_are_swapped_are_seen(service: Secure) -> None:
    """As Kubernetes mounts a secret: names that point into a folder, whose own link is replaced in one step."""
    folder = service.folder
    for turn in ("first", "second"):
        service.issued().write(folder / turn)
    (folder / "..data").symlink_to("first")
    for name in ("tls.crt", "tls.key"):
        (folder / f"{name}.link").symlink_to(f"..data/{name}")
        (folder / f"{name}.link").replace(folder / name)
    until(lambda: _served(service) == {serial_of(folder / "first" / "tls.crt")}, "the link is followed", 15)
    (folder / "..new").symlink_to("second")
    (folder / "..new").replace(folder / "..data")
    until(lambda: _served(service) == {serial_of(folder / "second" / "tls.crt")}, "its swap is seen", 15)
    for name in ("tls.crt", "tls.key"):
        (folder / name).unlink()
    service.renew()


def test_a_broken_pair_changes_nothing(service: Secure) -> None:
    """It is told, and the old one is served, also by a worker that is started meanwhile; the next good one is taken."""
    cert, key = service.renew()
    until(lambda: _served(service) == {serial_of(cert)}, "the pair is in use", 15)
    good, begun = serial_of(cert), len(service.log())
    _, other = service.issued().write(service.folder, "other")
    other.replace(key)
    until(lambda: "is not the one of the certificate" in service.log()[begun:], "it is told", 15)
    for worker in service.workers()[:1]:
        service.end(worker)
        until(lambda: len(service.workers()) == 2 and service.whole(2), "another has its place")
    until(lambda: _ready(service), "it can decide")
    assert _served(service) == {good}
    assert service.log()[begun:].count("stays in use") == 1
    cert, _ = service.renew()
    until(lambda: _served(service) == {serial_of(cert)}, "the next good pair is in use", 15)


def _ready(service: Secure) -> bool:
    with suppress(httpx.TransportError):
        return all(service.http("GET", "/readyz").status_code == 200 for _ in range(8))
    return False


def test_renewal_under_load_loses_no_decision(service: Secure) -> None:
    """New connections all the time, each with a decision, while the pair is replaced five times: every one is 200."""
    service.token("gateway")
    statuses: list[object] = []
    enough = threading.Event()

    def ask() -> None:
        while not enough.is_set():
            try:
                statuses.append(service.http("POST", "/v1/decisions", role="gateway", json=export("load")).status_code)
            except httpx.TransportError as exc:
                statuses.append(repr(exc))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(5):
        cert, _ = service.renew()
        os.kill(service.parent, signal.SIGHUP)
        wanted = {serial_of(cert)}
        until(lambda wanted=wanted: _served(service) == wanted, "the new pair is in use")  # type: ignore[misc]
    enough.set()
    for thread in threads:
        thread.join()
    assert set(statuses) == {200}
    assert len(statuses) > 20


def test_a_key_that_cannot_be_used_stops_the_start(new_service: Callable[[], Service], tmp_path: Path) -> None:
    """Exit code 2 and one sentence; a certificate that has ended does not stop it, and is told with its date."""
    for arguments in ((), ("--workers", "2")):
        service = Secure.of(new_service(), *arguments)
        key = Path(service.env["MUSTER_TLS_KEY"])
        key.chmod(0o644)
        done = service.muster("serve", *arguments, want=2)
        assert done.stderr == f"muster: MUSTER_TLS_KEY: others may read {key} (mode 0644): chmod 600 it, or 640\n"
        done = service.muster("serve", *arguments, want=2, MUSTER_TLS_CERT=str(tmp_path / "nowhere"))
        assert done.stderr.startswith(f"muster: MUSTER_TLS_CERT: {tmp_path / 'nowhere'} cannot be read")


def test_only_clients_with_a_certificate_are_answered(new_service: Callable[[], Service], tmp_path: Path) -> None:
    """Mutual TLS; tokens are asked for as before; another authority takes the old one's place without a restart."""
    service = Secure.of(new_service())
    (service.folder / "ca.pem").write_text(service.authority.pem)
    service.env["MUSTER_TLS_CLIENT_CA"] = str(service.folder / "ca.pem")
    service.client = service.authority.client("gateway-1").write(tmp_path, "client")
    service.start()
    assert service.decide("ada")["allow"] is False
    assert service.http("POST", "/v1/decisions", json=export("ada")).status_code == 401
    nobody = service.authority.trusting()
    with pytest.raises(httpx.TransportError):
        httpx.get(service.url + "/healthz", verify=nobody, timeout=10)
    service.muster("status")
    other = Authority("Another")
    (service.folder / "ca.pem").write_text(other.pem)

    def refused() -> bool:
        try:
            service.http("GET", "/healthz")
        except httpx.TransportError:
            return True
        return False

    until(refused, "the old authority counts no more", 15)
    service.client = other.client("gateway-1").write(tmp_path, "other")
    assert service.http("GET", "/healthz").status_code == 200
    service.stop()


def test_more_connections_than_descriptors_harm_nobody(new_service: Callable[[], Service]) -> None:
    """Half of 256 descriptors are for connections: beyond that new ones are closed, decisions go on, and all heals."""
    service = Secure.of(new_service())
    service.prefix = ("prlimit", "--nofile=256:256")
    service.start()
    service.person("kim")
    service.token("gateway")
    with (
        httpx.Client(verify=service.context, base_url=service.url, timeout=30) as kept,
        ExitStack() as stack,
    ):
        headers = {"Authorization": f"Bearer {service.tokens['gateway']}"}
        assert kept.post("/v1/decisions", json=export("kim"), headers=headers).status_code == 200
        crowd = [stack.enter_context(service.connect(secure=False)) for _ in range(400)]
        closed = 0
        for each in crowd:
            each.settimeout(0.01)
            try:
                closed += each.recv(1) == b""
            except ConnectionResetError:
                closed += 1
            except TimeoutError:
                continue
        assert closed >= 250
        for number in range(20):
            body = export("kim", ticket=f"REQ-{number}")
            assert kept.post("/v1/decisions", json=body, headers=headers).status_code == 200
        service.muster("status")
    until(lambda: _ready(service), "there is room again")
    assert service.decide("kim")["allow"] is False
    service.stop()


def test_the_parent_ends_with_all_of_its_own(new_service: Callable[[], Service]) -> None:
    """A stop of a service with TLS and workers leaves no process behind."""
    service = Secure.of(new_service(), "--workers", "2")
    service.start()
    pids = [service.parent, *service.workers(), *service.ledgers()]
    service.stop()
    assert not [pid for pid in pids if alive(pid)]
