"""What people have decided about records: these two are one person, these two never are.

Invariants:
    1. Must links carry on: if a and b are one person and b and c are, so are a and c.
    2. Two records that must be one person and cannot be one person are an error that
       names them. Neither decision wins silently.
    3. A constraint on a record that is not there says nothing.
"""

from dataclasses import dataclass

import numpy as np

from identity.components import connected
from identity.pairs import Ints, places


@dataclass(frozen=True, slots=True)
class Constraints:
    """Decisions about pairs of records.

    Attributes:
        must_low, must_high: record ids that are one person. Shape (must links,).
        cannot_low, cannot_high: record ids that are never one person. Shape (cannot links,).
    """

    must_low: Ints
    must_high: Ints
    cannot_low: Ints
    cannot_high: Ints

    @classmethod
    def none(cls) -> "Constraints":
        """Nobody has decided anything."""
        empty = np.empty(0, np.int64)
        return cls(empty, empty, empty, empty)

    def within(self, records: Ints) -> "Constraints":
        """The constraints between these records (ascending), as places in ``records``."""
        return Constraints(
            *_both(records, self.must_low, self.must_high),
            *_both(records, self.cannot_low, self.cannot_high),
        )

    def without(self, records: Ints) -> "Constraints":
        """The constraints that name none of these records."""
        must = ~(np.isin(self.must_low, records) | np.isin(self.must_high, records))
        cannot = ~(np.isin(self.cannot_low, records) | np.isin(self.cannot_high, records))
        return Constraints(
            self.must_low[must],
            self.must_high[must],
            self.cannot_low[cannot],
            self.cannot_high[cannot],
        )

    def mapped(self, places: Ints) -> "Constraints":
        """The same constraints between other numbers: ``places[i]`` stands for i."""
        must = places[self.must_low], places[self.must_high]
        cannot = places[self.cannot_low], places[self.cannot_high]
        return Constraints(
            np.minimum(*must), np.maximum(*must), np.minimum(*cannot), np.maximum(*cannot)
        )


def _both(records: Ints, low: Ints, high: Ints) -> tuple[Ints, Ints]:
    one, other = places(records, low), places(records, high)
    known = (one >= 0) & (other >= 0)
    return one[known], other[known]


def contradictions(constraints: Constraints) -> list[tuple[int, int]]:
    """The cannot links between records that must links make one person, ascending."""
    records = np.unique(
        np.concatenate(
            (
                constraints.must_low,
                constraints.must_high,
                constraints.cannot_low,
                constraints.cannot_high,
            )
        )
    )
    known = constraints.within(records)
    unit = connected(len(records), known.must_low, known.must_high)
    both = unit[known.cannot_low] == unit[known.cannot_high]
    low, high = records[known.cannot_low[both]], records[known.cannot_high[both]]
    return sorted(set(zip(low.tolist(), high.tolist(), strict=True)))
