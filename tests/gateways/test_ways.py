"""The other ways to Muster (mutual TLS, a Unix socket), and a gateway that serves named hosts only."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.gateways.check import pdp
from engine.gateways.check.envoy import GrpcPdp
from engine.gateways.check.wire import request
from tests.gateways import certificates, partners, programs
from tests.gateways.partners import Way
from tests.gateways.programs import PROFILES

WAYS: list[tuple[str, Way]] = [(p, w) for p in PROFILES for w in ("tls", "unix") if (p, w) != ("traefik", "unix")]


@pytest.mark.parametrize(("profile", "way"), WAYS)
def test_a_way_without_a_key(profile: str, way: Way, installed: Path) -> None:
    """Over mutual TLS or a socket the gateway is who it is: it is asked, allowed and denied, and no key is sent."""
    assert installed
    with partners.gate(profile, way=way) as gate:
        with gate.watch() as happened:
            answer = gate.call(request("/x?y=1", ("Muster-Gateway-Key", "made-up")))
        assert answer.status == 200
        assert happened.asked.key is None
        assert happened.asked.target == "/x?y=1"
        assert happened.reached.decision == happened.ids[0]
        with gate.pdp.answering(pdp.DENY):
            assert gate.call().status == 403


@pytest.mark.parametrize("profile", PROFILES)
def test_another_authority_is_not_believed(profile: str, installed: Path) -> None:
    """Whoever answers with a certificate of somebody else is not Muster: 503."""
    assert installed
    with partners.gate(profile, way="tls") as gate, programs.short_folder() as folder:
        other = certificates.made(folder)
        gate.die()
        if isinstance(gate.pdp, GrpcPdp):
            gate.pdp.credentials = other.grpc_side()
        else:
            gate.pdp.tls = other.server_side()
        gate.revive()
        with gate.watch() as happened:
            answer = gate.call()
        assert answer.status == 503
        assert (happened.asks, happened.seen) == ([], [])


@pytest.mark.parametrize("profile", PROFILES)
def test_named_hosts(profile: str, installed: Path) -> None:
    """A host that is not served is refused by the gateway, unasked; the others are asked about, with any port."""
    assert installed
    with partners.gate(profile, "--server-name", "app.example", "--server-name", "api.example") as gate:
        with gate.watch() as happened:
            for host in ("other.example", "app.example.evil", "xapp.example", "127.0.0.1"):
                assert gate.call(request("/", host=host)).status == (404 if profile == "traefik" else 421)
        assert (happened.asks, happened.seen) == ([], [])
        with gate.watch() as happened:
            for host in ("app.example", "api.example", "API.example", f"app.example:{gate.address[1]}"):
                assert gate.call(request("/", host=host)).status == 200
        assert len(happened.asks) == len(happened.seen) == 4
