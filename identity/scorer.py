"""From two records to bits of evidence, compiled from the epoch.

Comparing gives level numbers, integers that no engine can disagree about. Weighing turns
them into bits by one function and in one order of addition, whoever compared: so a pair
weighs the same, to the last bit, in a full run and in a request.

Bits of a level are log2(m/u) (Fellegi & Sunter 1969). Where the level is sharpened by the
frequency of a value, u gives way to that frequency: log2(m/u) + log2(u/frequency)
(Winkler 2000; Splink weighs the same way, and a test holds the two within 1e-9 bits).
"""

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import numpy.typing as npt

from identity import few
from identity.clusters import Pairs
from identity.columns import Columns, Ints
from identity.comparisons import COMPARISONS, SHARPENED, frequency_keys, level_numbers
from identity.conditions import Sides
from identity.model import Model

Floats = npt.NDArray[np.float64]
Levels = npt.NDArray[np.int8]
AT_ONCE = 50_000  # pairs compared together: few enough to stay in the processor's cache


@dataclass(frozen=True, slots=True)
class Compared:
    """Compared pairs, not yet weighed: they depend on the records and not on an epoch.

    Attributes:
        low, high: record ids, low < high. Shape (pairs,).
        levels: level numbers, -1 for missing. Shape (pairs, comparisons).
        keys: for each comparison in ``SHARPENED`` the value whose frequency counts, 0 for
            none. Shape (pairs, len(SHARPENED)).
    """

    low: Ints
    high: Ints
    levels: Levels
    keys: Ints

    def __len__(self) -> int:
        return len(self.low)

    def take(self, rows: Ints | npt.NDArray[np.bool_]) -> "Compared":
        """The pairs at ``rows``."""
        return Compared(self.low[rows], self.high[rows], self.levels[rows], self.keys[rows])


def compare(columns: Columns, left: Ints, right: Ints) -> Compared:
    """Compare the records at places ``left`` with those at places ``right``.

    Args:
        columns: features as ``identity.sharing.judged`` gives them, ``ids`` ascending.
        left: places in ``columns``. Shape (pairs,).
        right: other places; ``left[i] < right[i]``.
    """
    told = few.compared if len(left) <= few.MOST else _compared
    return Compared(columns.ids[left], columns.ids[right], *told(columns, left, right))


def compare_few(records: Mapping[int, Mapping[str, Any]], low: Ints, high: Ints) -> Compared:
    """``compare`` for at most ``few.MOST`` pairs of records by id.

    Args:
        records: as ``identity.plain.judged`` gives them.
        low: record ids. Shape (pairs,).
        high: other ids; ``low[i] < high[i]``.
    """
    return Compared(low, high, *few.of_plain(records, low, high))


def _compared(columns: Columns, left: Ints, right: Ints) -> tuple[Levels, Ints]:
    """Level numbers and frequency keys, all pairs together."""
    sides = Sides(columns, left, right)
    levels = np.empty((len(left), len(COMPARISONS)), np.int8)
    for place, comparison in enumerate(COMPARISONS):
        levels[:, place] = level_numbers(comparison, sides)
    keys = np.empty((len(left), len(SHARPENED)), np.int64)
    for column, place in enumerate(SHARPENED):
        keys[:, column] = frequency_keys(COMPARISONS[place], levels[:, place], sides)
    return levels, keys


def compare_all(columns: Columns, left: Ints, right: Ints, threads: int) -> Compared:
    """``compare`` for any number of pairs: some at a time, so that memory stays bounded."""
    starts = range(0, max(1, len(left)), AT_ONCE)
    with ThreadPoolExecutor(threads) as pool:
        parts = list(
            pool.map(
                lambda at: compare(columns, left[at : at + AT_ONCE], right[at : at + AT_ONCE]),
                starts,
            )
        )
    return Compared(
        np.concatenate([part.low for part in parts]),
        np.concatenate([part.high for part in parts]),
        np.concatenate([part.levels for part in parts]),
        np.concatenate([part.keys for part in parts]),
    )


