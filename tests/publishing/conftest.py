"""The services of `tests.service`, real witnesses, and one server that plays witnesses which are none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.publishing.liar import Liar
from tests.service.conftest import new_service, template
from tests.thirdparty import tools

__all__ = ["new_service", "template"]


@pytest.fixture(scope="session")
def _installed() -> None:
    """Other people's log tools, installed where they are missing."""
    tools.install()


@pytest.fixture
def liar() -> Iterator[Liar]:
    """A server whose every path is a witness that does not do what it should."""
    with Liar() as server:
        yield server
