"""From scored pairs to people: which records of a component are one person.

Pairs alone cannot decide. A till record and a WeCom contact may have little to say to
each other directly, while the mini-program account between them speaks to both; and a
family on one phone forms one component although its members contradict each other. So
two groups of records are compared as two people would be, one kind of evidence at a
time:

* of what a person can have several of (phones, mail addresses, accounts), the best
  agreement between the groups counts: a second phone is no contradiction;
* of what a person has one of (name, birth date, gender), the mean over all pairs that
  can be compared counts: one clerk's slip is outvoted, a different person is not;
* the prior counts once.

The two groups with the most evidence are joined first, again and again, until no two
groups have enough. This is agglomerative clustering with a linkage per comparison.

Invariants:
    1. The partition depends on the records, the pairs and the epoch; never on the order
       in which they are given (ties are broken by the smallest record id).
    2. A component is decided from its own pairs alone.
    3. No component is too large: above ``LARGEST`` records the floor that makes
       components is raised, within that component only, until its parts are small enough.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Levels = npt.NDArray[np.int8]

LARGEST = 200  # records refined together: the work grows with the cube
RAISE = 2.0  # bits by which the floor is raised for a component that is too large


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

    def take(self, rows: Ints | npt.NDArray[np.bool_]) -> "Pairs":
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


def components(low: Ints, high: Ints, weight: Floats, floor: float = 0.0) -> dict[int, int]:
    """Connected components over the pairs of at least ``floor`` bits, none above ``LARGEST``.

    Returns:
        The component (its smallest record id) of every record that has such a pair.
    """
    strong = weight >= floor
    found = _connected(low[strong], high[strong])
    sizes: dict[int, int] = {}
    for component in found.values():
        sizes[component] = sizes.get(component, 0) + 1
    for component in [c for c, size in sizes.items() if size > LARGEST]:
        inside = (
            np.fromiter((found.get(int(a)) == component for a in low), np.bool_, len(low)) & strong
        )
        members = [record for record, c in found.items() if c == component]
        for record in members:
            del found[record]
        found |= components(low[inside], high[inside], weight[inside], floor + RAISE)
    return found


def _connected(low: Ints, high: Ints) -> dict[int, int]:
    """Union-find with the smallest id as the root."""
    parent: dict[int, int] = {}

    def root(record: int) -> int:
        while parent[record] != record:
            parent[record] = parent[parent[record]]
            record = parent[record]
        return record

    for a, b in zip(low.tolist(), high.tolist(), strict=True):
        one = root(parent.setdefault(a, a))
        other = root(parent.setdefault(b, b))
        if one != other:
            parent[max(one, other)] = min(one, other)
    return {record: root(record) for record in parent}


def missing_pairs(found: Mapping[int, int], low: Ints, high: Ints) -> tuple[Ints, Ints]:
    """The pairs inside a component that were never scored, so that it can be judged whole."""
    known = set(zip(low.tolist(), high.tolist(), strict=True))
    members: dict[int, list[int]] = {}
    for record, component in sorted(found.items()):
        members.setdefault(component, []).append(record)
    missing = [
        (a, b)
        for records in members.values()
        for place, a in enumerate(records)
        for b in records[place + 1 :]
        if (a, b) not in known
    ]
    absent = np.array(missing, np.int64).reshape(-1, 2)
    return absent[:, 0], absent[:, 1]


def partition(
    found: Mapping[int, int],
    pairs: Pairs,
    several: Sequence[bool],
    prior_bits: float,
    join_bits: float,
) -> dict[int, int]:
    """Decide every component.

    Args:
        found: the component of each record, as ``components`` gives it.
        pairs: every pair inside the components, scored.
        several: per comparison, whether a person can have several such values.
        prior_bits: the epoch's prior in bits.
        join_bits: the evidence two groups need to be one person.

    Returns:
        The cluster (its smallest record id) of every record in ``found``.
    """
    clusters: dict[int, int] = {}
    many = np.array(several)
    for records, inside in _by_component(found, pairs):
        if inside.weight.min() >= join_bits:
            clusters.update(dict.fromkeys(records, records[0]))
        elif len(records) == 2:
            clusters.update({record: record for record in records})
        else:
            clusters.update(_agglomerate(records, inside, many, prior_bits, join_bits))
    return clusters


def _by_component(found: Mapping[int, int], pairs: Pairs) -> Iterator[tuple[list[int], Pairs]]:
    """Each component's records (ascending) and pairs, in the order of its smallest record."""
    members: dict[int, list[int]] = {}
    for record, component in sorted(found.items()):
        members.setdefault(component, []).append(record)
    home = np.fromiter((found.get(a, -1) for a in pairs.low.tolist()), np.int64, len(pairs))
    away = np.fromiter((found.get(b, -2) for b in pairs.high.tolist()), np.int64, len(pairs))
    rows = np.flatnonzero(home == away)
    if not len(rows):
        return
    rows = rows[np.lexsort((pairs.high[rows], pairs.low[rows], home[rows]))]
    ordered = pairs.take(rows)
    starts = np.flatnonzero(np.r_[True, np.diff(home[rows]) != 0])
    ends = np.r_[starts[1:], len(rows)]
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        inside = ordered.take(np.arange(start, end))
        yield members[found[int(inside.low[0])]], inside


def _agglomerate(
    records: list[int], pairs: Pairs, several: npt.NDArray[np.bool_], prior: float, join: float
) -> dict[int, int]:
    """Join the two groups with the most evidence until no two have ``join`` bits."""
    size = len(records)
    one, other = np.searchsorted(records, pairs.low), np.searchsorted(records, pairs.high)
    told = pairs.levels >= 0
    # For "several" the best agreement, for the others sum and count of what was told.
    best = np.full((size, size, int(several.sum())), -np.inf)
    total = np.zeros((size, size, int((~several).sum())))
    count = np.zeros_like(total)
    for a, b in ((one, other), (other, one)):
        best[a, b] = np.where(told[:, several], pairs.bits[:, several], -np.inf)
        total[a, b] = np.where(told[:, ~several], pairs.bits[:, ~several], 0.0)
        count[a, b] = told[:, ~several]
    score = _evidence(best, total, count, prior)
    np.fill_diagonal(score, -np.inf)
    group = np.arange(size)
    while True:
        # argmax takes the first of equals: the groups with the smallest record ids.
        keep, gone = divmod(int(score.argmax()), size)
        if score[keep, gone] < join:
            break
        keep, gone = min(keep, gone), max(keep, gone)
        group[group == gone] = keep
        for side in (best, total, count):
            merged = np.maximum(side[keep], side[gone]) if side is best else side[keep] + side[gone]
            side[keep], side[:, keep] = merged, merged
        fresh = _evidence(best[keep], total[keep], count[keep], prior)
        alive = np.isfinite(score[keep])
        alive[gone] = False
        score[keep] = np.where(alive, fresh, -np.inf)
        score[:, keep] = score[keep]
        score[gone] = score[:, gone] = -np.inf
    return {record: records[group[place]] for place, record in enumerate(records)}


def _evidence(best: Floats, total: Floats, count: Floats, prior: float) -> Floats:
    """Bits between groups: the prior once, then one term per comparison."""
    mean = np.divide(total, count, out=np.zeros_like(total), where=count > 0)
    # Rounded, so that equal evidence added in another order is still a tie.
    several: Floats = np.where(np.isfinite(best), best, 0.0).sum(axis=-1)
    rounded: Floats = np.round(prior + several + mean.sum(axis=-1), 9)
    return rounded
