"""What every room's tests share: the real OPA, and the suite of every store, whose asserts are to be told in full."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

from engine.opa import binary

# These files take longest: where several processes share the suite they begin with them, so that none comes last.
_LONG = (
    "service/test_killed",
    "upkeep/test_backup",
    "gateways/test_muster",
    "web/test_path",
    "service/test_reads",
    "publishing/test_witnesses",
    "serving/test_workers",
    "serving/test_witnesses",
    "adapters/gateway/test_fuzz",
    "publishing/test_matrix",
    "bundling/test_build",
    "thirdparty/",
)

# An example that took long was one beside which others ran: how long something may take is measured by its own tests.
settings.register_profile("suite", deadline=None)
settings.load_profile("suite")

pytest.register_assert_rewrite("tests.ledger.builders", "tests.ledger.store_suite")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long ones first."""
    items.sort(key=lambda item: not item.nodeid.startswith(tuple(f"tests/{file}" for file in _LONG)))


@pytest.fixture(scope="session")
def opa_binary() -> binary.OpaBinary:
    """The OPA that the project would use on this machine, installed if it is not there."""
    configured = os.environ.get("MUSTER_OPA_BIN")
    cache = Path(os.environ.get("MUSTER_CACHE", Path.home() / ".cache" / "muster"))
    return binary.find(Path(configured) if configured else None, cache)
