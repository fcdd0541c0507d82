"""What people have decided; invariants 1 to 5 of `identity/clusters.py`."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identity.clusters import contradictions
from identity.errors import ContradictoryConstraintsError
from tests.unit.identity.clustering import (
    WRONG_ID,
    complete,
    constrained,
    constraints,
    ends,
    pairs_of,
    people,
    within,
)


@settings(max_examples=100, deadline=None)
@given(constrained())
def test_what_people_decide_holds(world):
    """Invariants 3 and 4: must links are together, cannot links and exclusive values apart."""
    told, must, cannot = world
    found = within(pairs_of(*told), ends(told), constraints(must, cannot))
    assert all(found[a] == found[b] for a, b in must)
    assert all(found[a] != found[b] for a, b in cannot)
    unit = within(pairs_of(), ends(told), constraints(must))
    for a, b, *said in told:
        if WRONG_ID in said and unit[a] != unit[b]:
            assert found[a] != found[b]


@settings(max_examples=60, deadline=None)
@given(constrained(), constrained(first=50), st.randoms(use_true_random=False))
def test_constraints_stay_in_their_component(one, other, mixer):
    """Invariants 1 and 2: with constraints too, a component is decided from what is in it."""
    (told, must, cannot), (told_, must_, cannot_) = one, other
    mixed = told + told_
    mixer.shuffle(mixed)
    # A cannot link between the two components says nothing new.
    limits = constraints(must | must_, cannot | cannot_ | {(told[0][0], told_[0][0])})
    together = people(ends(mixed), pairs_of(*mixed), limits)
    alone = people(ends(told), pairs_of(*told), constraints(must, cannot))
    assert together == alone | people(ends(told_), pairs_of(*told_), constraints(must_, cannot_))


@settings(max_examples=50, deadline=None)
@given(constrained(), st.data())
def test_taking_a_decision_back_restores_what_was(world, data):
    """A constraint leaves nothing behind: without it the people are those from before."""
    told, must, cannot = world
    before = people(ends(told), pairs_of(*told), constraints(must, cannot))
    pair = data.draw(st.sampled_from(told))[:2]
    unit = within(pairs_of(), ends(told), constraints(must))
    if unit[pair[0]] != unit[pair[1]]:
        split = people(ends(told), pairs_of(*told), constraints(must, cannot | {pair}))
        assert split[pair[0]] != split[pair[1]]
    assert people(ends(told), pairs_of(*told), constraints(must, cannot)) == before


def test_must_links_carry_on():
    """Invariant 3: records that no pair speaks for are together, by way of a third."""
    found = people([1, 2, 3, 4], pairs_of(), constraints([(1, 3), (3, 4)]))
    assert found == {1: 1, 2: 2, 3: 1, 4: 1}


def test_two_who_agree_may_be_kept_apart():
    """Invariants 4 and 5: no number of good pairs joins two records that cannot be one."""
    good = complete([1, 2, 3], dict.fromkeys([(1, 2), (1, 3), (2, 3)], (20.0, 8.0)))
    assert people([1, 2, 3], good) == {1: 1, 2: 1, 3: 1}
    assert people([1, 2, 3], good, constraints(cannot=[(1, 2)])) == {1: 1, 2: 2, 3: 1}
    assert people([1, 2], good.take(np.array([0])), constraints(cannot=[(1, 2)])) == {1: 1, 2: 2}


def test_another_id_number_is_another_person():
    """Invariant 4: an exclusive comparison outweighs all else, a must link outweighs it."""
    pair = pairs_of((1, 2, 40.0, 40.0, WRONG_ID))
    assert people([1, 2], pair) == {1: 1, 2: 2}
    assert people([1, 2], pair, constraints([(1, 2)])) == {1: 1, 2: 1}


def test_decisions_that_contradict_each_other_are_an_error():
    """Invariant 4: the error names the two records, and says what to do."""
    limits = constraints([(1, 2), (2, 3)], [(1, 3), (1, 4)])
    assert contradictions(limits) == [(1, 3)]
    with pytest.raises(ContradictoryConstraintsError, match="undo the decision") as caught:
        people([1, 2, 3, 4], pairs_of(), limits)
    assert (caught.value.low, caught.value.high) == (1, 3)
    assert people([1, 2, 4], pairs_of(), limits) == {1: 1, 2: 1, 4: 4}


def test_a_group_made_by_a_person_is_weighed_as_one():
    """Of a must-linked group the best phone counts once, and the mean of its names."""
    told = {(1, 3): (15.0, 6.0), (2, 3): (-8.0, -3.0)}
    pairs = complete([1, 2, 3], told)
    assert people([1, 2, 3], pairs) == {1: 1, 2: 2, 3: 1}
    assert people([1, 2, 3], pairs, constraints([(1, 2)])) == {1: 1, 2: 1, 3: 1}
    told[2, 3] = (-8.0, -12.0)
    assert people([1, 2, 3], complete([1, 2, 3], told), constraints([(1, 2)]))[3] == 3
