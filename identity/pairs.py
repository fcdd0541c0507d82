"""Scored pairs of records: what scoring gives and clustering takes."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Levels = npt.NDArray[np.int8]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Pairs:
    """Scored pairs of records.

    Attributes:
        low, high: record ids, low < high, each pair once. Shape (pairs,).
        weight: bits in all, prior included. Shape (pairs,).
        levels: level numbers, -1 for missing. Shape (pairs, comparisons).
        bits: bits per comparison, 0 where missing. Shape (pairs, comparisons).
    """

    low: Ints
    high: Ints
    weight: Floats
    levels: Levels
    bits: Floats

    def __len__(self) -> int:
        return len(self.low)

    def take(self, rows: Ints | Bools) -> "Pairs":
        """The pairs at ``rows``."""
        return Pairs(
            self.low[rows], self.high[rows], self.weight[rows], self.levels[rows], self.bits[rows]
        )

    def and_also(self, other: "Pairs") -> "Pairs":
        """These pairs followed by the others."""
        return Pairs(
            np.concatenate((self.low, other.low)),
            np.concatenate((self.high, other.high)),
            np.concatenate((self.weight, other.weight)),
            np.concatenate((self.levels, other.levels)),
            np.concatenate((self.bits, other.bits)),
        )


def places(records: Ints, wanted: Ints) -> Ints:
    """Where each wanted record stands in ``records`` (ascending); -1 for one that is not there."""
    if not len(records):
        return np.full(len(wanted), -1, np.int64)
    if int(records[-1]) - int(records[0]) == len(records) - 1:  # no gaps: nothing to search
        at: Ints = wanted - records[0]
        at[(at < 0) | (at >= len(records))] = -1
        return at
    found = np.minimum(np.searchsorted(records, wanted), len(records) - 1)
    return np.where(records[found] == wanted, found, -1)
