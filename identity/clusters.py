"""From scored pairs to people: which records of a component are one person.

Pairs alone cannot decide. A till record and a WeCom contact may have little to say to
each other directly, while the mini-program account between them speaks to both; and a
family on one phone forms one component although its members contradict each other. So
two groups of records are compared as two people would be, one kind of evidence at a
time (`identity/evidence.py`). The two groups with the most evidence are joined first,
again and again, until no two groups have enough. This is agglomerative clustering with a
linkage per comparison; it cuts a single weak bridge between two groups, because the whole
of both groups is weighed against it.

Invariants:
    1. The partition depends on the records, the pairs, the constraints and the epoch;
       never on the order in which they are given (ties are broken by the smallest record
       ids).
    2. A component is decided from its own records, pairs and constraints alone, whatever
       its size. Components are connected over pairs of at least the floor and must links.
    3. Records that must be one person are together. A must link outweighs any evidence,
       an exclusive comparison included.
    4. Records that cannot be one person are never together, and neither are two that an
       exclusive comparison tells apart (unless a must link joins those two). Must and
       cannot links that contradict each other are an error that names the records.
    5. A component in which every pair was scored and has enough bits is one person, unless
       invariant 4 speaks against it.
    6. No component takes the service down. Above ``LARGEST`` records the floor is raised,
       within that component only, up to the bits that make one person. What is still too
       large is decided over the pairs that were scored, in E log E.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from identity import few_people
from identity.agglomerate import dense
from identity.components import LARGEST, Parts, all_pairs, connected, missing_pairs, parts
from identity.constraints import Constraints, contradictions
from identity.crowd import sparse
from identity.errors import ContradictoryConstraintsError, UnscoredPairsError
from identity.evidence import Evidence, Rules, contradicted
from identity.pairs import Bools, Floats, Ints, Levels, Pairs, places

__all__ = [
    "LARGEST",
    "Constraints",
    "Decided",
    "Floats",
    "Ints",
    "Levels",
    "Pairs",
    "Rules",
    "contradictions",
    "decide",
]

Score = Callable[[Ints, Ints], Pairs]


@dataclass(frozen=True, slots=True)
class Decided:
    """Who is one person.

    Attributes:
        anchors: the smallest record id of each record's person. Shape (records,).
        pairs: the pairs given, and those that were scored to judge components whole.
        crowded: the smallest record ids of the components that were larger than
            ``LARGEST``, ascending.
    """

    anchors: Ints
    pairs: Pairs
    crowded: Ints


@dataclass(frozen=True, slots=True)
class _Inside:
    """The pairs inside parts: their rows, and the places of their two records."""

    rows: Ints
    low: Ints
    high: Ints

    @classmethod
    def of(cls, found: Parts, low: Ints, high: Ints) -> "_Inside":
        """Those of the pairs whose two records are in one part."""
        rows = np.flatnonzero((low >= 0) & (high >= 0) & (found.home[low] == found.home[high]))
        return cls(rows, low[rows], high[rows])

    def take(self, chosen: Bools) -> "_Inside":
        """The chosen pairs."""
        return _Inside(self.rows[chosen], self.low[chosen], self.high[chosen])


def decide(
    records: Ints,
    pairs: Pairs,
    constraints: Constraints,
    rules: Rules,
    score: Score,
    floor: float = 0.0,
) -> Decided:
    """Decide every component.

    Args:
        records: record ids, ascending: all, or any that are whole components.
        pairs: scored pairs; pairs and constraints that go beyond ``records`` are left out.
        constraints: what people have decided.
        rules: of the epoch.
        score: scores pairs (low, high) of records, in any order. Called at most once, with
            the pairs inside components that were not given.
        floor: bits from which on a pair makes a component.

    Raises:
        ContradictoryConstraintsError: two records must and cannot be one person.
        UnscoredPairsError: ``score`` did not score every pair.
    """
    undecided = not (len(constraints.must_low) or len(constraints.cannot_low))
    if undecided and len(records) <= min(few_people.MOST, LARGEST):
        few = _few(records, pairs, rules, score, floor)
        return Decided(records[few.people], few.pairs, records[:0])
    return _many(records, pairs, constraints, rules, score, floor)


def _few(records: Ints, pairs: Pairs, rules: Rules, score: Score, floor: float) -> few_people.Few:
    def scored(wanted: list[tuple[int, int]]) -> Pairs:
        low, high = np.array(wanted, np.int64).T
        return _scored(records, (low, high), score)

    return few_people.decided(records.tolist(), pairs, rules, scored, floor)


def _many(
    records: Ints,
    pairs: Pairs,
    constraints: Constraints,
    rules: Rules,
    score: Score,
    floor: float,
) -> Decided:
    """``decide`` for any number of records."""
    known = constraints.within(records)
    must = known.must_low, known.must_high
    unit = connected(len(records), *must)
    _refuse_contradictions(records, unit, known)
    low, high = places(records, pairs.low), places(records, pairs.high)
    weight = np.where((low >= 0) & (high >= 0), pairs.weight, -np.inf)
    found = parts((low, high), weight, must, len(records), (floor, rules.join_bits))
    inside = _Inside.of(found, low, high)
    absent = missing_pairs(found, inside.low, inside.high)
    if len(absent[0]):
        extra = _scored(records, absent, score)
        pairs = pairs.and_also(extra)
        low = np.concatenate((low, places(records, extra.low)))
        high = np.concatenate((high, places(records, extra.high)))
        inside = _Inside.of(found, low, high)
    cannot = _Inside.of(found, known.cannot_low, known.cannot_high)
    people = _people(found, inside, pairs, unit, cannot, rules)
    return Decided(records[people], pairs, records[found.crowds])


def _scored(records: Ints, absent: tuple[Ints, Ints], score: Score) -> Pairs:
    """Score the pairs of records at these places."""
    extra = score(records[absent[0]], records[absent[1]])
    if len(extra) != len(absent[0]):
        raise UnscoredPairsError(len(absent[0]), len(extra))
    return extra


def _refuse_contradictions(records: Ints, unit: Ints, known: Constraints) -> None:
    both = unit[known.cannot_low] == unit[known.cannot_high]
    if both.any():
        low, high = records[known.cannot_low[both]], records[known.cannot_high[both]]
        raise ContradictoryConstraintsError(*min(zip(low.tolist(), high.tolist(), strict=True)))


def _people(
    found: Parts, inside: _Inside, pairs: Pairs, unit: Ints, cannot: _Inside, rules: Rules
) -> Ints:
    """The smallest place of each record's person, for all parts at once."""
    home, size = found.home, len(unit)
    sizes = np.bincount(home, minlength=size)
    apart = contradicted(pairs.levels, rules)[inside.rows]
    apart &= unit[inside.low] != unit[inside.high]
    # A part agrees if every pair was scored, none is too weak and none is forbidden.
    agrees = np.bincount(home[inside.low], minlength=size) == all_pairs(sizes)
    agrees[home[inside.low[pairs.weight[inside.rows] < rules.join_bits]]] = False
    agrees[home[inside.low[apart]]] = False
    agrees[home[cannot.low]] = False
    people = np.where(agrees[home], home, unit)
    # Of two records that do not agree there is nothing more to say.
    hard = (~agrees & (sizes > 2))[home]
    if not hard.any():
        return people
    inside, cannot = inside.take(hard[inside.low]), cannot.take(hard[cannot.low])
    told = replace(pairs.take(inside.rows), low=inside.low, high=inside.high)
    evidence = Evidence.of(told, rules, size).between(unit, (cannot.low, cannot.high))
    units = np.flatnonzero(hard & (unit == np.arange(size)))
    for crowded, join in ((False, dense), (True, sparse)):
        mine = units[found.crowded[units] == crowded]
        if not len(mine):
            continue
        told_here = found.crowded[evidence.low] == crowded
        known = evidence if told_here.all() else evidence.take(told_here)
        people[mine] = join(mine, home[mine], known, rules)
    return np.where(hard, people[unit], people)
