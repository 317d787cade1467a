"""The Merkle tree of RFC 6962 as a verifier needs it: roots of what it read, and proofs that it was given.

`Tree` may begin in the middle of a log, with the roots of the complete subtrees before it; that is how a range of
entries is checked against a checkpoint without the rest (the RFC's audit path, for many leaves at once).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256

from .errors import Invalid


def leaf_hash(entry: bytes) -> bytes:
    """SHA-256(0x00 || entry)."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 || left || right)."""
    return sha256(b"\x01" + left + right).digest()


class Tree:
    """A growing tree: a stack of (height, hash) of complete subtrees, merged where two are equally high."""

    def __init__(self, size: int = 0, before: Sequence[bytes] = ()) -> None:
        """`before` are the roots of the complete subtrees of the first `size` leaves, the largest first."""
        heights = [height for height in range(size.bit_length() - 1, -1, -1) if size >> height & 1]
        if len(heights) != len(before):
            raise Invalid(f"{len(before)} hashes for a beginning of {size} entries; it takes {len(heights)}")
        self.size = size
        self._stack = list(zip(heights, before, strict=True))

    def append(self, leaf: bytes) -> None:
        """Add one leaf hash."""
        self._push(0, leaf)

    def extend(self, leaves: Iterable[bytes]) -> None:
        """Add leaf hashes."""
        # The loop of every verification: nothing is called in it but SHA-256.
        stack = self._stack
        for node in leaves:
            height = 0
            while stack and stack[-1][0] == height:
                node = sha256(b"\x01" + stack.pop()[1] + node).digest()
                height += 1
            stack.append((height, node))
            self.size += 1

    def graft(self, height: int, root: bytes) -> None:
        """Add 2**height leaves at once, by the root of their subtree; the tree is as large as a multiple of them."""
        self._push(height, root)

    def copy(self) -> Tree:
        """Another tree that grows on from here."""
        other = Tree()
        other.size, other._stack = self.size, list(self._stack)
        return other

    def close(self, size: int, after: Sequence[bytes]) -> None:
        """Add what follows up to `size`, as the roots of complete subtrees in the order of the log; raises Invalid."""
        for node in after:
            height = min((self.size & -self.size).bit_length() - 1 if self.size else 63, 63)
            while self.size + (1 << height) > size:
                height -= 1
                if height < 0:
                    raise Invalid("more hashes behind the range than the log has entries")
            self._push(height, node)
        if self.size != size:
            raise Invalid(f"the hashes reach to entry {self.size}, the log has {size}")

    def _push(self, height: int, node: bytes) -> None:
        self.size += 1 << height
        while self._stack and self._stack[-1][0] == height:
            node = node_hash(self._stack.pop()[1], node)
            height += 1
        self._stack.append((height, node))

    def root(self) -> bytes:
        """The root over all leaves so far."""
        if not self._stack:
            return sha256(b"").digest()
        root = self._stack[-1][1]
        for _, left in self._stack[-2::-1]:
            root = node_hash(left, root)
        return root


def root_by_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes | None:
    """The root to which an audit path leads (RFC 9162 section 2.1.3.2); None where the path has the wrong length."""
    if not 0 <= index < size:
        return None
    inner = (index ^ (size - 1)).bit_length()
    if len(proof) != inner + (index >> inner).bit_count():
        return None
    node = leaf
    for height, sibling in enumerate(proof[:inner]):
        node = node_hash(sibling, node) if index >> height & 1 else node_hash(node, sibling)
    for sibling in proof[inner:]:
        node = node_hash(sibling, node)
    return node


def consistent(old_size: int, new_size: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes) -> bool:
    """Whether the tree of `new_size` begins with the tree of `old_size` (RFC 9162 section 2.1.4.2)."""
    if not 0 <= old_size <= new_size:
        return False
    if old_size == new_size:
        return not proof and old_root == new_root
    if old_size == 0:
        return not proof and old_root == sha256(b"").digest()
    # The old tree's last complete subtree is where the proof begins; a power of two is one by itself.
    shift = (old_size & -old_size).bit_length() - 1
    path = list(proof) if old_size & (old_size - 1) else [old_root, *proof]
    if not path:
        return False
    inner = ((old_size - 1) >> shift ^ (new_size - 1) >> shift).bit_length()
    border = ((old_size - 1) >> shift >> inner).bit_count()
    if len(path) != 1 + inner + border:
        return False
    old = new = path[0]
    for height, sibling in enumerate(path[1:]):
        if height >= inner or (old_size - 1) >> shift >> height & 1:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
        else:
            new = node_hash(new, sibling)
    return old == old_root and new == new_root
