"""One OPA serves the rules to all tests of this room."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from engine.opa.binary import OpaBinary
from tests.policies.world import Served, serving


@pytest.fixture(scope="session")
def served(opa_binary: OpaBinary) -> Iterator[Served]:
    """The rules as they are, served by a real OPA."""
    with serving(opa_binary.path) as rules:
        yield rules
