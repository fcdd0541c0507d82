"""Which records are decided together; `identity/components.py`."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identity.components import LARGEST, by_size, connected, missing_pairs, parts

NONE = np.empty(0, np.int64), np.empty(0, np.int64)
SIZE = 13


def spread(size, low, high):
    """Components again, the plain way: spread the smallest place until nothing changes."""
    home = list(range(size))
    changed = True
    while changed:
        changed = False
        for a, b in zip(low, high, strict=True):
            if home[a] != home[b]:
                home[a] = home[b] = min(home[a], home[b])
                changed = True
    return home


links = st.lists(
    st.tuples(st.integers(0, SIZE - 1), st.integers(0, SIZE - 1), st.floats(-5, 5)).filter(
        lambda link: link[0] < link[1]
    ),
    max_size=16,
    unique_by=lambda link: link[:2],
)


def arrays(told):
    low, high, weight = zip(*told, strict=True) if told else ((), (), ())
    return (np.array(low, np.int64), np.array(high, np.int64)), np.array(weight, np.float64)


@settings(max_examples=150, deadline=None)
@given(links, st.floats(-2, 2))
def test_components_are_named_for_their_smallest_record(told, floor):
    """Records are together if pairs of at least the floor lead from one to the other."""
    ends, weight = arrays(told)
    found = parts(ends, weight, NONE, SIZE, (floor, 9.0))
    strong = weight >= floor
    assert found.home.tolist() == spread(SIZE, ends[0][strong], ends[1][strong])
    assert not found.crowded.any()
    assert not len(found.crowds)


@settings(max_examples=80, deadline=None)
@given(links.flatmap(lambda told: st.tuples(st.just(told), st.permutations(told))))
def test_the_order_of_pairs_makes_no_component(both):
    """Invariant 1: pairs in another order give the same components."""
    one, other = (parts(*arrays(told), NONE, SIZE, (0.0, 9.0)).home for told in both)
    assert one.tolist() == other.tolist()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_long_way_between_two_records_is_still_a_way(seed):
    """Fifty thousand records in a row, in any order, are one component."""
    order = np.random.default_rng(seed).permutation(50_000)
    assert not connected(50_000, order[:-1], order[1:]).any()


def test_must_links_make_components_whatever_the_bits():
    """Invariant 2: a must link connects, and is not cut when the floor rises."""
    low, high, weight = chain(LARGEST + 50)
    must = np.array([3, 80]), np.array([4, 81])
    found = parts((low, high), weight, must, LARGEST + 50, (0.0, 3.0))
    assert found.home[4] == 3
    assert found.home[81] == 80
    assert np.bincount(found.home).max() == 2


def chain(size, weights=(1.0,)):
    """Records 0 to size - 1, each paired with the next."""
    return np.arange(size - 1), np.arange(1, size), np.resize(np.array(weights, float), size - 1)


def test_a_component_of_the_limit_stays_whole():
    """Invariant 6: the limit is the number of records of which every pair is looked at."""
    *ends, weight = chain(LARGEST)
    found = parts(tuple(ends), weight, NONE, LARGEST, (0.0, 9.0))
    assert not found.home.any()
    assert not len(found.crowds)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_giant_is_cut_where_it_is_weakest(seed):
    """Invariant 6: weak pairs are cut step by step, and strong ones stay."""
    size = 3 * LARGEST
    generator = np.random.default_rng(seed)
    weight = generator.choice([0.5, 3.0, 9.0], size - 1, p=[0.02, 0.03, 0.95])
    ends = np.arange(size - 1), np.arange(1, size)
    found = parts(ends, weight, NONE, size, (0.0, 9.0))
    assert np.bincount(found.home).max() <= LARGEST
    assert found.crowds.tolist() == [0]
    assert not found.crowded.any()
    assert (found.home[ends[0]] == found.home[ends[1]])[weight == 9.0].all()


def test_a_cut_leaves_other_components_alone():
    """Invariants 2 and 6: the floor rises within the giant and nowhere else."""
    low, high, weight = chain(LARGEST + 1)
    near = np.append(low, LARGEST + 1), np.append(high, LARGEST + 2)
    found = parts(near, np.append(weight, 0.5), NONE, LARGEST + 3, (0.0, 9.0))
    assert found.home.tolist() == [*range(LARGEST + 1), LARGEST + 1, LARGEST + 1]
    assert found.crowds.tolist() == [0]


def test_what_makes_one_person_is_never_cut():
    """Invariant 6: the floor is raised to the ceiling and no further."""
    *ends, weight = chain(LARGEST + 1, (5.0,))
    found = parts(tuple(ends), weight, NONE, LARGEST + 1, (0.0, 5.0))
    assert not found.home.any()
    assert found.crowded.all()


@settings(max_examples=80, deadline=None)
@given(links)
def test_a_component_can_be_judged_whole(told):
    """Scored and missing pairs together are every pair inside a component, each once."""
    (low, high), weight = arrays(told)
    found = parts((low, high), weight, NONE, SIZE, (0.0, 9.0))
    inside = found.home[low] == found.home[high]
    known = set(zip(low[inside].tolist(), high[inside].tolist(), strict=True))
    absent = missing_pairs(found, low[inside], high[inside])
    absent = list(zip(*(side.tolist() for side in absent), strict=True))
    assert known.isdisjoint(absent)
    assert absent == sorted(set(absent))
    every = itertools.combinations(range(SIZE), 2)
    assert known | set(absent) == {(a, b) for a, b in every if found.home[a] == found.home[b]}


def test_no_look_at_every_pair_of_a_crowd():
    """Invariant 6: pairs that were not scored are not asked for in what is too large."""
    low, high, weight = chain(LARGEST + 4, (5.0,))
    weight[LARGEST] = -1.0  # the last three are a component of their own
    found = parts((low, high), weight, NONE, LARGEST + 4, (0.0, 5.0))
    inside = found.home[low] == found.home[high]
    one, other = missing_pairs(found, low[inside], high[inside])
    assert (one.tolist(), other.tolist()) == ([LARGEST + 1], [LARGEST + 3])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=20))
def test_members_are_listed_by_size(home):
    """Each home's members stand together, ascending, with the homes of their size."""
    blocks = list(by_size(np.arange(len(home)) + 7, np.array(home)))
    listed = [row.tolist() for block in blocks for row in block]
    plain = [[p + 7 for p, h in enumerate(home) if h == one] for one in sorted(set(home))]
    assert sorted(listed) == sorted(plain)
    assert [block.shape[1] for block in blocks] == sorted({len(row) for row in plain})
