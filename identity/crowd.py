"""Joining groups in components too large for a look at every pair.

The same agglomeration as `identity/agglomerate.py`, over the pairs that were scored: two
groups between which no pair was scored are as two of which nothing is known. Given every
pair, the answer is the same. Each group keeps its neighbours; of two groups that are
joined, the one with fewer neighbours is moved, so that a pair moves at most log2(units)
times.
"""

import heapq

import numpy as np

from identity.evidence import Evidence, Rules, bits
from identity.pairs import Floats, Ints

# Minus the bits, the witness that settles ties, the row of evidence and its revision.
_Offer = tuple[float, int, int, int]


def sparse(units: Ints, home: Ints, evidence: Evidence, rules: Rules) -> Ints:
    """The smallest unit of each unit's person.

    Args:
        units: places of units, ascending. Shape (units,).
        home: the component of each; not needed, for rows never lead out of a component.
        evidence: between units; two without a row are never joined directly.
        rules: of the epoch.
    """
    del home
    low, high = np.searchsorted(units, evidence.low), np.searchsorted(units, evidence.high)
    return units[_Crowd(len(units), (low, high), evidence, rules).join()]


class _Crowd:
    """Groups, what is known between neighbours, and offers to join, the best on top."""

    def __init__(
        self, size: int, links: tuple[Ints, Ints], evidence: Evidence, rules: Rules
    ) -> None:
        self.rules = rules
        self.ends = list(zip(*(side.tolist() for side in links), strict=True))
        self.neighbours: list[dict[int, int]] = [{} for _ in range(size)]
        for row, (one, other) in enumerate(self.ends):
            self.neighbours[one][other] = self.neighbours[other][one] = row
        self.parent = list(range(size))
        self.smallest = list(range(size))
        self.revision = [0] * len(self.ends)  # -1: the row has gone into another
        # Copies: these change as groups grow.
        self.best, self.total = evidence.best.copy(), evidence.total.copy()
        self.count, self.blocked = evidence.count.copy(), evidence.blocked.copy()
        self.witness = evidence.witness.copy()
        self.offers: list[_Offer] = []  # of rows that have grown: a heap
        rows, found = self._enough(np.arange(len(self.ends)))
        order = np.lexsort((self.witness[rows], -found))
        # Of the rows as they were: sorted once, the best last.
        self.first = self._offers(rows[order[::-1]], found[order[::-1]])

    def join(self) -> Ints:
        """The smallest unit of each unit's group."""
        first, offers = self.first, self.offers
        while first or offers:
            fresh = not first or (offers and offers[0] < first[-1])
            _, _, row, revision = heapq.heappop(offers) if fresh else first.pop()
            if self.revision[row] == revision:
                one, other = self.ends[row]
                self._merge(self._root(one), self._root(other))
        return np.array(
            [self.smallest[self._root(unit)] for unit in range(len(self.parent))], np.int64
        )

    def _root(self, unit: int) -> int:
        parent = self.parent
        while parent[unit] != unit:
            parent[unit] = unit = parent[parent[unit]]
        return unit

    def _merge(self, keep: int, gone: int) -> None:
        """Move the neighbours of the group with fewer of them to the other group."""
        if len(self.neighbours[keep]) < len(self.neighbours[gone]):
            keep, gone = gone, keep
        mine, theirs = self.neighbours[keep], self.neighbours[gone]
        self.revision[mine.pop(gone)] = -1
        del theirs[keep]
        grown: list[int] = []
        spent: list[int] = []
        for other, row in theirs.items():
            around = self.neighbours[other]
            del around[gone]
            if other in mine:
                grown.append(mine[other])
                spent.append(row)
            else:
                mine[other] = around[keep] = row
        self.neighbours[gone] = {}
        self.parent[gone] = keep
        self.smallest[keep] = min(self.smallest[keep], self.smallest[gone])
        if grown:
            self._grow(grown, spent)

    def _grow(self, grown: list[int], spent: list[int]) -> None:
        """Add what the spent rows know to the grown ones, and offer these anew."""
        to, source = np.array(grown), np.array(spent)
        self.best[to] = np.maximum(self.best[to], self.best[source])
        self.total[to] += self.total[source]
        self.count[to] += self.count[source]
        self.blocked[to] |= self.blocked[source]
        self.witness[to] = np.minimum(self.witness[to], self.witness[source])
        for row in grown:
            self.revision[row] += 1
        for row in spent:
            self.revision[row] = -1
        for offer in self._offers(*self._enough(to)):
            heapq.heappush(self.offers, offer)

    def _enough(self, rows: Ints) -> tuple[Ints, Floats]:
        """Those of the rows that may be joined across, and their bits."""
        found = bits(self.best[rows], self.total[rows], self.count[rows], self.rules.prior_bits)
        enough = (found >= self.rules.join_bits) & ~self.blocked[rows]
        return rows[enough], found[enough]

    def _offers(self, rows: Ints, found: Floats) -> list[_Offer]:
        told = (-found).tolist(), self.witness[rows].tolist(), rows.tolist()
        return [
            (minus, tie, row, self.revision[row]) for minus, tie, row in zip(*told, strict=True)
        ]
