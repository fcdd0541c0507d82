"""What speaks for two groups of records being one person, in bits.

* Of what a person can have several of (phones, mail addresses, accounts), the best
  agreement between the groups counts: a second phone is no contradiction.
* Of what a person has one of (name, birth date, gender), the mean over all pairs that
  can be compared counts: one clerk's slip is outvoted, a different person is not. Where
  only a part could be compared (张** and 张三), the pair counts a sixteenth: it decides where
  nothing better is told, and does not water down what is.
* The prior counts once.

Records that must be one person are one unit from the start. Units and records are named
by their places; a unit by the smallest of its records.
"""

from dataclasses import dataclass, replace

import numpy as np

from identity.pairs import Bools, Floats, Ints, Levels, Pairs

PARTLY = 1 / 16  # of a pair of which only a part could be compared; a power of two sums exactly
DIFFERS = 0  # the level number of two values that nothing reconciles


@dataclass(frozen=True, slots=True)
class Rules:
    """What an epoch says about groups of records.

    Attributes:
        several: per comparison, whether a person can have several such values.
        exclusive: per comparison, whether two values that differ prove two people.
        prior_bits: the prior as log2 odds.
        join_bits: the evidence two groups need to be one person.
        partial: levels where only a part could be compared, as (comparison, level number).
    """

    several: tuple[bool, ...]
    exclusive: tuple[bool, ...]
    prior_bits: float
    join_bits: float
    partial: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known between units, one row for each two units that anything is known of.

    Attributes:
        low, high: places of the units, low < high. Shape (rows,).
        witness: the smallest pair of records behind the row, as one number; settles ties.
        best: the best agreement, -inf if none was told. Shape (rows, several).
        total, count: sum and number of what was told, ``PARTLY`` counted. Shape (rows, others).
        blocked: whether the two are never one person. Shape (rows,).
    """

    low: Ints
    high: Ints
    witness: Ints
    best: Floats
    total: Floats
    count: Floats
    blocked: Bools

    def take(self, rows: Ints | Bools) -> "Evidence":
        """The rows at ``rows``."""
        return Evidence(
            self.low[rows],
            self.high[rows],
            self.witness[rows],
            self.best[rows],
            self.total[rows],
            self.count[rows],
            self.blocked[rows],
        )

    @classmethod
    def of(cls, pairs: Pairs, rules: Rules, size: int) -> "Evidence":
        """One row for each pair; ``low`` and ``high`` of the pairs are places below ``size``."""
        several = np.array(rules.several, np.bool_)
        told = pairs.levels >= 0
        counted = told.astype(np.float64)
        for place, number in rules.partial:
            counted[pairs.levels[:, place] == number, place] = PARTLY
        return cls(
            pairs.low,
            pairs.high,
            pairs.low * size + pairs.high,
            np.where(told[:, several], pairs.bits[:, several], -np.inf),
            np.where(told[:, ~several], pairs.bits[:, ~several] * counted[:, ~several], 0.0),
            counted[:, ~several],
            contradicted(pairs.levels, rules),
        )

    def between(self, unit: Ints, cannot: tuple[Ints, Ints]) -> "Evidence":
        """The same evidence between units.

        Args:
            unit: the unit of each place.
            cannot: places of two records that are never one person. Shape (links,) each.
        """
        touched = np.zeros(len(unit), np.bool_)
        moved = np.flatnonzero(unit != np.arange(len(unit)))
        for places in (moved, unit[moved], *cannot):
            touched[places] = True
        alone = ~(touched[self.low] | touched[self.high])
        if alone.all() and not len(cannot[0]):
            return self
        joined = self.take(~alone).and_also(self._never(cannot))
        one, other = unit[joined.low], unit[joined.high]
        low, high = np.minimum(one, other), np.maximum(one, other)
        rows = np.lexsort((joined.witness, high, low))
        rows = rows[low[rows] != high[rows]]
        joined = replace(joined, low=low, high=high).take(rows)
        return self.take(alone).and_also(joined.merged())

    def _never(self, cannot: tuple[Ints, Ints]) -> "Evidence":
        """Rows that know nothing but that two records are never one person."""
        rows = len(cannot[0])
        return Evidence(
            cannot[0],
            cannot[1],
            np.full(rows, np.iinfo(np.int64).max),
            np.full((rows, self.best.shape[1]), -np.inf),
            np.zeros((rows, self.total.shape[1])),
            np.zeros((rows, self.count.shape[1])),
            np.ones(rows, np.bool_),
        )

    def and_also(self, other: "Evidence") -> "Evidence":
        """These rows followed by the others."""
        return Evidence(
            np.concatenate((self.low, other.low)),
            np.concatenate((self.high, other.high)),
            np.concatenate((self.witness, other.witness)),
            np.concatenate((self.best, other.best)),
            np.concatenate((self.total, other.total)),
            np.concatenate((self.count, other.count)),
            np.concatenate((self.blocked, other.blocked)),
        )

    def merged(self) -> "Evidence":
        """One row for each two units, given rows in the order of low, high and witness."""
        if not len(self.low):
            return self
        fresh = (np.diff(self.low, prepend=-1) != 0) | (np.diff(self.high, prepend=-1) != 0)
        starts = np.flatnonzero(fresh)
        return Evidence(
            self.low[starts],
            self.high[starts],
            self.witness[starts],
            np.maximum.reduceat(self.best, starts),
            np.add.reduceat(self.total, starts),
            np.add.reduceat(self.count, starts),
            np.logical_or.reduceat(self.blocked, starts),
        )


def contradicted(levels: Levels, rules: Rules) -> Bools:
    """Which pairs an exclusive comparison tells apart. Shape (pairs,)."""
    apart = np.zeros(len(levels), np.bool_)
    for place in np.flatnonzero(rules.exclusive).tolist():
        apart |= levels[:, place] == DIFFERS
    return apart


def bits(best: Floats, total: Floats, count: Floats, prior: float) -> Floats:
    """Bits between groups: the prior once, then one term per comparison.

    Args:
        best: the best agreement, -inf if none was told. Shape (..., several).
        total: the sum of what was told. Shape (..., others).
        count: how often it was told, 0 for never. Shape (..., others).
        prior: the prior in bits.

    Returns:
        Shape (...).
    """
    terms = np.concatenate(
        (np.where(best > -np.inf, best, 0.0), total / np.where(count > 0, count, 1.0)), axis=-1
    )
    # Added one comparison after another, so that the shape changes no last digit.
    found = np.full(best.shape[:-1], prior)
    for place in range(terms.shape[-1]):
        found += terms[..., place]
    # Rounded, so that equal evidence added in another order is still a tie.
    rounded: Floats = found.round(9)
    return rounded
