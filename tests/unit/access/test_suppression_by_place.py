"""Groups by place, in which somebody is counted twice: `cdp/access/suppression.py`.

The tests attack an answer with linear algebra. People differ by value and by the places they are
of; each such kind is an unknown. What is shown are sums of unknowns. Whatever set of people
follows from them by adding and subtracting, with what is known to be nobody taken out, is found.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import product
from typing import Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdp.access.suppression import shown, shown_by_place

Sort = tuple[str, tuple[str, ...]]  # a value, and the places of those who have it
Group = tuple[str | None, str]

SMALLEST: Final = 3
P, Q, R, PQ, NOWHERE = ("p",), ("q",), ("r",), ("p", "q"), ()
# Of which places people may be, and whoever attacks knows that.
ANYHOW: Final = [P, Q, PQ, NOWHERE]
ALL_OF_ONE: Final = [P, PQ]  # there was a condition on the place
ONE_EACH: Final = [P, Q, R]
THREE: Final = [P, Q, R, PQ, ("p", "r"), ("q", "r"), ("p", "q", "r")]
THREE_OF_ONE: Final = [P, PQ, ("p", "r"), ("p", "q", "r")]
WORLDS: Final = [
    (places, values)
    for places in (ANYHOW, ALL_OF_ONE, ONE_EACH, THREE, THREE_OF_ONE)
    for values in ("a", "ab", "abc", "abcd")
    if len(places) * len(values) <= 12
]


def groups_of(one: Sort) -> set[Group]:
    """The groups in which somebody of this sort is counted."""
    value, places = one
    return {(place, value) for place in places or (None,)}


def counted(people: Mapping[Sort, int]) -> tuple[Counter[Group], Counter[str]]:
    """What the database counts: by place and value, and by value each person once."""
    groups: Counter[Group] = Counter()
    once: Counter[str] = Counter()
    for one, size in people.items():
        if size:
            once[one[0]] += size
            groups.update(dict.fromkeys(groups_of(one), size))
    return groups, once


def in_order(groups: Iterable[Group]) -> list[Group]:
    """By name, no place last."""
    return sorted(groups, key=lambda one: (one[0] is None, one[0] or "", one[1]))


@cache
def differences(rows: tuple[tuple[int, ...], ...]) -> np.ndarray:
    """Return every set of unknowns that is a sum or difference of the rows."""
    _, strengths, directions = np.linalg.svd(np.array(rows, float), full_matrices=False)
    basis = directions[strengths > 1e-9]
    sets = np.array(list(product((0, 1), repeat=len(rows[0]))), float)[1:]
    return sets[np.abs(sets @ basis.T @ basis - sets).max(axis=1) < 1e-7].astype(int)


def found_out(
    people: Mapping[Sort, int], seen: Mapping[Group, int], groups: Mapping[Group, int]
) -> list[str]:
    """Say what follows from an answer that must not: few people, or a hidden group."""
    unknown = list(people)
    if len(seen) == len(groups):  # it says that nothing is hidden, so what is not there is empty
        unknown = [one for one in unknown if groups_of(one) <= groups.keys()]
    while True:
        rows = (tuple(1 for _ in unknown), *(_row(unknown, one) for one in sorted(seen, key=str)))
        sets = differences(rows)
        sizes = sets @ np.array([people[one] for one in unknown])
        nobody = sets[sizes == 0].any(axis=0)
        if not nobody.any():
            break
        unknown = [one for one, empty in zip(unknown, nobody, strict=True) if not empty]
    few = [f"{size} people" for size in sizes if size < SMALLEST]
    told = {tuple(one) for one in sets.tolist()}
    whole = tuple(1 for _ in unknown)
    hidden = [
        f"{one}" for one in groups.keys() - seen.keys() if _row(unknown, one) in told - {whole}
    ]
    return few + hidden


def _row(unknown: Sequence[Sort], group: Group) -> tuple[int, ...]:
    return tuple(int(group in groups_of(one)) for one in unknown)


sizes = st.one_of(st.sampled_from([0, 0, 1, 2, 3, 4, 5, 9]), st.integers(0, 12))


@given(data=st.data(), world=st.sampled_from(WORLDS))
@settings(max_examples=700, deadline=None)
def test_no_difference_tells_of_few_or_of_what_is_hidden(data: st.DataObject, world) -> None:
    """Invariant 4: whatever places overlap, and also where all are known to be of one."""
    sorts = [(value, places) for places in world[0] for value in world[1]]
    people = dict(zip(sorts, data.draw(st.tuples(*(sizes for _ in sorts))), strict=True))
    groups, once = counted(people)
    if sum(once.values()) >= SMALLEST:
        seen = shown_by_place(groups, once, in_order(groups), SMALLEST)
        assert all(size >= SMALLEST and groups[one] == size for one, size in seen.items())
        assert found_out(people, seen, groups) == []


@pytest.mark.parametrize("places", [ALL_OF_ONE, [P, Q, PQ]], ids=["all of one", "two"])
def test_every_small_world_of_two_places(places: list[tuple[str, ...]]) -> None:
    """Invariant 4, all of them: two places that overlap, two values, up to five of each sort."""
    sorts = [(value, one) for one in places for value in "ab"]
    judged = 0
    for some in product((0, 1, 2, 3, 5), repeat=len(sorts)):
        people = dict(zip(sorts, some, strict=True))
        groups, once = counted(people)
        if sum(once.values()) >= SMALLEST:
            seen = shown_by_place(groups, once, in_order(groups), SMALLEST)
            judged += len(seen) > 0
            assert not seen or found_out(people, seen, groups) == []
    assert judged > 20


@pytest.mark.parametrize(
    "people",
    [
        # (q, rare) = 2 is the total less (q, a) and (q, b): what protected it was of p.
        {("a", PQ): 12, ("b", PQ): 12, ("a", Q): 3, ("b", Q): 3, ("rare", Q): 2},
        {("a", P): 1, ("a", PQ): 11},  # exactly one is not of q
        {("a", P): 9, ("a", Q): 9, ("a", PQ): 1},  # exactly one is of both
        # (p, a) and (q, b) leave one of a who is not of p, and one of b who is not of q.
        {("a", P): 4, ("a", Q): 1, ("a", PQ): 9, ("b", P): 1, ("b", Q): 4, ("b", PQ): 9},
    ],
)
def test_what_was_found_out_once(people: dict[Sort, int]) -> None:
    """Invariant 4: as one table, where each person counts once, these told of few."""
    groups, once = counted(people)
    order = in_order(groups)
    assert found_out(people, shown(groups, order, SMALLEST), groups)
    assert found_out(people, shown_by_place(groups, once, order, SMALLEST), groups) == []


def test_large_places_are_shown() -> None:
    """A small group hides two large ones of its own place; a small place hides two others."""
    people = {(value, places): 50 for value in "abcd" for places in (P, Q, PQ, R)}
    groups, once = counted(people)
    assert shown_by_place(groups, once, in_order(groups), SMALLEST) == groups
    groups, once = counted(people | {("d", P): 1, ("d", PQ): 0})
    left = {*groups} - {("p", "a"), ("p", "b"), ("p", "d")}
    assert shown_by_place(groups, once, in_order(groups), SMALLEST).keys() == left
    groups, once = counted(people | {("d", ("s",)): 1, ("d", ("t",)): 40})
    left = {one for one in groups if one[0] in {"r", "t"}}
    assert shown_by_place(groups, once, in_order(groups), SMALLEST).keys() == left
