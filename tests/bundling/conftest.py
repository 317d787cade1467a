"""The real policies with the real source, built once for a file, and a copy of the rules to be spoiled."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from engine.bundling.archive import Built
from engine.bundling.build import build
from engine.opa.binary import OpaBinary

ROOT = Path(__file__).parents[2]
POLICIES, COMPANYOS = ROOT / "policies", ROOT / "bundles" / "companyos"


def key_pair(folder: Path, name: str) -> tuple[Path, Path]:
    """A new Ed25519 key: (private, public), as PEM files."""
    key = Ed25519PrivateKey.generate()
    private, public = folder / f"{name}.pem", folder / f"{name}.pub.pem"
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    public.write_bytes(
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return private, public


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A signing key."""
    return key_pair(tmp_path_factory.mktemp("keys"), "bundle")


@pytest.fixture(scope="module")
def built(opa_binary: OpaBinary, keys: tuple[Path, Path]) -> Built:
    """The real policies with the real source."""
    return build(POLICIES, COMPANYOS, opa_binary, keys[0])


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    """The real policies, to be spoiled."""
    shutil.copytree(POLICIES, tmp_path / "policies")
    return tmp_path / "policies"
