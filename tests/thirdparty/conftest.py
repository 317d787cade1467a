"""Other people's log tools, there before the first test that needs them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.thirdparty import tools as others


@pytest.fixture(scope="session")
def tools() -> Path:
    """Where the tools are, installed if they are not there; where that fails the tests fail: they are never skipped."""
    others.install()
    return others.home()
