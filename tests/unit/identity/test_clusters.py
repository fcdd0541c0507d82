"""From scored pairs to people; invariants of `identity/clusters.py`."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identity.clusters import LARGEST, Constraints, decide
from identity.errors import UnscoredPairsError
from tests.unit.identity.clustering import (
    JOIN,
    RULES,
    bits,
    complete,
    constraints,
    ends,
    pairs_of,
    people,
    within,
)


@st.composite
def scored(draw):
    """All pairs of a few records, and the same pairs in another order."""
    size = draw(st.integers(2, 7))
    told = [
        (a, b, draw(bits), draw(bits)) for a, b in itertools.combinations(range(1, size + 1), 2)
    ]
    return told, draw(st.permutations(told))


@settings(max_examples=60, deadline=None)
@given(scored())
def test_the_order_of_pairs_changes_nobody(both):
    """Invariant 1: pairs in another order give the same people, ties and all."""
    told, mixed = both
    records = ends(told)
    assert within(pairs_of(*told), records) == within(pairs_of(*mixed), records)
    assert people(records, pairs_of(*told)) == people(records, pairs_of(*mixed))


@settings(max_examples=50, deadline=None)
@given(scored(), st.integers(2, 9), st.integers(0, 1000))
def test_growing_ids_change_nobody(both, step, start):
    """Invariant 1: other ids in the same order give the same people."""
    told, _ = both
    records = ends(told)
    before = within(pairs_of(*told), records)
    moved = [(a * step + start, b * step + start, p, n) for a, b, p, n in told]
    after = within(pairs_of(*moved), [record * step + start for record in records])
    assert after == {r * step + start: c * step + start for r, c in before.items()}


@settings(max_examples=50, deadline=None)
@given(scored(), scored())
def test_a_component_is_decided_from_its_own_pairs(one, other):
    """Invariant 2: two components beside one another are decided as each alone."""
    here = one[0]
    there = [(a + 100, b + 100, p, n) for a, b, p, n in other[0]]
    alone = people(ends(here), pairs_of(*here)) | people(ends(there), pairs_of(*there))
    assert people(ends(here) + ends(there), pairs_of(*here, *there)) == alone


@settings(max_examples=50, deadline=None)
@given(scored())
def test_a_person_is_named_for_their_smallest_record(both):
    """Every record has one cluster, and a cluster is its own smallest member."""
    told, _ = both
    records = ends(told)
    found = within(pairs_of(*told), records)
    assert sorted(found) == records
    assert all(cluster <= record and found[cluster] == cluster for record, cluster in found.items())


def test_nothing_to_decide_decides_nothing():
    """Without a component there is no person to find, and no error."""
    assert people([], pairs_of()) == {}
    assert people([4], pairs_of()) == {4: 4}
    assert people([1, 2], pairs_of((1, 2, 1.0, None))) == {1: 1, 2: 2}


def test_one_good_pair_is_one_person():
    """Two records with enough evidence are joined, and with too little are not."""
    assert people([3, 8], pairs_of((3, 8, 13.0, None))) == {3: 3, 8: 3}
    assert people([3, 8], pairs_of((3, 8, 12.9, None))) == {3: 3, 8: 8}


def test_a_record_between_two_joins_them():
    """The mini-program account speaks to both the till and WeCom, who say nothing together."""
    told = {(1, 2): (15.0, None), (2, 3): (15.0, None)}
    assert set(within(complete([1, 2, 3], told), [1, 2, 3]).values()) == {1}


def test_members_who_contradict_each_other_are_two_people():
    """Two names on one number: the record without a name goes to the stronger side only."""
    told = {(1, 2): (15.0, -14.0), (1, 3): (18.0, None), (2, 3): (15.0, None)}
    assert within(complete([1, 2, 3], told), [1, 2, 3]) == {1: 1, 2: 2, 3: 1}


def test_a_family_on_one_phone_is_two_people():
    """Four records on one number under two names are two people, not one."""
    told = {
        (a, b): (14.0, 8.0 if a % 2 == b % 2 else -9.0)
        for a, b in itertools.combinations([1, 2, 3, 4], 2)
    }
    assert within(complete([1, 2, 3, 4], told), [1, 2, 3, 4]) == {1: 1, 2: 2, 3: 1, 4: 2}


def test_one_slip_is_outvoted():
    """A record whose name disagrees with one of three is still theirs."""
    told = {
        (a, b): (15.0, -6.0 if (a, b) == (1, 4) else 8.0)
        for a, b in itertools.combinations([1, 2, 3, 4], 2)
    }
    pairs = complete([1, 2, 3, 4], told)
    assert pairs.weight.min() < JOIN
    assert set(within(pairs, [1, 2, 3, 4]).values()) == {1}


def test_a_second_phone_is_no_contradiction():
    """Of what a person can have several of, the best agreement counts."""
    told = {(1, 2): (15.0, 5.0), (1, 3): (-8.0, 5.0), (2, 3): (15.0, 5.0)}
    assert set(within(complete([1, 2, 3], told), [1, 2, 3]).values()) == {1}


def test_ties_go_to_the_smallest_record():
    """Invariant 1: of two equal groups a record joins the one with the smaller id."""
    told = {(1, 2): (14.0, -20.0), (1, 3): (14.0, 5.0), (2, 3): (14.0, 5.0)}
    assert within(complete([1, 2, 3], told), [1, 2, 3]) == {1: 1, 2: 2, 3: 1}
    assert within(complete([4, 2, 9], {}), [2, 4, 9]) == {2: 2, 4: 4, 9: 9}


def test_the_largest_component_is_refined_in_time():
    """Two hundred records that all agree but two: the cubic work at its limit ends well."""
    records = list(range(LARGEST))
    told = dict.fromkeys(itertools.combinations(records, 2), (14.0, 6.0))
    told[0, LARGEST - 1] = (14.0, -8.0)
    assert set(within(complete(records, told), records).values()) == {0}


def test_a_single_weak_bridge_is_cut():
    """Two consistent groups with one good pair between them are two people."""
    one, other = [1, 2, 3, 4], [5, 6, 7, 8]
    told = dict.fromkeys(itertools.combinations(one, 2), (14.0, 8.0))
    told |= dict.fromkeys(itertools.combinations(other, 2), (14.0, 8.0))
    told |= {(a, b): (None, -9.0) for a in one for b in other} | {(4, 5): (14.0, 2.0)}
    found = people(one + other, complete(one + other, told))
    assert found == dict.fromkeys(one, 1) | dict.fromkeys(other, 5)


def test_pairs_that_were_not_given_are_scored():
    """A component is judged whole: pairs inside it are scored once, those across are not."""
    asked = []

    def score(low, high):
        asked.append(list(zip(low.tolist(), high.tolist(), strict=True)))
        return pairs_of(*((a, b, None, -30.0) for a, b in asked[-1]))

    pairs = pairs_of((1, 2, 15.0, None), (2, 3, 16.0, None), (3, 9, 2.0, None), (8, 9, 14.0, None))
    decided = decide(np.array([1, 2, 3, 8, 9]), pairs, Constraints.none(), RULES, score)
    assert asked == [[(1, 3)]]
    assert decided.anchors.tolist() == [1, 2, 2, 8, 8]
    assert sorted(zip(decided.pairs.low, decided.pairs.high, strict=True)) == [
        (1, 2), (1, 3), (2, 3), (3, 9), (8, 9)
    ]  # fmt: skip


def test_a_pair_that_cannot_be_scored_is_no_silence():
    """Scoring fewer pairs than asked for is an error, not missing evidence."""
    pairs = pairs_of((1, 2, 15.0, None), (2, 3, 16.0, None))
    with pytest.raises(UnscoredPairsError, match="Only 0 of 1 pairs"):
        people([1, 2, 3], pairs, score=lambda *_: pairs_of())


def test_what_lies_beyond_the_records_is_left_out():
    """Whole components may be decided alone; weak pairs and links that lead out say nothing."""
    pairs = pairs_of((2, 5, 14.0, None), (5, 6, 3.0, None), (0, 2, 3.0, None))
    assert people([2, 5], pairs, constraints([(5, 6)], [(0, 2)])) == {2: 2, 5: 2}
