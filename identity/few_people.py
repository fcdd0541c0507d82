"""Deciding so few records that calling numpy would cost more than the work itself.

Most arrivals touch a component of two or three records. It is decided as in
``identity.agglomerate``, one pair of groups after another.

Invariant, held by a property test in ``tests/unit/identity/test_few_people.py``:
    1. The anchors are those that ``identity.clusters`` finds without it, and the same pairs
       are asked for in the same order.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from math import inf

from identity.evidence import DIFFERS, PARTLY, Rules
from identity.pairs import Pairs

MOST = 12  # records; measured: 16 are still cheaper here, 24 with numpy

Score = Callable[[list[tuple[int, int]]], Pairs]
Place = tuple[int, int]
_Told = list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Few:
    """What became of a few records.

    Attributes:
        people: the smallest place of each record's person.
        pairs: the pairs given, and those that were asked for.
    """

    people: list[int]
    pairs: Pairs


def decided(records: list[int], pairs: Pairs, rules: Rules, score: Score, floor: float) -> Few:
    """Decide records about which nobody has decided anything.

    Args:
        records: record ids, ascending.
        pairs: scored pairs; those that go beyond ``records`` are left out.
        rules: of the epoch.
        score: scores the pairs at these places. Called at most once.
        floor: bits from which on a pair makes a component.
    """
    at = {record: place for place, record in enumerate(records)}
    told = _placed(at, pairs)
    home = _homes(len(records), [pair for pair, weight in told if weight >= floor])
    parts = _parts(home)
    known = {pair for pair, _ in told}
    absent = sorted(pair for part in parts for pair in combinations(part, 2) if pair not in known)
    if absent:
        extra = score(absent)
        pairs = pairs.and_also(extra)
        told += _placed(at, extra)
    people = list(range(len(records)))
    rows = {pair: row for row, (pair, _) in enumerate(told)}
    for part in parts:
        inside = {pair: rows[pair] for pair in combinations(part, 2)}
        if _agrees(inside.values(), told, pairs, rules):
            for place in part:
                people[place] = part[0]
        elif len(part) > 2:  # of two records that do not agree there is nothing more to say
            for place, group in zip(part, _Groups(part, inside, pairs, rules).join(), strict=True):
                people[place] = part[group]
    return Few(people, pairs)


def _placed(at: dict[int, int], pairs: Pairs) -> list[tuple[Place, float]]:
    """The places of each pair's records and its bits; a pair beyond the records stands for none."""
    nowhere = -1
    return [
        ((at.get(low, nowhere), at.get(high, nowhere)), weight)
        if low in at and high in at
        else ((nowhere, nowhere), -float("inf"))
        for low, high, weight in zip(
            pairs.low.tolist(), pairs.high.tolist(), pairs.weight.tolist(), strict=True
        )
    ]


def _homes(size: int, links: list[Place]) -> list[int]:
    """The smallest place that each place is connected to."""
    home = list(range(size))
    for low, high in links:
        one, other = home[low], home[high]
        if one != other:
            keep, gone = min(one, other), max(one, other)
            home = [keep if place == gone else place for place in home]
    return home


def _parts(home: list[int]) -> list[list[int]]:
    """The places of each part of more than one record, ascending."""
    parts: dict[int, list[int]] = {}
    for place, part in enumerate(home):
        parts.setdefault(part, []).append(place)
    return [part for part in parts.values() if len(part) > 1]


def _agrees(
    rows: Iterable[int], told: list[tuple[Place, float]], pairs: Pairs, rules: Rules
) -> bool:
    """Whether all of these pairs have enough bits, and none is forbidden."""
    levels = pairs.levels
    exclusive = [place for place, one in enumerate(rules.exclusive) if one]
    return all(
        told[row][1] >= rules.join_bits
        and all(levels[row, place] != DIFFERS for place in exclusive)
        for row in rows
    )


class _Groups:
    """The groups of one part, and what speaks for two of them being one person.

    Evidence between two groups is one list: per comparison the best agreement or the sum of
    what was told, and how often it was told, as in ``identity.evidence``.
    """

    def __init__(
        self, part: list[int], inside: Mapping[Place, int], pairs: Pairs, rules: Rules
    ) -> None:
        self._rules = rules
        size = range(len(part))
        self._told: list[list[_Told]] = [[[] for _ in size] for _ in size]
        self._score = [[-inf for _ in size] for _ in size]
        for one, other in combinations(size, 2):
            row = inside[part[one], part[other]]
            levels = pairs.levels[row].tolist()
            told = self._of(levels, pairs.bits[row].tolist())
            apart = any(
                level == DIFFERS
                for level, exclusive in zip(levels, rules.exclusive, strict=True)
                if exclusive
            )
            self._put(one, other, told, -inf if apart else self._bits(told))

    def join(self) -> list[int]:
        """The smallest member of each member's group."""
        group = list(range(len(self._score)))
        while True:
            # The first of equals: the groups with the smallest record ids.
            best, keep, gone = -inf, 0, 0
            for one, other in combinations(range(len(group)), 2):
                if self._score[one][other] > best:
                    best, keep, gone = self._score[one][other], one, other
            if best < self._rules.join_bits:
                return group
            group = [keep if one == gone else one for one in group]
            self._merge(keep, gone)

    def _merge(self, keep: int, gone: int) -> None:
        for third in set(range(len(self._score))) - {keep, gone}:
            one, other = self._told[keep][third], self._told[gone][third]
            told = [
                (max(a, b) if several else a + b, c + d)
                for (a, c), (b, d), several in zip(one, other, self._rules.several, strict=True)
            ]
            # Who may not be joined to one of the two may not be joined to both.
            closed = -inf in (self._score[keep][third], self._score[gone][third])
            self._put(keep, third, told, -inf if closed else self._bits(told))
            self._score[gone][third] = self._score[third][gone] = -inf
        self._score[keep][gone] = self._score[gone][keep] = -inf

    def _put(self, one: int, other: int, told: _Told, score: float) -> None:
        self._told[one][other] = self._told[other][one] = told
        self._score[one][other] = self._score[other][one] = score

    def _of(self, levels: list[int], bits: list[float]) -> _Told:
        told: _Told = []
        for place, (level, value) in enumerate(zip(levels, bits, strict=True)):
            if self._rules.several[place]:
                told.append((value if level >= 0 else -inf, 0.0))
            elif level < 0:
                told.append((0.0, 0.0))
            else:
                count = PARTLY if (place, level) in self._rules.partial else 1.0
                told.append((value * count, count))
        return told

    def _bits(self, told: _Told) -> float:
        """``identity.evidence.bits``, added in its order and rounded as numpy rounds."""
        found = self._rules.prior_bits
        for (best, _), several in zip(told, self._rules.several, strict=True):
            if several:
                found += best if best > -inf else 0.0
        for (total, count), several in zip(told, self._rules.several, strict=True):
            if not several:
                found += total / (count if count > 0 else 1.0)
        return round(found * 1e9) / 1e9
