"""Services of several processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.service.conftest import new_service, template
from tests.service.running import Service
from tests.serving.fleet import Fleet

__all__ = ["new_service", "template"]


@pytest.fixture(scope="module")
def fleet(new_service: Callable[[], Service]) -> Iterator[Fleet]:
    """A service of three workers, with a person who may export and one who may not."""
    service = new_service()
    fleet = Fleet(home=service.home, env=service.env, tokens=service.tokens, arguments=("serve", "--workers", "3"))
    try:
        fleet.start()
        fleet.everybody()
        yield fleet
    finally:
        fleet.stop()
