"""Seeded draws, fast enough for a loop over every record.

A numpy generator is exact and repeatable but slow one number at a time, so uniform
numbers are drawn in blocks. Every draw of the demo world goes through here: the same
seed gives the same world.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from statistics import NormalDist
from typing import Generic, TypeVar

import numpy as np

_BLOCK = 65_536
_NORMAL = NormalDist()
_T = TypeVar("_T")


class Weighted(Generic[_T]):
    """Items with weights, prepared for many draws. Weights need not sum to one."""

    __slots__ = ("bounds", "items", "total")

    def __init__(self, pairs: Iterable[tuple[_T, float]]) -> None:
        kept = [(item, weight) for item, weight in pairs if weight > 0]
        if not kept:
            raise ValueError("a weighted choice needs at least one positive weight")
        self.items: list[_T] = [item for item, _ in kept]
        self.bounds: list[float] = list(accumulate(weight for _, weight in kept))
        self.total: float = self.bounds[-1]


class Dice:
    """A seeded source of draws. `unit()` returns a uniform number in [0, 1)."""

    __slots__ = ("_generator", "unit")

    def __init__(self, *seed: int) -> None:
        self._generator = np.random.default_rng(seed)
        # The bound method of the stream itself: a call of it costs no Python frame.
        self.unit: Callable[[], float] = _uniform(self._generator).__next__

    def chance(self, probability: float) -> bool:
        """Return true with the given probability."""
        return self.unit() < probability

    def below(self, limit: int) -> int:
        """Return an integer in [0, limit)."""
        return int(self.unit() * limit)

    def between(self, low: int, high: int) -> int:
        """Return an integer in [low, high]."""
        return low + int(self.unit() * (high - low + 1))

    def pick(self, items: Sequence[_T]) -> _T:
        """Return one item, all equally likely."""
        return items[int(self.unit() * len(items))]

    def weighted(self, table: Weighted[_T]) -> _T:
        """Return one item by weight."""
        return table.items[bisect_right(table.bounds, self.unit() * table.total)]

    def digits(self, count: int) -> str:
        """Return a text of `count` decimal digits."""
        return f"{self.below(10**count):0{count}d}"

    def normal(self) -> float:
        """Return a standard normal number, by inversion."""
        return _NORMAL.inv_cdf(max(self.unit(), 1e-12))

    def order(self, count: int) -> list[int]:
        """Return the numbers 0 to count - 1 in random order."""
        return [int(value) for value in self._generator.permutation(count)]


def _uniform(generator: np.random.Generator) -> Iterator[float]:
    while True:
        yield from generator.random(_BLOCK).tolist()
