"""An inclusion proof as a drawing: the way from a leaf up to the root, what stands beside it, and where each box lies.

Numbers and hashes only: nothing that anybody wrote gets in here, so what is drawn needs no escaping. Which entries a
node covers follows from index and size alone (RFC 6962 section 2.1); the hashes are computed again from the header.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from ledger.verifier.errors import Invalid
from ledger.verifier.tree import leaf_hash, node_hash

WIDTH: Final = 288
"""In units that are pixels on the narrowest screen: 320 less the margins."""
_BOX: Final = (134, 46)
_ROW: Final = 82
_EDGE: Final = 2

Kind = Literal["leaf", "path", "sibling", "root"]


@dataclass(frozen=True, slots=True)
class Node:
    """A node of the tree: the hash over entries start <= n < stop."""

    hash: bytes
    start: int
    stop: int

    @property
    def last(self) -> int:
        return self.stop - 1

    @property
    def short(self) -> str:
        """As much of the hash as fits a box."""
        return self.hash.hex()[:12]


@dataclass(frozen=True, slots=True)
class Level:
    """A node of the way, its sibling out of the proof, and which of the two is the left one."""

    node: Node
    sibling: Node
    sibling_is_left: bool


@dataclass(frozen=True, slots=True)
class Path:
    """The way up: one level for each hash of the proof, the leaf's first; then the root it leads to."""

    levels: tuple[Level, ...]
    root: Node

    @property
    def leaf(self) -> Node:
        return self.levels[0].node if self.levels else self.root


@dataclass(frozen=True, slots=True)
class Box:
    """A node with its upper left corner."""

    kind: Kind
    node: Node
    x: int
    y: int

    @property
    def middle(self) -> int:
        return self.x + _BOX[0] // 2


@dataclass(frozen=True, slots=True)
class Line:
    """From a node up to its parent; `on` the way, or beside it."""

    x1: int
    y1: int
    x2: int
    y2: int
    on: bool


@dataclass(frozen=True, slots=True)
class Drawing:
    """All there is to draw. Left children stand on the left: it is the tree itself, cut down to one way."""

    height: int
    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]
    width: int = WIDTH
    box_width: int = _BOX[0]
    box_height: int = _BOX[1]


def path(header: bytes, index: int, size: int, proof: Sequence[bytes]) -> Path:
    """The way of an entry in a log of `size`; raises Invalid where the proof has another length."""
    spans = _spans(index, size)
    if len(spans) != len(proof):
        raise Invalid(f"a proof of {len(proof)} hashes; entry {index} of {size} takes {len(spans)}")
    node, levels = Node(leaf_hash(header), index, index + 1), []
    for (start, stop), found in zip(spans, proof, strict=True):
        sibling, is_left = Node(found, start, stop), start < node.start
        levels.append(Level(node, sibling, is_left))
        left, right = (sibling, node) if is_left else (node, sibling)
        node = Node(node_hash(left.hash, right.hash), left.start, right.stop)
    return Path(tuple(levels), node)


def _spans(index: int, size: int) -> list[tuple[int, int]]:
    """The entries that each hash of the audit path covers, the leaf's sibling first."""
    if not 0 <= index < size:
        raise Invalid(f"a log of {size} entries has no entry {index}")
    spans, start, stop = [], 0, size
    while stop - start > 1:
        middle = start + (1 << ((stop - start - 1).bit_length() - 1))
        if index < middle:
            spans.append((middle, stop))
            stop = middle
        else:
            spans.append((start, middle))
            start = middle
    return spans[::-1]


def drawing(way: Path) -> Drawing:
    """Root on top, leaf at the bottom, the two children of each parent side by side."""
    height = 2 * _EDGE + _BOX[1] + len(way.levels) * _ROW
    boxes: list[Box] = []
    for number, level in enumerate(way.levels):
        y = height - _EDGE - _BOX[1] - number * _ROW
        columns = (WIDTH - _EDGE - _BOX[0], _EDGE) if level.sibling_is_left else (_EDGE, WIDTH - _EDGE - _BOX[0])
        boxes.append(Box("leaf" if number == 0 else "path", level.node, columns[0], y))
        boxes.append(Box("sibling", level.sibling, columns[1], y))
    boxes.append(Box("root" if way.levels else "leaf", way.root, (WIDTH - _BOX[0]) // 2, _EDGE))
    lines = [
        Line(child.middle, child.y, parent.middle, parent.y + _BOX[1], child.kind != "sibling")
        for number, parent in enumerate(boxes[2::2])
        for child in (boxes[2 * number + 1], boxes[2 * number])
    ]
    return Drawing(height, tuple(boxes), tuple(lines))
