"""The VFS that fails when told to."""

from __future__ import annotations

from collections.abc import Iterator

import apsw
import pytest

from tests.ledger.faults import FaultyVFS


@pytest.fixture
def vfs(request: pytest.FixtureRequest) -> Iterator[FaultyVFS]:
    """The VFS of every connection opened during the test."""
    usual = apsw.vfs_names()[0]
    vfs = FaultyVFS(f"faulty-{request.node.name}", usual)
    yield vfs
    apsw.set_default_vfs(usual)
    vfs.unregister()
