"""A toy gate in a signed bundle: it echoes its input's key, and breaks in each way that an input can ask for."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from engine.opa.binary import OpaBinary
from engine.opa.canary import CANARY_PATH, CANARY_REGO
from engine.opa.evaluator import Evaluator

GATE = """\
package muster.gate

decision := {"echo": input.key} if {
    not input.number
    not input.list
    not input.absent
    not input.fraction
}

decision := {"echo": input.key, "number": to_number(input.number)} if input.number

decision := {"echo": input.key, "pairs": n} if {
    input.list
    n := count([1 | some x in input.list; some y in input.list; x == y])
}

decision := {"echo": input.key, "fraction": 0.5} if input.fraction

decision := {"conflict": true} if input.conflict

decisions := {k: d | some k, r in input.requests; d := decision with input as r}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """An Ed25519 pair in PEM files."""

    private: Path
    public: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A signed bundle and the key that signed it."""

    path: Path
    revision: str
    keys: Keys


@pytest.fixture(scope="session")
def new_keys(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Keys]:
    """Makes a pair of keys."""

    def make() -> Keys:
        folder = tmp_path_factory.mktemp("keys")
        key = Ed25519PrivateKey.generate()
        keys = Keys(private=folder / "key.pem", public=folder / "key.pub.pem")
        keys.private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        keys.public.write_bytes(
            key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        )
        return keys

    return make


@pytest.fixture(scope="session")
def new_bundle(
    opa_binary: OpaBinary, new_keys: Callable[[], Keys], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Bundle]:
    """Builds and signs a bundle of Rego files by their paths."""

    def build(files: dict[str, str], revision: str = "1" * 64) -> Bundle:
        folder, keys = tmp_path_factory.mktemp("bundle"), new_keys()
        root = folder / "root"
        for name, text in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text, "utf-8")
        (root / ".manifest").write_text(f'{{"revision":"{revision}","roots":["muster"],"rego_version":1}}')
        path = folder / "bundle.tar.gz"
        signing = ["--signing-key", str(keys.private), "--signing-alg", "EdDSA"]
        subprocess.run([opa_binary.path, "build", "-b", ".", *signing, "-o", path], cwd=root, check=True)
        return Bundle(path=path, revision=revision, keys=keys)

    return build


@pytest.fixture(scope="session")
def toy(new_bundle: Callable[..., Bundle]) -> Bundle:
    """The toy gate and the canary."""
    return new_bundle({CANARY_PATH: CANARY_REGO, "muster/gate/gate.rego": GATE})


@pytest.fixture
def evaluator(opa_binary: OpaBinary, toy: Bundle) -> Evaluator:
    """An evaluator of the toy gate, not started, with half a second for each decision."""
    return Evaluator(opa_binary, toy.path, toy.revision, verification_key=toy.keys.public, evaluation_seconds=0.5)
