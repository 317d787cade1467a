"""A gateway that is known by its client certificate, over HTTP and over gRPC."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from engine.opa.binary import OpaBinary
from tests.adapters.gateway.conftest import ROUTES
from tests.adapters.gateway.edge import EXPORT, Stub
from tests.adapters.gateway.test_envoy import request
from tests.ports import free_port
from tests.service.running import ROOT, Service, environment, make_home
from tests.serving.authority import Authority
from tests.serving.secure import Secure

PROFILES = "".join(
    f"{name}:\n  title: {name}\n  gateway: {kind}\n  subject: {{header: x-user, type: user}}\n"
    "  audience: backend\n  deadline_ms: 3000\n  routes: [exports]\n  remedy_hosts: [muster.example]\n"
    for name, kind in (("edge", "traefik"), ("mesh", "envoy-grpc"))
)
TOLD = {
    "X-Forwarded-Method": "POST",
    "X-Forwarded-Host": "api.example",
    "X-Forwarded-Uri": EXPORT,
    "X-Ticket": "REQ-1",
    "X-User": "ada",
}
Pairs = dict[str, tuple[Path, Path]]


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory, opa_binary: OpaBinary) -> Iterator[tuple[Secure, Pairs]]:
    """A service that wants certificates of its clients: one is the edge's by its hash, one the mesh's by its name."""
    with served(tmp_path_factory.mktemp("known"), opa_binary) as running:
        yield running


@contextmanager
def served(folder: Path, opa_binary: OpaBinary, **more: str) -> Iterator[tuple[Secure, Pairs]]:
    """A service, and its clients' certificates."""
    clients = Authority("Clients")
    issued = {name: clients.client(name, dns=(f"{name}.internal",)) for name in ("edge", "mesh", "stranger")}
    pairs = {name: each.write(folder / "clients", name) for name, each in issued.items()}
    (folder / "ca.pem").write_text(clients.pem)
    source = shutil.copytree(ROOT / "bundles" / "companyos", folder / "source")
    (source / "routes.yaml").write_text(ROUTES)
    (source / "gateways.yaml").write_text(PROFILES)
    env = environment(folder / "home", opa_binary.path, MUSTER_BUNDLE=str(source))
    tokens = {"admin": make_home(env)}
    service = Secure.of(Service(home=folder / "home", env=env, tokens=tokens))
    service.client = pairs["stranger"]
    service.env |= {
        "MUSTER_TLS_CLIENT_CA": str(folder / "ca.pem"),
        "MUSTER_GATEWAY_CERTIFICATES": f"edge=sha256:{issued['edge'].fingerprint},mesh=dns:mesh.internal",
        "MUSTER_ENVOY_LISTEN": f"127.0.0.1:{free_port()}",
        **more,
    }
    service.start()
    try:
        service.person("ada")
        service.train("ada")
        yield service, pairs
    finally:
        service.stop()


def asked(known: tuple[Secure, Pairs], who: str) -> httpx.Response:
    """What a gateway asks over HTTP, with somebody's certificate and no key."""
    service, pairs = known
    context = service.authority.trusting(pairs[who])
    return httpx.get(service.url + "/v1/forward-auth", headers=TOLD, verify=context, timeout=30)


def test_a_certificate_is_a_gateways_credential(known: tuple[Secure, Pairs]) -> None:
    """Without a key; the record names the certificate, and replay takes it."""
    got = asked(known, "edge")
    assert got.status_code == 200, got.text
    service = known[0]
    record = service.call("auditor", "GET", f"/v1/decisions/{got.headers['muster-decision-id']}")
    assert record["via"]["gateway"] == "edge"
    assert record["via"]["credential"].startswith("certificate ")
    assert json.loads(service.muster("replay", "--json").stdout)["findings"] == []


def test_another_certificate_is_none(known: tuple[Secure, Pairs]) -> None:
    """One of the same authority that nobody named is 401, and so is a gateway's by the other way of asking."""
    assert asked(known, "stranger").status_code == 401
    assert asked(known, "mesh").status_code == 403, "its profile asks over gRPC"


def check(known: tuple[Secure, Pairs], who: str, gateway: str | None = None) -> Any:
    """One CheckRequest with somebody's certificate, and perhaps a gateway's key."""
    service, pairs = known
    cert, key = pairs[who]
    credentials = grpc.ssl_channel_credentials(service.authority.pem.encode(), key.read_bytes(), cert.read_bytes())
    options = (("grpc.ssl_target_name_override", "localhost"),)
    with grpc.secure_channel(service.env["MUSTER_ENVOY_LISTEN"], credentials, options) as channel:
        keys = [] if gateway is None else [("muster-gateway-key", gateway)]
        return Stub(channel).Check(request(), metadata=keys, timeout=20)


def test_the_same_over_grpc(known: tuple[Secure, Pairs]) -> None:
    """By one of its names; a stranger is code 16."""
    assert check(known, "mesh").status.code == 0
    assert check(known, "stranger").status.code == 16


def test_where_certificates_are_optional_grpc_takes_a_key(tmp_path: Path, opa_binary: OpaBinary) -> None:
    """gRPC asks for none then: the start says so, a certificate counts over HTTP alone, and a key everywhere."""
    with served(tmp_path, opa_binary, MUSTER_TLS_CLIENT="optional") as known:
        service = known[0]
        assert "gRPC asks for a client's certificate only where it requires one" in (tmp_path / "home.log").read_text()
        assert asked(known, "edge").status_code == 200
        assert check(known, "mesh").status.code == 16
        wanted = {"role": "gateway", "principal": "system:mesh"}
        gateway = service.call("admin", "POST", "/v1/tokens", wanted)["token"]
        assert check(known, "stranger", gateway).status.code == 0
