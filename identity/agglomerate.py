"""Joining groups in components of which every pair is known, many components at a time.

The two groups with the most evidence are joined first, again and again, until no two
groups have enough. Components with the same number of units form one array, so that the
work of the interpreter is shared by thousands of them; none sees another's numbers.
"""

import numpy as np

from identity.components import by_size
from identity.evidence import Evidence, Rules, bits
from identity.pairs import Bools, Ints

CELLS = 1 << 16  # pairs of units held at a time: some 10 MB


def dense(units: Ints, home: Ints, evidence: Evidence, rules: Rules) -> Ints:
    """The smallest unit of each unit's person.

    Args:
        units: places of units, ascending. Shape (units,).
        home: the component of each. Shape (units,).
        evidence: between units of one component; two without a row say nothing.
        rules: of the epoch.
    """
    people = units.copy()
    low, high = np.searchsorted(units, evidence.low), np.searchsorted(units, evidence.high)
    blocks = list(by_size(np.arange(len(units)), home))
    number, rank = np.empty_like(units), np.empty_like(units)
    count = 0
    for block in blocks:
        number[block] = count + np.arange(len(block))[:, None]
        rank[block] = np.arange(block.shape[1])
        count += len(block)
    order = np.argsort(number[low], kind="stable")
    ordered = number[low[order]]
    for block in blocks:
        step = max(1, CELLS // block.shape[1] ** 2)
        for start in range(0, len(block), step):
            members = block[start : start + step]
            first = number[members[0, 0]]
            rows = order[slice(*np.searchsorted(ordered, (first, first + len(members))))]
            cells = number[low[rows]] - first, rank[low[rows]], rank[high[rows]]
            group = _Block(members.shape, cells, evidence.take(rows), rules).join()
            people[members] = units[np.take_along_axis(members, group, 1)]
    return people


class _Block:
    """Components with the same number of units.

    Args:
        shape: (components, units in each).
        cells: component, low and high unit of each row. Shape (rows,) each.
        evidence: the rows.
        rules: of the epoch.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        cells: tuple[Ints, Ints, Ints],
        evidence: Evidence,
        rules: Rules,
    ) -> None:
        count, size = shape
        self.rules = rules
        self.group = np.tile(np.arange(size), (count, 1))
        self.best = np.full((count, size, size, evidence.best.shape[1]), -np.inf)
        self.total = np.zeros((count, size, size, evidence.total.shape[1]))
        self.count = np.zeros_like(self.total)
        # Two units of which nothing is known have the prior; -inf: never one person.
        self.score = np.full((count, size, size), np.round(rules.prior_bits, 9))
        self.score[:, np.arange(size), np.arange(size)] = -np.inf
        known = bits(evidence.best, evidence.total, evidence.count, rules.prior_bits)
        known[evidence.blocked] = -np.inf
        component, low, high = cells
        for side, rows in (
            (self.best, evidence.best),
            (self.total, evidence.total),
            (self.count, evidence.count),
            (self.score, known),
        ):
            side[component, low, high] = rows
            side[component, high, low] = rows

    def join(self) -> Ints:
        """The smallest unit of each unit's group, as a place in its component."""
        count, size = self.group.shape
        flat = self.score.reshape(count, -1)
        live = np.arange(count)
        while True:
            # argmax takes the first of equals: the groups with the smallest record ids.
            top = flat[live].argmax(axis=1)
            enough: Bools = flat[live, top] >= self.rules.join_bits
            live = live[enough]
            if not len(live):
                return self.group
            keep, gone = np.divmod(top[enough], size)
            self._merge(live, keep, gone)

    def _merge(self, live: Ints, keep: Ints, gone: Ints) -> None:
        """Join group ``gone`` to group ``keep`` (the smaller) in each live component."""
        group = self.group[live]
        self.group[live] = np.where(group == gone[:, None], keep[:, None], group)
        best = np.maximum(self.best[live, keep], self.best[live, gone])
        total = self.total[live, keep] + self.total[live, gone]
        count = self.count[live, keep] + self.count[live, gone]
        for side, row in ((self.best, best), (self.total, total), (self.count, count)):
            side[live, keep] = row
            side[live, :, keep] = row
        fresh = bits(best, total, count, self.rules.prior_bits)
        # Who may not be joined to one of the two may not be joined to both.
        open_to = np.isfinite(self.score[live, keep]) & np.isfinite(self.score[live, gone])
        fresh[~open_to] = -np.inf
        self.score[live, keep] = fresh
        self.score[live, :, keep] = fresh
        self.score[live, gone] = -np.inf
        self.score[live, :, gone] = -np.inf
