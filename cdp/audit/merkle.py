"""The Merkle tree of RFC 6962, section 2.1: one root that stands for a whole list.

Leaf hash: SHA-256(0x00 || entry). Node hash: SHA-256(0x01 || left || right). A list of
n > 1 splits at the largest power of two below n. Hashes and roots are 32 bytes.

Making proofs follows RFC 6962 (2.1.1, 2.1.2); checking them follows the iterations of
RFC 9162 (2.1.3.2, 2.1.4.2), which is the same tree. Pure: lists in, bytes out.

Invariants, each named by a test in ``tests/unit/audit/test_merkle.py``:

1. Roots and proofs are those of the published Certificate Transparency vectors.
2. A compact range fed leaf by leaf has the root of the whole list at every size.
3. An inclusion proof verifies for its own leaf, place, size and root, and for no other.
4. A consistency proof verifies for a list and its own prefix, and for no other list.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from cdp.audit.digests import same, sha256_after

HASH_BYTES: Final = 32

leaf_hash: Final = sha256_after(b"\x00")
"""The hash of one entry."""

_node: Final = sha256_after(b"\x01")

EMPTY_ROOT: Final = sha256_after(b"")(b"")
"""The root of no entries at all: SHA-256 of nothing."""


class CompactRange:
    """A growing tree that keeps only its perfect subtrees: at most log2(size) + 1 hashes."""

    __slots__ = ("_peaks", "size")

    def __init__(self, leaves: Iterable[bytes] = ()) -> None:
        self.size = 0
        self._peaks: list[bytes] = []
        for leaf in leaves:
            self.append(leaf)

    def append(self, leaf: bytes) -> None:
        """Add one leaf hash. Two hashes a leaf on average, its own included."""
        peaks, full = self._peaks, self.size
        # Each trailing one of the size is a perfect subtree that the new leaf completes.
        while full & 1:
            leaf = _node(peaks.pop() + leaf)
            full >>= 1
        peaks.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        """Return the root of everything appended so far."""
        return _fold(self._peaks)


def _fold(peaks: Sequence[bytes]) -> bytes:
    if not peaks:
        return EMPTY_ROOT
    top = peaks[-1]
    for peak in reversed(peaks[:-1]):
        top = _node(peak + top)
    return top


def root(leaves: Iterable[bytes]) -> bytes:
    """Return the root of a list of leaf hashes."""
    return CompactRange(leaves).root()


def inclusion_proof(leaves: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """Return the audit path of leaf ``index``, nearest sibling first.

    Raises:
        IndexError: ``index`` is not a place in ``leaves``.
    """
    if not 0 <= index < len(leaves):
        raise IndexError("no leaf at that place")
    if len(leaves) == 1:
        return ()
    split = _split(len(leaves))
    left, right = leaves[:split], leaves[split:]
    if index < split:
        return (*inclusion_proof(left, index), root(right))
    return (*inclusion_proof(right, index - split), root(left))


def consistency_proof(leaves: Sequence[bytes], first: int) -> tuple[bytes, ...]:
    """Return the proof that the first ``first`` leaves are a prefix of ``leaves``.

    Raises:
        IndexError: ``first`` is not between 1 and the number of leaves.
    """
    if not 1 <= first <= len(leaves):
        raise IndexError("no prefix of that size")
    return _subproof(leaves, first, complete=True)


def _subproof(leaves: Sequence[bytes], first: int, *, complete: bool) -> tuple[bytes, ...]:
    if first == len(leaves):
        return () if complete else (root(leaves),)
    split = _split(len(leaves))
    left, right = leaves[:split], leaves[split:]
    if first <= split:
        return (*_subproof(left, first, complete=complete), root(right))
    return (*_subproof(right, first - split, complete=False), root(left))


def _split(size: int) -> int:
    """Return the largest power of two below ``size`` (at least 2)."""
    return 1 << (size - 1).bit_length() - 1


def verify_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], expected: bytes
) -> bool:
    """Say whether ``leaf`` is at ``index`` of the tree of ``size`` leaves and that root."""
    if not 0 <= index < size:
        return False
    place, last, top = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if place & 1 or place == last:
            top = _node(sibling + top)
            place, last = _lift(place, last)
        else:
            top = _node(top + sibling)
        place, last = place >> 1, last >> 1
    return last == 0 and same(top, expected)


def verify_consistency(
    first: int, second: int, proof: Sequence[bytes], first_root: bytes, second_root: bytes
) -> bool:
    """Say whether the tree of ``first`` leaves is a prefix of the tree of ``second``."""
    if not 1 <= first <= second:
        return False
    if first == second:
        return not proof and same(first_root, second_root)
    if not proof:
        return False
    # A perfect first tree is its own starting node and is left out of the proof.
    path = list(proof) if first & (first - 1) else [first_root, *proof]
    place, last = first - 1, second - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    old = new = path[0]
    for node in path[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            old, new = _node(node + old), _node(node + new)
            place, last = _lift(place, last)
        else:
            new = _node(new + node)
        place, last = place >> 1, last >> 1
    return last == 0 and same(old, first_root) and same(new, second_root)


def _lift(place: int, last: int) -> tuple[int, int]:
    """Climb the levels at which a right edge has no sibling of its own."""
    while not place & 1 and place:
        place, last = place >> 1, last >> 1
    return place, last
