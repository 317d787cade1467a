"""A service whose source has a route map, with a profile for each kind of gateway."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine.opa.binary import OpaBinary
from tests.access.provider import Provider
from tests.access.signing import key
from tests.adapters.gateway.edge import Edge
from tests.ports import free_port
from tests.service.running import ROOT, Service, environment, make_home, until

KINDS = ("nginx", "caddy", "traefik", "haproxy", "envoy-http")

ROUTES = """
exports:
  - id: export
    hosts: [api.example]
    methods: [POST]
    path: /customers/{customer}/exports/{dataset}
    action: data-export
    resource: {type: dataset, id: "{dataset}", properties: {customer: "{customer}"}}
    context:
      destination: {query: to, required: true}
      ticket: {header: x-ticket}
      columns: {value: [customer_id, plan]}
    without: [context.approvals]
    preflight: pass
    cors: {origins: ["https://app.example"], credentials: true}
  - id: page
    hosts: [api.example]
    methods: [GET]
    path: /customers/{customer}/export-page
    action: data-export
    resource: {type: dataset, id: customers, properties: {customer: "{customer}"}}
    context:
      destination: {value: "warehouse://analytics"}
      ticket: {value: REQ-1}
      columns: {value: [customer_id]}
    without: [context.approvals]
    html: redirect
"""
NAMED = "{header: x-user, type: user}"


def gateways(host: str, deadline_ms: int = 2000) -> str:
    """gateways.yaml: one profile of each kind, and one that takes users' tokens."""
    subjects = {
        **dict.fromkeys((*KINDS, "envoy-grpc", "socket"), NAMED),
        "tokens": "{issuer: people}",
        "mesh": "{metadata: envoy.filters.http.jwt_authn, issuer: people}",
    }
    others = {"tokens": "nginx", "socket": "caddy", "mesh": "envoy-grpc"}
    return "".join(
        f"{name}:\n  title: {name}\n  gateway: {others.get(name, name)}\n  subject: {subject}\n"
        f"  audience: backend\n  deadline_ms: {deadline_ms}\n  routes: [exports]\n"
        f"  remedy_hosts: [{'elsewhere.example' if name == 'haproxy' else host}]\n"
        for name, subject in subjects.items()
    )


def issuers(provider: Provider) -> str:
    """issuers.yaml: the provider alone."""
    return (
        f"people:\n  issuer: {provider.issuer}\n  audience: [api]\n  algorithms: [ES256]\n"
        "  subject: {type: user, claim: sub}\n"
    )


@contextmanager
def served(
    folder: Path, opa: Path, *, routes: str = ROUTES, deadline_ms: int = 2000, workers: int = 1
) -> Iterator[Edge]:
    """A service behind every kind of gateway; `ada` is trained, `bob` is not."""
    with Provider(None, key("one", "ES256")) as provider:
        source = shutil.copytree(ROOT / "bundles" / "companyos", folder / "source")
        (source / "routes.yaml").write_text(routes)
        listen = f"127.0.0.1:{free_port()}"
        (source / "gateways.yaml").write_text(gateways(listen, deadline_ms))
        (source / "issuers.yaml").write_text(issuers(provider))
        check = f"127.0.0.1:{free_port()}"
        env = environment(folder / "home", opa, MUSTER_BUNDLE=str(source), MUSTER_LISTEN=listen)
        env |= {"MUSTER_ENVOY_LISTEN": check, "MUSTER_GATEWAY_SOCKETS": f"socket=unix:{folder / 's'}"}
        arguments = ("serve", "--workers", str(workers)) if workers > 1 else ("serve",)
        service = Service(home=folder / "home", env=env, tokens={"admin": make_home(env)}, arguments=arguments).start()
        try:
            yield _peopled(Edge(service=service, provider=provider, check=check, socket=folder / "s", keys={}))
        finally:
            service.stop()


@pytest.fixture(scope="session")
def edge(tmp_path_factory: pytest.TempPathFactory, opa_binary: OpaBinary) -> Iterator[Edge]:
    """A service that tests share."""
    with served(tmp_path_factory.mktemp("edge"), opa_binary.path) as running:
        yield running


def _peopled(edge: Edge) -> Edge:
    service = edge.service
    for user in ("ada", "bob"):
        service.person(user)
    service.train("ada")
    for name in (*KINDS, "tokens", "envoy-grpc", "mesh"):
        wanted = {"role": "gateway", "principal": f"system:{name}"}
        edge.keys[name] = service.call("admin", "POST", "/v1/tokens", wanted)["token"]
    until(lambda: edge.ask("tokens", more=[edge.bearer("ada")]).status != 503, "the issuer's keys are there")
    return edge
