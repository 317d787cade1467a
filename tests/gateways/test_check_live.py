"""`muster gateway check --muster`: with Muster behind the gateway, each request that arrives proves its decision."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.opa.binary import OpaBinary
from tests.adapters.gateway.conftest import served
from tests.adapters.gateway.edge import Edge
from tests.gateways import checked
from tests.gateways.broken import ASSETS, BROKEN, SITE, Edit
from tests.gateways.checked import Done
from tests.gateways.mustered import PAGE
from tests.ports import free_port

OPEN = ASSETS.replace("/assets/", "/customers/acme/open")


@pytest.fixture(scope="module")
def muster(tmp_path_factory: pytest.TempPathFactory, opa_binary: OpaBinary) -> Iterator[Edge]:
    """A service with a route for each kind of gateway."""
    with served(tmp_path_factory.mktemp("muster"), opa_binary.path) as running:
        yield running


def live(muster: Edge, profile: str, *edits: Edit, paths: tuple[str, ...] = (PAGE,), user: str = "ada") -> Done:
    """A gateway on its printed configuration but for the edits, checked with Muster behind it."""
    address = f"http://{muster.check}" if profile == "envoy-grpc" else muster.service.url
    with checked.gateway(profile, edits, muster=address, key=muster.keys[profile]) as there:
        places = ["--backend", f"127.0.0.1:{there.backend}", "--muster", muster.service.url]
        who = ["--host", "api.example", "--header", f"X-User: {user}", "--header", "X-Ticket: REQ-1"]
        asked = [word for path in paths for word in ("--path", path)]
        return checked.check(f"http://127.0.0.1:{there.port}", *places, *who, *asked, "--json")


@pytest.mark.parametrize("profile", ["nginx", "traefik", "envoy-grpc"])
def test_what_is_printed_passes(profile: str, muster: Edge, installed: Path) -> None:
    """Exit 0: what arrived had been allowed, and proved it."""
    assert installed
    done = live(muster, profile)
    assert done.code == 0, done.told + done.stdout
    assert done.document["arrived"] > 20
    assert {probe["result"] for probe in done.probes.values()} == {"ok"}


def test_what_is_open_is_found(muster: Edge, installed: Path) -> None:
    """A location that is not asked about lets through what has no proof."""
    assert installed
    done = live(muster, "nginx", (SITE, OPEN + SITE), paths=(PAGE, "/customers/acme/open"))
    assert done.code == 1, done.told
    assert done.probes["allowed"]["faults"][0]["fault"] == "unproved"


def test_who_chooses_what_is_judged_is_found(muster: Edge, installed: Path) -> None:
    """A client's X-Forwarded-* that Traefik believes is seen in the proof, which is about another path."""
    assert installed
    trusting = next(broken.edits for broken in BROKEN if broken.title == "X-Forwarded-* of everybody")
    done = live(muster, "traefik", *trusting)
    assert done.code == 1, done.told
    assert [fault["fault"] for fault in done.probes["spoofed"]["faults"]] == ["spoofed"]


def test_who_may_not_sees_nothing(muster: Edge, installed: Path) -> None:
    """Exit 3: nothing comes out for somebody who is not trained, and the sentence says what to give."""
    assert installed
    done = live(muster, "nginx", user="bob")
    assert done.code == 3
    assert "ask as somebody who may" in done.told


def test_a_muster_that_has_no_keys() -> None:
    """Exit 3, and both or none of --pdp and --muster is wrong usage."""
    words = ["http://127.0.0.1:1", "--backend", f"127.0.0.1:{free_port()}"]
    done = checked.check(*words, "--muster", f"http://127.0.0.1:{free_port()}")
    assert done.code == 3
    assert "has no keys that can be read" in done.told
    for more in ((), ("--muster", "http://127.0.0.1:1", "--pdp", "127.0.0.1:1")):
        assert "give --pdp, to be asked in Muster's place, or --muster" in checked.check(*words, *more).told
