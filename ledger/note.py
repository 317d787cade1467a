"""Notes as the log writes them (C2SP signed-note): signing keys, and what signs with them.

`Signer` is all that a log needs of a key, so that a KMS or an HSM can stand in its place. Reading and checking notes is
the verifier's (`ledger.verifier.note`).
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


class Signer(Protocol):
    """Whatever holds an Ed25519 key. `sign` MUST answer the 64 bytes of RFC 8032 over exactly the message."""

    @property
    def public(self) -> bytes:
        """The 32 bytes of the public key."""

    def sign(self, message: bytes) -> bytes:
        """The signature, 64 bytes."""


@dataclass(frozen=True, slots=True)
class FileSigner:
    """A signer whose key is in this process."""

    key: Ed25519PrivateKey

    @property
    def public(self) -> bytes:
        """See Signer."""
        return self.key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)

    def sign(self, message: bytes) -> bytes:
        """See Signer."""
        return self.key.sign(message)


def vkey(name: str, public: bytes) -> str:
    """The verifier key of a log, as others are given it."""
    return f"{name}+{_key_id(name, public).hex()}+{base64.b64encode(bytes([1]) + public).decode()}"


def signed(text: str, name: str, *signers: Signer) -> str:
    """A note of this text (which ends in a newline), with a signature of each key, all called `name`."""
    bodies = [_key_id(name, signer.public) + signer.sign(text.encode()) for signer in signers]
    return f"{text}\n" + "".join(f"\u2014 {name} {base64.b64encode(body).decode()}\n" for body in bodies)


def checkpoint_text(origin: str, size: int, root: bytes) -> str:
    """What a checkpoint says (C2SP tlog-checkpoint), without extension lines."""
    return f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n"


def proof_text(index: int, hashes: list[bytes], checkpoint: str) -> str:
    """A `.tlog-proof` (C2SP tlog-proof) with its checkpoint."""
    lines = "".join(f"{base64.b64encode(node).decode()}\n" for node in hashes)
    return f"c2sp.org/tlog-proof@v1\nindex {index}\n{lines}\n{checkpoint}"


def _key_id(name: str, public: bytes) -> bytes:
    return sha256(f"{name}\n".encode() + b"\x01" + public).digest()[:4]
