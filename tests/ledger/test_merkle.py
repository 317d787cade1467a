"""The Merkle tree against the public vectors of Certificate Transparency, and by property."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import merkle
from ledger.errors import Malformed
from ledger.verifier import tree
from ledger.verifier.errors import Invalid
from tests.ledger.builders import subtrees

# The leaves and roots of the reference tests of Certificate Transparency (sizes 1 to 8).
_INPUTS = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
_ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
_LEAVES = [merkle.leaf_hash(data) for data in _INPUTS]


def _tree(size: int) -> list[bytes]:
    return [merkle.leaf_hash(number.to_bytes(4)) for number in range(size)]


def test_the_empty_tree_is_the_hash_of_nothing() -> None:
    """Its root is SHA-256 of the empty string."""
    expected = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert merkle.empty_root().hex() == merkle.root_of([]).hex() == tree.Tree().root().hex() == expected


@pytest.mark.parametrize("size", range(1, 9))
def test_roots_are_the_public_ones(size: int) -> None:
    """Sizes 1 to 8 have the published roots, by the writer's way and by the verifier's."""
    assert merkle.root_of(_LEAVES[:size]).hex() == _ROOTS[size - 1]
    grown = tree.Tree()
    for leaf in _LEAVES[:size]:
        grown.append(leaf)
    assert grown.root().hex() == _ROOTS[size - 1]


def test_proofs_are_the_public_ones() -> None:
    """The published audit paths and consistency proofs come out as published."""

    def inclusion(leaf: int, size: int) -> list[str]:
        return [node.hex()[:8] for node in merkle.inclusion_proof(subtrees(_LEAVES[:size]), leaf, size)]

    def consistency(old: int, new: int) -> list[str]:
        return [node.hex()[:8] for node in merkle.consistency_proof(subtrees(_LEAVES[:new]), old, new)]

    assert inclusion(0, 1) == []
    assert inclusion(0, 8) == ["96a296d2", "5f083f0a", "6b47aaf2"]
    assert inclusion(5, 8) == ["bc1a0643", "ca854ea1", "d37ee418"]
    assert inclusion(2, 3) == ["fac54203"]
    assert inclusion(1, 5) == ["6e340b9c", "5f083f0a", "bc1a0643"]
    assert consistency(1, 1) == []
    assert consistency(1, 8) == ["96a296d2", "5f083f0a", "6b47aaf2"]
    assert consistency(6, 8) == ["0ebc5d34", "ca854ea1", "d37ee418"]
    assert consistency(2, 5) == ["5f083f0a", "bc1a0643"]


@given(st.data(), st.integers(1, 1000))
def test_inclusion_proofs_verify_and_tampered_ones_do_not(data: st.DataObject, size: int) -> None:
    """A path proves its leaf at its index; another leaf, index, node or length leads elsewhere."""
    leaves = _tree(size)
    index = data.draw(st.integers(0, size - 1))
    root, proof = merkle.root_of(leaves), merkle.inclusion_proof(subtrees(leaves), index, size)
    assert tree.root_by_inclusion(leaves[index], index, size, proof) == root
    assert tree.root_by_inclusion(merkle.leaf_hash(b"x"), index, size, proof) != root
    assert tree.root_by_inclusion(leaves[index], index, size, [*proof, root]) is None
    assert tree.root_by_inclusion(leaves[index], size, size, proof) is None
    assert tree.root_by_inclusion(leaves[index], -1, size, proof) is None
    if proof:
        other = data.draw(st.integers(0, size - 1).filter(lambda at: at != index))
        assert tree.root_by_inclusion(leaves[index], other, size, proof) != root
        assert tree.root_by_inclusion(leaves[index], index, size, proof[:-1]) is None
        broken = data.draw(st.integers(0, len(proof) - 1))
        changed = [*proof[:broken], bytes(32), *proof[broken + 1 :]]
        assert tree.root_by_inclusion(leaves[index], index, size, changed) != root


@given(st.data(), st.integers(0, 1000))
def test_consistency_proofs_verify_and_tampered_ones_do_not(data: st.DataObject, size: int) -> None:
    """A proof shows one tree to begin another; another root, node or length does not verify."""
    leaves = _tree(size)
    old = data.draw(st.integers(0, size))
    old_root, root = merkle.root_of(leaves[:old]), merkle.root_of(leaves)
    proof = merkle.consistency_proof(subtrees(leaves), old, size)
    assert tree.consistent(old, size, proof, old_root, root)
    assert not tree.consistent(old, size, proof, merkle.leaf_hash(b"x"), root)
    assert not tree.consistent(old, size, [*proof, bytes(32)], old_root, root)
    assert not tree.consistent(size + 1, size, proof, old_root, root)
    if 0 < old < size:
        assert not tree.consistent(old, size, proof, old_root, merkle.leaf_hash(b"x"))
        assert not tree.consistent(old, size, proof[:-1], old_root, root)
        broken = data.draw(st.integers(0, len(proof) - 1))
        changed = [*proof[:broken], bytes(32), *proof[broken + 1 :]]
        assert not tree.consistent(old, size, changed, old_root, root)


@given(st.data(), st.integers(0, 1000))
def test_a_range_needs_only_what_is_around_it(data: st.DataObject, size: int) -> None:
    """With the complete subtrees before and behind it, a range of leaves gives the root of the whole."""
    leaves = _tree(size)
    start = data.draw(st.integers(0, size))
    stop = data.draw(st.integers(start, size))
    part = subtrees(leaves)
    grown = tree.Tree(start, part.complete(0, start))
    grown.extend(leaves[start:stop])
    after = part.complete(stop, size)
    grown.close(size, after)
    assert (grown.size, grown.root()) == (size, merkle.root_of(leaves))
    with pytest.raises(Invalid):
        tree.Tree(start, [*part.complete(0, start), bytes(32)])
    if after:
        with pytest.raises(Invalid):
            tree.Tree(stop, part.complete(0, stop)).close(size, after[:-1])


@given(st.integers(0, 300))
def test_a_frontier_survives_as_bytes(size: int) -> None:
    """Written and read at any size, it grows on as if it never stopped."""
    frontier = merkle.Frontier()
    for leaf in _tree(size):
        frontier.append(leaf)
    again = merkle.Frontier.from_bytes(frontier.to_bytes())
    for each in (frontier, again):
        each.append(merkle.leaf_hash(b"next"))
    assert again.root() == frontier.root() == merkle.root_of([*_tree(size), merkle.leaf_hash(b"next")])


def test_a_frontier_of_another_length_is_malformed() -> None:
    """Bytes that do not fit their size are refused, and so are proofs of leaves that are not there."""
    for data in (b"", bytes(9), (3).to_bytes(8) + bytes(32)):
        with pytest.raises(Malformed):
            merkle.Frontier.from_bytes(data)
    with pytest.raises(Malformed):
        merkle.inclusion_proof(subtrees(_LEAVES), 8, 8)
    with pytest.raises(Malformed):
        merkle.consistency_proof(subtrees(_LEAVES), 9, 8)
    with pytest.raises(Malformed):
        merkle.inclusion_proof(subtrees(_LEAVES), 0, 9)
