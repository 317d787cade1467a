"""The Merkle tree of RFC 6962 section 2.1 as the writer needs it: roots, a frontier, both kinds of proof.

Functions over bytes. Checking a proof is the verifier's (`ledger.verifier.tree`). Proofs do not bind the size:
(size, root) must come together from a signed checkpoint.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Protocol

from ledger.errors import Malformed

EMPTY_ROOT: Final = sha256(b"").digest()
STEP: Final = 4
"""Of the complete subtrees those of 16, 256, 4,096, ... leaves are kept, so a proof reads at most 15 hashes a level."""


def empty_root() -> bytes:
    """The root of the tree without leaves: SHA-256 of nothing."""
    return EMPTY_ROOT


def leaf_hash(entry: bytes) -> bytes:
    """SHA-256(0x00 || entry)."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 || left || right)."""
    return sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True)
class Completed:
    """The root of a complete subtree of 16**level leaves, the `index`-th of its level."""

    level: int
    index: int
    hash: bytes


class Hashes(Protocol):
    """Where proofs find the tree: roots of complete subtrees of 16**level leaves; level 0 is the leaves."""

    def __call__(self, level: int, start: int, stop: int) -> Sequence[bytes]:
        """Those numbered start <= n < stop; the caller asks only for what is complete."""


class Frontier:
    """The roots of the complete subtrees of a growing tree, the largest first: all that an append needs."""

    __slots__ = ("_roots", "size")

    def __init__(self) -> None:
        self.size = 0
        self._roots: list[bytes] = []

    def append(self, leaf: bytes) -> list[Completed]:
        """Add one leaf hash; answers the subtrees of 16, 256, ... leaves that it completes."""
        completed = []
        index, height = self.size, 0
        while index & 1:
            leaf = node_hash(self._roots.pop(), leaf)
            index >>= 1
            height += 1
            if height % STEP == 0:
                completed.append(Completed(height // STEP, index, leaf))
        self._roots.append(leaf)
        self.size += 1
        return completed

    def extend(self, leaves: Sequence[bytes]) -> list[Completed]:
        """Add leaf hashes in order, as `append` would one by one; answers the subtrees completed, the lowest first.

        A level of all of them at a time: each hash is computed once, as ever, at half the cost around it.
        """
        completed: list[Completed] = []
        ends: list[bytes] = []  # what has no right neighbour, the smallest first
        row, first, height = list(leaves), self.size, 0
        while row:
            if first & 1:
                row.insert(0, self._roots.pop())
                first -= 1
            if len(row) & 1:
                ends.append(row.pop())
            row = [sha256(b"\x01" + left + right).digest() for left, right in zip(row[::2], row[1::2], strict=True)]
            first >>= 1
            height += 1
            if height % STEP == 0:
                completed += [Completed(height // STEP, first + offset, each) for offset, each in enumerate(row)]
        self._roots += reversed(ends)
        self.size += len(leaves)
        return completed

    def copy(self) -> Frontier:
        """A frontier that grows for itself."""
        other = Frontier()
        other.size, other._roots = self.size, self._roots.copy()
        return other

    def root(self) -> bytes:
        """The root over all leaves so far."""
        return _folded(self._roots)

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


class Subtrees:
    """Roots of parts of a log, each computed once: all of what two neighbours' proofs share is at hand.

    A root is at most 8 hashes away, at any size of the log, so a proof takes O(log n).
    """

    def __init__(self, hashes: Hashes, *, most: int = 4096) -> None:
        self._hashes = hashes
        self._most = most
        self._known: OrderedDict[tuple[int, int], bytes] = OrderedDict()

    def root(self, start: int, stop: int) -> bytes:
        """MTH(D[start:stop]) of a part that RFC 6962 splits off."""
        return _folded(self.complete(start, stop))

    def complete(self, start: int, stop: int) -> list[bytes]:
        """The roots of the largest complete subtrees that make up start <= n < stop, in the order of the log."""
        roots = []
        while start < stop:
            height = (stop - start).bit_length() - 1
            if start:
                height = min(height, (start & -start).bit_length() - 1)
            roots.append(self._complete(start, height))
            start += 1 << height
        return roots

    def _complete(self, start: int, height: int) -> bytes:
        key = (start, height)
        if key not in self._known:
            level, above = divmod(height, STEP)
            first = start >> level * STEP
            row = list(self._hashes(level, first, first + (1 << above)))
            if len(row) != 1 << above:
                raise Malformed(f"the log has not all hashes of level {level} from {first} on")
            while len(row) > 1:
                row = [node_hash(left, right) for left, right in zip(row[::2], row[1::2], strict=True)]
            self._known[key] = row[0]
            if len(self._known) > self._most:
                self._known.popitem(last=False)
        return self._known[key]


def _folded(roots: Sequence[bytes]) -> bytes:
    if not roots:
        return EMPTY_ROOT
    root = roots[-1]
    for left in reversed(roots[:-1]):
        root = node_hash(left, root)
    return root


def _split(size: int) -> int:
    """The largest power of two below `size` (size > 1)."""
    return 1 << ((size - 1).bit_length() - 1)


def inclusion_proof(tree: Subtrees, index: int, size: int) -> list[bytes]:
    """The audit path of leaf `index` in the first `size` leaves (RFC 6962 section 2.1.1), its sibling first."""
    if not 0 <= index < size:
        raise Malformed("an inclusion proof of a leaf that the tree does not have")
    proof: list[bytes] = []
    start, stop = 0, size
    while stop - start > 1:
        middle = start + _split(stop - start)
        if index < middle:
            proof.append(tree.root(middle, stop))
            stop = middle
        else:
            proof.append(tree.root(start, middle))
            start = middle
    return proof[::-1]


def consistency_proof(tree: Subtrees, old_size: int, size: int) -> list[bytes]:
    """The proof that the first `old_size` leaves begin the tree of `size` (RFC 6962 section 2.1.2)."""
    if not 0 <= old_size <= size:
        raise Malformed("a consistency proof from a size that the tree never had")
    if old_size in (0, size):
        return []
    proof: list[bytes] = []
    start, stop, left_edge = 0, size, True
    while old_size != stop:
        middle = start + _split(stop - start)
        if old_size <= middle:
            proof.append(tree.root(middle, stop))
            stop = middle
        else:
            proof.append(tree.root(start, middle))
            start, left_edge = middle, False
    if not left_edge:
        proof.append(tree.root(start, stop))
    return proof[::-1]
