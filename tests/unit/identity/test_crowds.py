"""Components too large for a look at every pair; invariants 2 and 6 of `identity/clusters.py`."""

import numpy as np
import pytest
from hypothesis import given, settings

from identity import clusters, components
from identity.clusters import LARGEST, Constraints, decide
from tests.unit.identity.clustering import (
    JOIN,
    PRIOR,
    RULES,
    constrained,
    constraints,
    ends,
    nothing_told,
    pairs_of,
    people,
)


@settings(max_examples=50, deadline=None)
@given(constrained())
def test_a_crowd_of_which_all_is_known_is_decided_as_any_other(world):
    """Invariant 2: over every pair, the way for crowds gives the answer of the other way."""
    told, must, cannot = world
    limits = constraints(must, cannot)
    few = people(ends(told), pairs_of(*told), limits, floor=JOIN)
    with pytest.MonkeyPatch.context() as patch:
        for module in (clusters, components):
            patch.setattr(module, "LARGEST", 2)
        assert people(ends(told), pairs_of(*told), limits, floor=JOIN) == few


def crowd(low, high, phone, name):
    """Scored pairs by the array; name 0 is not given."""
    known = np.stack((phone, name, np.zeros(len(low))), axis=1)
    levels = np.where(known == 0, -1, 1).astype(np.int8)
    low, high = np.minimum(low, high), np.maximum(low, high)
    empty = pairs_of()
    return type(empty)(low, high, PRIOR + known.sum(axis=1), levels, known)


def test_records_that_are_all_alike_are_one_person():
    """Invariant 6: a crowd that no floor can cut does not fall into single records."""
    low, high = np.triu_indices(LARGEST + 60, 1)
    alike = crowd(low, high, np.full(len(low), 14.0), np.full(len(low), 6.0))
    decided = decide(np.arange(LARGEST + 60), alike, Constraints.none(), RULES, nothing_told)
    assert not decided.anchors.any()
    assert decided.crowded.tolist() == [0]


def test_a_crowd_on_one_phone_is_two_families():
    """Invariant 6: two names on one number are told apart in a crowd as among few."""
    size = LARGEST + 40
    low, high = np.triu_indices(size, 1)
    name = np.where(low % 2 == high % 2, 8.0, -9.0)
    pairs = crowd(low, high, np.full(len(low), 14.0), name)
    found = decide(np.arange(size), pairs, Constraints.none(), RULES, nothing_told)
    assert found.anchors.tolist() == [place % 2 for place in range(size)]


@pytest.mark.parametrize("shape", ["chain", "star", "tangle"])
def test_a_hundred_thousand_records_are_decided(shape):
    """Invariant 6: a component of 100,000 records is decided, and what people said holds."""
    size = 100_000
    generator = np.random.default_rng(5)
    order = generator.permutation(size)
    low, high = order[:-1], order[1:]
    if shape == "star":
        low = np.full(size - 1, order[-1])
        high = order[:-1]
    name = np.zeros(size - 1)
    if shape == "tangle":
        more = generator.integers(0, size, (2, 30_000))
        keys = np.unique(np.sort(np.c_[np.r_[low, more[0]], np.r_[high, more[1]]]), axis=0)
        keys = keys[keys[:, 0] != keys[:, 1]]
        low, high = keys.T
        name = generator.choice([-9.0, 4.0], len(low), p=[0.1, 0.9])
    phone = generator.uniform(13.0, 20.0, len(low))
    records = np.arange(size)
    first, last = order[0], order[-2]
    limits = constraints(cannot=[(first, last)])
    found = decide(records, crowd(low, high, phone, name), limits, RULES, nothing_told)
    assert found.anchors[first] != found.anchors[last]
    assert (found.anchors <= records).all()
    assert (found.anchors[found.anchors] == found.anchors).all()
    people_found = len(np.unique(found.anchors))
    assert people_found == 2 if shape != "tangle" else 2 <= people_found < size / 10


@pytest.mark.parametrize("join", [3.0, 8.0])
def test_a_giant_of_mixed_bits_is_cut_and_decided(join):
    """Invariant 6: what is small enough after a cut is judged whole, the rest as a crowd."""
    size = 5 * LARGEST
    generator = np.random.default_rng(4)
    phone = generator.choice([10.5, 12.0, 19.0], size - 1, p=[0.03, 0.02, 0.95])
    phone[: LARGEST + 20] = 19.0
    pairs = crowd(np.arange(size - 1), np.arange(1, size), phone, np.zeros(size - 1))
    rules = type(RULES)(RULES.several, RULES.exclusive, PRIOR, join)
    found = decide(np.arange(size), pairs, Constraints.none(), rules, nothing_told)
    assert found.crowded.tolist() == [0]
    assert ((found.anchors[:-1] == found.anchors[1:]) == (phone == 19.0)).all()
