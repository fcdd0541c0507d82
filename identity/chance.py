"""How many pairs of records reach each level: all pairs counted, none drawn.

The number of pairs grows with the square of the records, so they are not looked at one by one:

* Records with equal features are one *pattern* that counts several times.
* A level that asks for an uncommon agreement is found by joining patterns on the keys that
  they would have in common (``identity.joins``). These pairs are compared one by one.
* What is left agrees at most on common values (a surname, a year). How many pairs agree on
  each set of them follows in closed form from how often the values occur: the sum of n(n-1)/2
  over values, by inclusion and exclusion where there are several such features. Two such
  records are then compared for each way to agree that there is.

All counts are integers and exact. A comparison of single values (a unionid, a city, a
gender) is counted over everybody, however many they are. Only where the joins would give more
than ``MOST_JOINED`` pairs, or lists of neighbours would fill the memory, as the names and
addresses of a million records do, are records drawn: not pairs, for all pairs of the drawn
records count, which says far more than as many pairs drawn.

Invariants:
    1. The counts are those of comparing every pair of the counted records, one by one.
    2. They depend on the features and not on the order of the records, unless records are
       drawn; then on the order of their ids and on ``SEED``.

Source: Fellegi & Sunter (1969), "A Theory for Record Linkage", section 3.3.1: the chance
agreement of two records is the sum of the squared frequencies of values.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from identity.candidates import sample
from identity.columns import Bools, Columns, Ints, Lists, distinct
from identity.comparisons import MISSING, Comparison, level_numbers
from identity.conditions import LISTS, Equal, Sides
from identity.joins import Atom, Clause, clauses, joins, keys_alike

MOST_JOINED = 3_000_000  # pairs compared for one comparison: about a second
MOST_LISTED = 100_000  # records whose lists are joined: about 100 MB
COMMON = 100_000  # pairs; agreement of more of them on single values is counted in closed form
AT_ONCE = 50_000  # pairs compared together
SEED = 20_000  # of drawing records
_ODD = np.uint64(0x9E3779B97F4A7C15)  # 2**64 over the golden ratio, made odd


@dataclass(frozen=True, slots=True)
class Counted:
    """Pairs of records by level.

    Attributes:
        pairs: how many reach each level, best first; those with nothing to compare are left
            out. Shape (levels,).
        drawn: the places of the records whose pairs were counted; None for all.
    """

    pairs: Ints
    drawn: Ints | None = None


def count(person: Columns, comparison: Comparison) -> Counted:
    """Count the levels of all pairs of records.

    Args:
        person: features as ``identity.sharing.judged`` gives them.
        comparison: what to count.
    """
    everybody = _only(person, comparison.features)
    chosen, records = None, everybody
    if len(person) > MOST_LISTED and any(len(held.keys) for held in everybody.lists.values()):
        chosen = _drawn(len(person), MOST_LISTED)
        records = everybody.take(chosen)
    while True:
        patterns, times = _patterns(records)
        plan = _plan(patterns, comparison)
        if plan.joined <= MOST_JOINED:
            return Counted(_counted(patterns, times, comparison, plan), chosen)
        # Pairs grow with the square of the records.
        share = min(0.9, math.sqrt(MOST_JOINED / plan.joined))
        chosen = _drawn(len(person), int(len(records) * share))
        records = everybody.take(chosen)


def _drawn(records: int, wanted: int) -> Ints:
    return np.sort(np.random.default_rng(SEED).permutation(records)[:wanted])


def _only(person: Columns, features: Sequence[str]) -> Columns:
    return Columns(
        person.ids,
        {name: person.singles[name] for name in features if name not in LISTS},
        {name: person.lists[name] for name in features if name in LISTS},
    )


def _patterns(records: Columns) -> tuple[Columns, Ints]:
    """Records with different features, and how many records there are of each."""
    mixed = np.zeros(len(records), np.uint64)
    for keys in records.singles.values():
        mixed = _mix(mixed) + _mix(keys.view(np.uint64))
    for held in records.lists.values():
        sums = np.concatenate((np.zeros(1, np.uint64), np.cumsum(_mix(held.keys.view(np.uint64)))))
        mixed = _mix(mixed) + sums[held.starts[1:]] - sums[held.starts[:-1]]
    _, first, times = np.unique(mixed, return_index=True, return_counts=True)
    order = np.argsort(first)
    return records.take(first[order]), times[order]


def _mix(keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Spread keys over 64 bits (the finaliser of MurmurHash3, but for its second constant)."""
    keys = (keys ^ (keys >> np.uint64(33))) * _ODD
    keys = (keys ^ (keys >> np.uint64(29))) * _ODD
    return keys ^ (keys >> np.uint64(32))


@dataclass(frozen=True, slots=True)
class _Plan:
    """How to count.

    Attributes:
        joined: pairs that the joins give.
        joins: what patterns are joined on: outside these pairs, none of it agrees.
        common: features whose agreement is counted in closed form.
    """

    joined: int
    joins: tuple[tuple[Atom, ...], ...]
    common: tuple[str, ...]


def _plan(patterns: Columns, comparison: Comparison) -> _Plan:
    """Split what the levels ask for into joins and common values."""
    conditions = [comparison.missing, *(one.condition for one in comparison.levels)]
    waiting = [clause for one in conditions if one is not None for clause in clauses(one)]
    cost: dict[tuple[Atom, ...], int] = {}
    chosen: dict[tuple[Atom, ...], int] = {}
    common: dict[str, None] = {}
    while waiting:
        clause = waiting.pop()
        ways = _ways(patterns, clause, cost)
        singles = [atom.feature for atom in clause.alike if isinstance(atom, Equal)]
        best = min(ways, key=lambda way: cost[way]) if ways else None
        if best is not None and (len(singles) < len(clause.alike) or cost[best] <= COMMON):
            chosen[best] = cost[best]
            continue
        common |= dict.fromkeys(singles)
        # What must not agree has to be known outside the joins as well.
        waiting += [Clause(alike=(atom,)) for atom in clause.unlike]
    return _Plan(sum(chosen.values()), tuple(chosen), tuple(common))


