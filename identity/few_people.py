"""Deciding so few records that calling numpy would cost more than the work itself.

Most arrivals touch a component of two or three records that all agree. Those are decided
here; whatever takes weighing groups against each other is left to ``identity.clusters``.

Invariant, held by a property test in ``tests/unit/identity/test_few_people.py``:
    1. The anchors are those that ``identity.clusters`` finds without it, and the same pairs
       are asked for in the same order.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

from identity.evidence import DIFFERS, Rules
from identity.pairs import Pairs

MOST = 12  # records; measured: with more of them numpy is faster

Score = Callable[[list[tuple[int, int]]], Pairs]
Place = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Few:
    """What became of a few records.

    Attributes:
        people: the smallest place of each record's person; None if that takes more to say.
        pairs: the pairs given, and those that were asked for.
    """

    people: list[int] | None
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
    absent = sorted(
        pair for part in parts for pair in combinations(part, 2) if pair not in known
    )
    if absent:
        extra = score(absent)
        pairs = pairs.and_also(extra)
        told += _placed(at, extra)
    people = list(range(len(records)))
    for part in parts:
        if _agrees(part, told, pairs, rules):
            for place in part:
                people[place] = part[0]
        elif len(part) > 2:  # of two records that do not agree there is nothing more to say
            return Few(None, pairs)
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
    part: list[int], told: list[tuple[Place, float]], pairs: Pairs, rules: Rules
) -> bool:
    """Whether every pair inside a part has enough bits, and none is forbidden."""
    inside = set(part)
    rows = [row for row, ((low, high), _) in enumerate(told) if low in inside and high in inside]
    if any(told[row][1] < rules.join_bits for row in rows):
        return False
    exclusive = [place for place, one in enumerate(rules.exclusive) if one]
    levels = pairs.levels
    return all(levels[row, place] != DIFFERS for row in rows for place in exclusive)
