"""The identity provider, and a way to it that trusts its authority."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.access.discovery import Way
from tests.access.provider import Provider, certificates
from tests.access.signing import key


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The file of the authority's certificate, and that of the server's certificate and key."""
    return certificates(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def provider(authority: tuple[Path, Path]) -> Iterator[Provider]:
    """A provider that signs with the RSA key `one`."""
    with Provider(authority[1], key("one", "RS256")) as running:
        yield running


@pytest.fixture(scope="session")
def way(authority: tuple[Path, Path]) -> Way:
    """A way to it, with little patience."""
    return Way(ca_file=authority[0], answer_seconds=2.0)