def _ways(
    patterns: Columns, clause: Clause, cost: dict[tuple[Atom, ...], int]
) -> list[tuple[Atom, ...]]:
    """What a clause can be joined on: one of its parts, or all; their cost is written down."""
    ways: list[tuple[Atom, ...]] = [(atom,) for atom in clause.alike]
    if len(ways) > 1:
        ways.append(clause.alike)
    for way in ways:
        if way not in cost:
            cost[way] = joins(keys_alike(patterns, way)[1])
    return ways


def _counted(patterns: Columns, held: Ints, comparison: Comparison, plan: _Plan) -> Ints:
    """Pairs of each level, best first, of records of which ``held`` say how many there are."""
    by_number = np.zeros(len(comparison.levels) + 1, np.int64)  # the last one is missing
    kinds, kind = _kinds(patterns)
    rest = _agreeing(patterns, held, plan.common, kind)
    for left, right in _met(patterns, held, plan.joins):
        sides = Sides(patterns, left, right)
        times = held[left] * (held[right] - (left == right)) >> (left == right)
        np.add.at(by_number, level_numbers(comparison, sides), times)
        alike = np.zeros(len(left), np.int64)
        for bit, feature in enumerate(plan.common):
            one, other = sides.single(feature)
            alike |= ((one == other) & (one != 0)).astype(np.int64) << bit
        low, high = np.sort((kind[left], kind[right]), axis=0)
        np.subtract.at(rest, (alike, low, high), times)
    cells = np.argwhere(rest)
    numbers = level_numbers(comparison, _like(patterns, plan.common, kinds, cells))
    np.add.at(by_number, numbers, rest[tuple(cells.T)])
    return by_number[:MISSING][::-1].copy()


def _kinds(patterns: Columns) -> tuple[Bools, Ints]:
    """Which features a record can have at once, and which of these kinds each pattern is."""
    there = [keys != 0 for keys in patterns.singles.values()]
    there += [held.counts() > 0 for held in patterns.lists.values()]
    code = sum((has.astype(np.int64) << bit for bit, has in enumerate(there)), np.int64(0))
    _, first, kind = np.unique(code, return_index=True, return_inverse=True)
    return np.stack(there, axis=1)[first], kind


def _agreeing(patterns: Columns, held: Ints, common: Sequence[str], kind: Ints) -> Ints:
    """How many pairs of records agree on exactly each set of common features.

    Returns:
        Shape (sets, kinds, kinds): a set is the sum of 2**place of its features; of two
        kinds the smaller stands first.
    """
    kinds = int(kind.max(initial=-1)) + 1
    found = np.zeros((1 << len(common), kinds, kinds), np.int64)
    for chosen in range(len(found)):
        told = np.ones(len(patterns), np.bool_)
        key = np.zeros(len(patterns), np.uint64)
        for bit, feature in enumerate(common):
            if chosen >> bit & 1:
                keys = patterns.singles[feature]
                told &= keys != 0
                key = _mix(key) + _mix(keys.view(np.uint64))
        _, value = np.unique(key[told], return_inverse=True)
        times = np.zeros((int(value.max(initial=-1)) + 1, kinds), np.int64)
        np.add.at(times, (value, kind[told]), held[told])
        met = times.T @ times
        itself = np.arange(kinds)
        met[itself, itself] = (met[itself, itself] - times.sum(axis=0)) // 2
        found[chosen] = np.triu(met)
    # From "at least these agree" to "exactly these": take away what agrees on more.
    for bit in range(len(common)):
        for chosen in range(len(found)):
            if not chosen >> bit & 1:
                found[chosen] -= found[chosen | 1 << bit]
    return found


def _met(
    patterns: Columns, held: Ints, ways: Sequence[tuple[Atom, ...]]
) -> Iterator[tuple[Ints, Ints]]:
    """Pairs of patterns that the joins find, each once, and patterns of several records."""
    size = len(patterns)
    several = np.flatnonzero(held > 1)
    met = [several * size + several]
    for way in ways:
        row, key = keys_alike(patterns, way)
        left, right = sample(row, key, joins(key), np.random.default_rng(SEED))
        apart = left != right  # a list may give one compound key twice
        met.append(distinct(left[apart] * size + right[apart]))
    pairs = distinct(np.concatenate(met))
    for at in range(0, len(pairs), AT_ONCE):
        some = pairs[at : at + AT_ONCE]
        yield some // size, some % size


def _like(patterns: Columns, common: Sequence[str], kinds: Bools, cells: Ints) -> Sides:
    """Two records for each cell (set of what agrees, kind, kind) that agree on nothing else."""
    size = len(cells)
    fresh = iter(range(1, 1 << 62, 2 * size + 1))
    singles, lists = {}, {}
    for place, feature in enumerate((*patterns.singles, *patterns.lists)):
        there = np.concatenate((kinds[cells[:, 1], place], kinds[cells[:, 2], place]))
        keys = next(fresh) + np.arange(2 * size)
        if feature in patterns.lists:
            lists[feature] = Lists(np.concatenate(([0], np.cumsum(there))), keys[there])
            continue
        if feature in common:
            agrees = np.flatnonzero(cells[:, 0] >> common.index(feature) & 1)
            keys[size + agrees] = keys[agrees]
        singles[feature] = np.where(there, keys, 0)
    left = np.arange(size)
    return Sides(Columns(np.arange(2 * size), singles, lists), left, left + size)
