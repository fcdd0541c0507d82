"""The tree, against the published vectors and its own laws.

The eight entries, their roots and the proofs are the reference vectors of Certificate
Transparency, published with its first implementation (google/certificate-transparency,
merkletree tests) and today in transparency-dev/merkle (testonly). The leaf hashes and
inner nodes are those of the same file.
"""

import pytest
from cryptography.hazmat.primitives.hashes import SHA256, Hash
from hypothesis import given, settings
from hypothesis import strategies as st

from cdp.audit.merkle import (
    EMPTY_ROOT,
    CompactRange,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    root,
    verify_consistency,
    verify_inclusion,
)

ENTRIES = [
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
ROOTS = [
    bytes.fromhex(text)
    for text in (
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    )
]
LEAVES = [leaf_hash(entry) for entry in ENTRIES]

# Inner nodes by level and place, as published.
N10 = "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"
N11 = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"
N12 = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a"
N13 = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"
N20 = "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"
N21 = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"
L0 = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
L1 = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"
L4 = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"
L6 = "b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f"

INCLUSION = [
    (0, 1, []),
    (0, 8, [L1, N11, N21]),
    (5, 8, [L4, N13, N20]),
    (2, 3, [N10]),
    (1, 5, [L0, N11, L4]),
]
CONSISTENCY = [
    (1, 1, []),
    (1, 8, [L1, N11, N21]),
    (6, 8, [N12, N13, N20]),
    (2, 5, [N11, L4]),
    (6, 7, [N12, L6, N20]),
]

sizes = st.integers(min_value=1, max_value=70)


def made(size: int) -> list[bytes]:
    return [leaf_hash(bytes([number])) for number in range(size)]


@pytest.mark.parametrize("size", range(9))
def test_roots_are_the_published_ones(size):
    """1: The root of every prefix of the reference entries is the published one."""
    assert root(LEAVES[:size]) == ROOTS[size]


def test_the_empty_tree_has_the_hash_of_nothing():
    """1: No entries at all give SHA-256 of the empty string."""
    assert EMPTY_ROOT == ROOTS[0] == CompactRange().root()


@pytest.mark.parametrize(("index", "size", "path"), INCLUSION)
def test_inclusion_proofs_are_the_published_ones(index, size, path):
    """1: The inclusion proofs of the reference tree are the published ones, and verify."""
    proof = inclusion_proof(LEAVES[:size], index)
    assert [node.hex() for node in proof] == path
    assert verify_inclusion(LEAVES[index], index, size, proof, ROOTS[size])


@pytest.mark.parametrize(("first", "second", "path"), CONSISTENCY)
def test_consistency_proofs_are_the_published_ones(first, second, path):
    """1: The consistency proofs of the reference tree are the published ones, and verify."""
    proof = consistency_proof(LEAVES[:second], first)
    assert [node.hex() for node in proof] == path
    assert verify_consistency(first, second, proof, ROOTS[first], ROOTS[second])


def defined_root(leaves: list[bytes]) -> bytes:
    """The definition of RFC 6962, section 2.1, word by word."""
    if len(leaves) == 1:
        return leaves[0]
    split = max(power for power in (1 << bit for bit in range(8)) if power < len(leaves))
    digest = Hash(SHA256())
    digest.update(b"\x01" + defined_root(leaves[:split]) + defined_root(leaves[split:]))
    return digest.finalize()


def test_a_compact_range_has_the_root_of_the_list_at_every_size():
    """2: Fed leaf by leaf, the compact range has the defined root at each size."""
    leaves, tree = made(70), CompactRange()
    for size, leaf in enumerate(leaves, start=1):
        tree.append(leaf)
        assert tree.size == size
        assert tree.root() == defined_root(leaves[:size])


@settings(max_examples=60, deadline=None)
@given(sizes, st.data())
def test_an_inclusion_proof_verifies_for_its_own_leaf_alone(size, data):
    """3: A proof holds for its leaf, place and root; change any of them and it fails."""
    leaves = made(size)
    index = data.draw(st.integers(0, size - 1))
    top, proof = root(leaves), inclusion_proof(leaves, index)
    assert verify_inclusion(leaves[index], index, size, proof, top)
    assert not verify_inclusion(leaf_hash(b"other"), index, size, proof, top)
    assert not verify_inclusion(leaves[index], index, size, proof, leaf_hash(b"other"))
    assert not verify_inclusion(leaves[index], index, size, (*proof, top), top)
    for other in range(-1, size + 1):
        assert (other == index) == verify_inclusion(leaves[index], other, size, proof, top)
    for place in range(len(proof)):
        wrong = (*proof[:place], leaf_hash(b"other"), *proof[place + 1 :])
        assert not verify_inclusion(leaves[index], index, size, wrong, top)
        assert not verify_inclusion(leaves[index], index, size, proof[:place], top)


@settings(max_examples=60, deadline=None)
@given(sizes, st.data())
def test_a_consistency_proof_verifies_for_its_own_prefix_alone(size, data):
    """4: A proof holds for a list and its prefix; for a rewritten history it fails."""
    leaves = made(size)
    first = data.draw(st.integers(1, size))
    old, new, proof = root(leaves[:first]), root(leaves), consistency_proof(leaves, first)
    assert verify_consistency(first, size, proof, old, new)
    rewritten = [leaf_hash(b"other"), *leaves[1:]]
    assert not verify_consistency(first, size, proof, root(rewritten[:first]), new)
    assert not verify_consistency(first, size, proof, old, root(rewritten))
    assert not verify_consistency(first, size, (*proof, new), old, new)
    for place in range(len(proof)):
        wrong = (*proof[:place], leaf_hash(b"other"), *proof[place + 1 :])
        assert not verify_consistency(first, size, wrong, old, new)
        assert not verify_consistency(first, size, proof[:place], old, new)


def test_what_is_outside_the_list_has_no_proof():
    """A place or a prefix that the list does not have is refused."""
    with pytest.raises(IndexError):
        inclusion_proof(LEAVES, 8)
    with pytest.raises(IndexError):
        inclusion_proof(LEAVES, -1)
    with pytest.raises(IndexError):
        consistency_proof(LEAVES, 0)
    with pytest.raises(IndexError):
        consistency_proof(LEAVES, 9)
    assert not verify_consistency(0, 8, [], EMPTY_ROOT, ROOTS[8])
    assert not verify_consistency(9, 8, [], ROOTS[8], ROOTS[8])
