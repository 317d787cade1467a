"""Real gateways, each started once and used by all the tests that leave it as it was."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import tests.clients  # noqa: F401 - so that the client kit's package is found
from engine.opa.binary import OpaBinary
from tests.adapters.gateway.conftest import ROUTES, served
from tests.adapters.gateway.edge import Edge
from tests.gateways import mustered, partners, tools
from tests.gateways.mustered import Way
from tests.gateways.partners import Gate
from tests.gateways.programs import PROFILES


@pytest.fixture(scope="session")
def installed() -> Path:
    """The gateways' programs, installed if they are not there; where that fails the tests fail."""
    tools.install()
    return tools.home()


@pytest.fixture(scope="session", params=PROFILES)
def gate(request: pytest.FixtureRequest, installed: Path) -> Iterator[Gate]:
    """A gateway between an application and the stand-in, with the configuration that is printed for it."""
    assert installed
    with partners.gate(request.param) as there:
        yield there


@pytest.fixture(scope="package")
def muster(tmp_path_factory: pytest.TempPathFactory, opa_binary: OpaBinary) -> Iterator[Edge]:
    """A service of these files' own: it is killed, and stopped for a while."""
    folder = tmp_path_factory.mktemp("muster")
    with served(folder, opa_binary.path, routes=ROUTES + mustered.TABLE, deadline_ms=800) as running:
        yield running


@pytest.fixture(scope="package", params=PROFILES)
def way(request: pytest.FixtureRequest, installed: Path, muster: Edge) -> Iterator[Way]:
    """The gateway in front of an application, with Muster itself."""
    assert installed
    with mustered.way(muster, request.param) as made:
        yield made
