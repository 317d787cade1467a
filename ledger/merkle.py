"""The Merkle tree of RFC 6962 section 2.1 over leaf hashes: roots, a frontier, both kinds of proof.

Pure functions over bytes. Proofs do not bind the size: (size, root) must come together from a signed
checkpoint, so nothing here promises more than the two values it is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from ledger.errors import Malformed

EMPTY_ROOT: Final = sha256(b"").digest()


def empty_root() -> bytes:
    """The root of the tree without leaves: SHA-256 of nothing."""
    return EMPTY_ROOT


def leaf_hash(entry: bytes) -> bytes:
    """SHA-256(0x00 || entry)."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 || left || right)."""
    return sha256(b"\x01" + left + right).digest()


class Frontier:
    """The roots of the complete subtrees of a growing tree, the largest first: all that an append needs."""

    __slots__ = ("_roots", "size")

    def __init__(self) -> None:
        self.size = 0
        self._roots: list[bytes] = []

    def append(self, leaf: bytes) -> None:
        """Add one leaf hash."""
        index = self.size
        while index & 1:
            leaf = node_hash(self._roots.pop(), leaf)
            index >>= 1
        self._roots.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        """The root over all leaves so far."""
        if not self._roots:
            return EMPTY_ROOT
        root = self._roots[-1]
        for left in reversed(self._roots[:-1]):
            root = node_hash(left, root)
        return root

    def to_bytes(self) -> bytes:
        """Size as 8 bytes big-endian, then the hashes."""
        return self.size.to_bytes(8) + b"".join(self._roots)

    @classmethod
    def from_bytes(cls, data: bytes) -> Frontier:
        """The inverse of to_bytes; raises Malformed."""
        size = int.from_bytes(data[:8])
        if len(data) != 8 + 32 * size.bit_count():
            raise Malformed("a frontier whose length does not fit its size")
        frontier = cls()
        frontier.size = size
        frontier._roots = [data[start : start + 32] for start in range(8, len(data), 32)]
        return frontier


def root_of(leaves: Sequence[bytes]) -> bytes:
    """The root over leaf hashes."""
    frontier = Frontier()
    for leaf in leaves:
        frontier.append(leaf)
    return frontier.root()


def _split(size: int) -> int:
    """The largest power of two below `size` (size > 1)."""
    return 1 << ((size - 1).bit_length() - 1)


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The audit path of leaf `index` (RFC 6962 section 2.1.1), the leaf's sibling first."""
    if not 0 <= index < len(leaves):
        raise Malformed("an inclusion proof of a leaf that the tree does not have")
    proof: list[bytes] = []
    start, stop = 0, len(leaves)
    while stop - start > 1:
        middle = start + _split(stop - start)
        if index < middle:
            proof.append(root_of(leaves[middle:stop]))
            stop = middle
        else:
            proof.append(root_of(leaves[start:middle]))
            start = middle
    return proof[::-1]


def consistency_proof(leaves: Sequence[bytes], old_size: int) -> list[bytes]:
    """The proof that the first `old_size` leaves begin this tree (RFC 6962 section 2.1.2)."""
    if not 0 <= old_size <= len(leaves):
        raise Malformed("a consistency proof from a size that the tree never had")
    if old_size in (0, len(leaves)):
        return []
    proof: list[bytes] = []
    start, stop, left_edge = 0, len(leaves), True
    while old_size != stop:
        middle = start + _split(stop - start)
        if old_size <= middle:
            proof.append(root_of(leaves[middle:stop]))
            stop = middle
        else:
            proof.append(root_of(leaves[start:middle]))
            start, left_edge = middle, False
    if not left_edge:
        proof.append(root_of(leaves[start:stop]))
    return proof[::-1]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether `proof` leads from the leaf hash at `index` to the root of `size` leaves (RFC 9162 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    position, last, found = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if position & 1 or position == last:
            found = node_hash(sibling, found)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            found = node_hash(found, sibling)
        position >>= 1
        last >>= 1
    return last == 0 and found == root


def verify_consistency(old_size: int, new_size: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes) -> bool:
    """Whether the tree of `new_size` begins with the tree of `old_size` (RFC 9162 section 2.1.4.2)."""
    if not 0 <= old_size <= new_size:
        return False
    if old_size == 0:
        return not proof and old_root == EMPTY_ROOT
    if old_size == new_size:
        return not proof and old_root == new_root
    path = list(proof) if old_size & (old_size - 1) else [old_root, *proof]
    if not path:
        return False
    position, last = old_size - 1, new_size - 1
    while position & 1:
        position >>= 1
        last >>= 1
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if position & 1 or position == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            new = node_hash(new, sibling)
        position >>= 1
        last >>= 1
    return last == 0 and old == old_root and new == new_root
