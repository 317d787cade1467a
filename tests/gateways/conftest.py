"""Real gateways, each started once and used by all the tests that leave it as it was."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateways import partners, tools
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
