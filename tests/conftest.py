"""What every room's tests share: the real OPA, and the suite of every store, whose asserts are to be told in full."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.opa import binary

pytest.register_assert_rewrite("tests.ledger.builders", "tests.ledger.store_suite")


@pytest.fixture(scope="session")
def opa_binary() -> binary.OpaBinary:
    """The OPA that the project would use on this machine, installed if it is not there."""
    configured = os.environ.get("MUSTER_OPA_BIN")
    cache = Path(os.environ.get("MUSTER_CACHE", Path.home() / ".cache" / "muster"))
    return binary.find(Path(configured) if configured else None, cache)