class Scorer:
    """Weighs compared pairs under one epoch."""

    def __init__(self, model: Model) -> None:
        """Compile the epoch into tables of bits."""
        self._prior = model.prior_bits
        # By level number; the last one is what -1, missing, reads.
        self._bits = [
            np.array([*(_bits(w) for w in reversed(model.weights[c.name])), 0.0])
            for c in COMPARISONS
        ]
        self._lists = [table.tolist() for table in self._bits]
        self._rarity = [
            [
                (c.level_number(place), _Rarity(u, model.frequencies[level.frequency_of]))
                for place, (level, (_, u)) in enumerate(
                    zip(c.levels, model.weights[c.name], strict=True)
                )
                if level.frequency_of
            ]
            for c in (COMPARISONS[place] for place in SHARPENED)
        ]

    def weigh(self, compared: Compared) -> Pairs:
        """Give every pair its bits, per comparison and in all (prior included)."""
        if len(compared) <= few.MOST:
            return self._weigh_few(compared)
        # Column by column in memory, as it is filled and added up.
        bits = np.empty(compared.levels.shape, np.float64, order="F")
        for place, table in enumerate(self._bits):
            bits[:, place] = table[compared.levels[:, place]]
        for column, place in enumerate(SHARPENED):
            if not compared.keys[:, column].any():
                continue
            for number, rarity in self._rarity[column]:
                agree = compared.levels[:, place] == number
                here = np.flatnonzero(agree & (compared.keys[:, column] != 0))
                if not len(here):
                    continue
                bits[here, place] += rarity.bits(compared.keys[here, column])
        weight = np.full(len(compared), self._prior)
        for place in range(len(COMPARISONS)):  # one after another: a sum must not depend on shape
            weight += bits[:, place]
        return Pairs(compared.low, compared.high, weight, compared.levels, bits)

    def _weigh_few(self, compared: Compared) -> Pairs:
        """The same without numpy, whose calls would cost more than the work itself."""
        weights, rows = [], []
        for levels, keys in zip(compared.levels.tolist(), compared.keys.tolist(), strict=True):
            bits = [table[level] for table, level in zip(self._lists, levels, strict=True)]
            for key, place, sharpened in zip(keys, SHARPENED, self._rarity, strict=True):
                if key:
                    number = levels[place]
                    bits[place] += sum(one.of(key) for at, one in sharpened if at == number)
            # Not sum(), which rounds in a way of its own from Python 3.12 on.
            weights.append(reduce(add, bits, self._prior))
            rows.append(bits)
        table = np.array(rows, np.float64).reshape(compared.levels.shape)
        return Pairs(compared.low, compared.high, np.array(weights), compared.levels, table)


class _Rarity:
    """What a value's own frequency adds to a level: log2(u / frequency)."""

    def __init__(self, u: float, frequencies: Mapping[int, float]) -> None:
        known = sorted(key for key in frequencies if key)
        self._keys = np.array(known, np.int64)
        shares = [frequencies[key] for key in known] + [frequencies[0]]
        self._bits = np.array([math.log2(u / share) for share in shares])
        *told, other = self._bits.tolist()
        self._other: float = other
        self._by_key: dict[int, float] = dict(zip(known, told, strict=True))

    def of(self, key: int) -> float:
        """The bits of one value."""
        return self._by_key.get(key, self._other)

    def bits(self, keys: Ints) -> Floats:
        """The bits of each value. Shape (pairs,)."""
        places = np.searchsorted(self._keys, keys)
        inside = places < len(self._keys)
        found = np.zeros(len(keys), np.bool_)
        found[inside] = self._keys[places[inside]] == keys[inside]
        bits: Floats = self._bits[np.where(found, places, len(self._keys))]
        return bits


def _bits(weight: Sequence[float]) -> float:
    m, u = weight
    return math.log2(m / u)
