"""All candidate pairs of a run, compared, in little memory.

A million records have millions of candidates. Of each are kept the places of its records
and its level numbers; ids, and the values whose frequency counts, follow from these and
are made for some pairs at a time. Weights are made anew wherever they are asked for.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from identity.columns import Bools, Columns, Ints
from identity.comparisons import COMPARISONS, SHARPENED, frequency_keys
from identity.conditions import Sides
from identity.pairs import Floats, Levels, Pairs
from identity.scorer import AT_ONCE, Compared, Scorer, compare

Places = npt.NDArray[np.int32]
BYTES = 2 * 4 + len(COMPARISONS)  # of a pair


@dataclass(frozen=True, slots=True)
class AllPairs:
    """Compared pairs, each once, in the order of their records.

    Attributes:
        judged: the records, as ``identity.sharing.judged`` gives them, ``ids`` ascending.
        left, right: places in ``judged``, left < right. Shape (pairs,).
        levels: level numbers, -1 for missing. Shape (pairs, comparisons).
        at_once: pairs that are weighed together.
        threads: slices that are weighed side by side.
    """

    judged: Columns
    left: Places
    right: Places
    levels: Levels
    at_once: int = AT_ONCE
    threads: int = 1

    def __len__(self) -> int:
        return len(self.left)

    @property
    def low(self) -> Ints:
        """The smaller record id of each pair."""
        return self.judged.ids[self.left]

    @property
    def high(self) -> Ints:
        """The larger record id of each pair."""
        return self.judged.ids[self.right]

    def take(self, rows: Ints | slice) -> Compared:
        """The pairs at ``rows``, ready to be weighed."""
        left, right, levels = self.left[rows], self.right[rows], self.levels[rows]
        sides = Sides(self.judged, left.astype(np.int64), right.astype(np.int64))
        keys = np.empty((len(left), len(SHARPENED)), np.int64)
        for column, place in enumerate(SHARPENED):
            keys[:, column] = frequency_keys(COMPARISONS[place], levels[:, place], sides)
        return Compared(self.judged.ids[left], self.judged.ids[right], levels, keys)

    def weights(self, scorer: Scorer) -> Floats:
        """The bits of every pair in all, prior included. Shape (pairs,)."""
        weight = np.empty(len(self))

        def fill(some: slice) -> None:
            weight[some] = scorer.weigh(self.take(some)).weight

        self._each_slice(len(self), fill)
        return weight

    def weighed(self, scorer: Scorer, chosen: Bools) -> Pairs:
        """The chosen pairs with their bits, in order. Shape of ``chosen``: (pairs,)."""
        rows = np.flatnonzero(chosen)
        shape = len(rows), len(COMPARISONS)
        found = Pairs(
            self.judged.ids[self.left[rows]],
            self.judged.ids[self.right[rows]],
            np.empty(len(rows)),
            self.levels[rows],
            # Column by column in memory, as clustering adds it up.
            np.empty(shape, np.float64, order="F"),
        )

        def fill(some: slice) -> None:
            pairs = scorer.weigh(self.take(rows[some]))
            found.weight[some], found.bits[some] = pairs.weight, pairs.bits

        self._each_slice(len(rows), fill)
        return found

    def _each_slice(self, pairs: int, work: Callable[[slice], None]) -> None:
        """Do the work on every slice of so many pairs."""
        slices = (slice(at, at + self.at_once) for at in range(0, pairs, self.at_once))
        with ThreadPoolExecutor(self.threads) as pool:
            list(pool.map(work, slices))


def compare_pairs(
    judged: Columns, left: Places, right: Places, threads: int, at_once: int = AT_ONCE
) -> AllPairs:
    """Compare the records at places ``left`` with those at places ``right``.

    Args:
        judged: features as ``identity.sharing.judged`` gives them, ``ids`` ascending.
        left: places in ``judged``. Shape (pairs,).
        right: other places; ``left[i] < right[i]``.
        threads: slices that are compared side by side.
        at_once: pairs in a slice. The answer does not depend on it.
    """
    levels = np.empty((len(left), len(COMPARISONS)), np.int8)

    def fill(at: int) -> None:
        rows = slice(at, at + at_once)
        one, other = left[rows].astype(np.int64), right[rows].astype(np.int64)
        levels[rows] = compare(judged, one, other).levels

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(fill, range(0, len(left), at_once)))
    return AllPairs(judged, left, right, levels, at_once, threads)
