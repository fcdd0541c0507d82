"""Comparing so few pairs that calling numpy would cost more than the work itself.

Invariant, held by a property test in ``tests/unit/identity/test_few.py``:
    1. Level numbers and frequency keys are those of ``identity.scorer.compare``.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

import numpy as np

from identity import conditions
from identity.columns import Columns, Ints
from identity.comparisons import COMPARISONS, MISSING, SHARPENED, Comparison, Levels
from identity.conditions import Condition

MOST = 12  # pairs; measured: with more of them numpy is faster

Record = Mapping[str, int | frozenset[int]]
Test = Callable[[Record, Record], bool]


def compared(columns: Columns, left: Ints, right: Ints) -> tuple[Levels, Ints]:
    """Level numbers and frequency keys of the pairs, in the shapes of ``Compared``."""
    records = _records(columns, np.unique(np.concatenate((left, right))))
    return _told(records, zip(left.tolist(), right.tolist(), strict=True))


def of_plain(
    records: Mapping[int, Mapping[str, Any]], low: Ints, high: Ints
) -> tuple[Levels, Ints]:
    """``compared`` of records by id, as ``identity.plain.judged`` gives them."""
    wanted = {*low.tolist(), *high.tolist()}
    read = {
        one: {
            name: frozenset(told) if isinstance(told, tuple) else told
            for name, told in ((name, records[one][name]) for name in _read())
        }
        for one in wanted
    }
    return _told(read, zip(low.tolist(), high.tolist(), strict=True))


def _told(records: Mapping[int, Record], pairs: Iterable[tuple[int, int]]) -> tuple[Levels, Ints]:
    levels, keys = [], []
    for one, other in pairs:
        here, there = records[one], records[other]
        numbers = [_number(comparison, here, there) for comparison in COMPARISONS]
        levels.append(numbers)
        keys.append([_frequency_key(place, numbers[place], here, there) for place in SHARPENED])
    return (
        np.array(levels, np.int8).reshape(-1, len(COMPARISONS)),
        np.array(keys, np.int64).reshape(-1, len(SHARPENED)),
    )


def _records(columns: Columns, places: Ints) -> dict[int, Record]:
    """What the comparisons read of the records at ``places``: 0 or empty where it is missing."""
    at = places.tolist()
    records: dict[int, dict[str, int | frozenset[int]]] = {place: {} for place in at}
    for name in _read():
        if name in columns.singles:
            for place, key in zip(at, columns.singles[name][places].tolist(), strict=True):
                records[place][name] = key
            continue
        lists = columns.lists[name]
        for place in at:
            start, end = lists.starts[place], lists.starts[place + 1]
            records[place][name] = frozenset(lists.keys[start:end].tolist())
    return dict(records)


@cache
def _read() -> tuple[str, ...]:
    """The features that the comparisons read."""
    names = {
        level.frequency_of for one in COMPARISONS for level in one.levels if level.frequency_of
    }
    for one in COMPARISONS:
        names.update(one.missing.features())
        for level in one.levels:
            if level.condition is not None:
                names.update(level.condition.features())
    return tuple(sorted(names))


def _number(comparison: Comparison, one: Record, other: Record) -> int:
    """The level number of one pair."""
    if met(comparison.missing)(one, other):
        return MISSING
    for place, level in enumerate(comparison.levels):
        if level.condition is None:
            break
        if met(level.condition)(one, other):
            return comparison.level_number(place)
    return 0


def _frequency_key(place: int, number: int, one: Record, other: Record) -> int:
    """The value whose frequency sharpens the level of one pair; 0 for none."""
    comparison = COMPARISONS[place]
    for rank, level in enumerate(comparison.levels):
        if level.frequency_of and comparison.level_number(rank) == number:
            key = one[level.frequency_of] or other[level.frequency_of]
            return key if isinstance(key, int) else 0
    return 0


@cache
def met(condition: Condition) -> Test:
    """The condition as a function of two records."""
    match condition:
        case conditions.Not():
            inner = met(condition.condition)
            return lambda one, other: not inner(one, other)
        case conditions.Every():
            parts = tuple(map(met, condition.conditions))
            return lambda one, other: all(part(one, other) for part in parts)
        case conditions.Either():
            parts = tuple(map(met, condition.conditions))
            return lambda one, other: any(part(one, other) for part in parts)
        case _:
            return _plain(condition)


def _plain(condition: Condition) -> Test:
    match condition:
        case conditions.Equal():
            name = condition.feature
            return lambda one, other: bool(one[name]) and one[name] == other[name]
        case conditions.Shared():
            name = condition.feature
            return lambda one, other: not _set(one, name).isdisjoint(_set(other, name))
        case conditions.Both():
            names = condition.any_of
            return lambda one, other: (
                any(one[name] for name in names) and any(other[name] for name in names)
            )
        case conditions.Crossed():
            a, b = condition.one, condition.other
            return lambda one, other: (
                bool(one[a] and one[b]) and one[a] == other[b] and one[b] == other[a]
            )
        case conditions.Outnumbered():
            fewer, more = condition.fewer, condition.more
            return lambda one, other: (
                len(_set(one, fewer) & _set(other, fewer))
                < len(_set(one, more) & _set(other, more))
            )
        case _:
            raise TypeError(f"nothing compares by a {type(condition).__name__}")


def _set(record: Record, name: str) -> frozenset[int]:
    keys = record[name]
    return keys if isinstance(keys, frozenset) else frozenset()
