"""From scored pairs to people; invariants of `identity/clusters.py`."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identity.clusters import LARGEST, Pairs, components, missing_pairs, partition

PRIOR, JOIN = -10.0, 3.0
# Two comparisons: a person has several phones, and one name.
SEVERAL = (True, False)


def pairs_of(*told):
    """Scored pairs from (low, high, phone bits, name bits); None is not given."""
    phone = [(1 if p is not None else -1, p or 0.0) for _, _, p, _ in told]
    name = [(1 if n is not None else -1, n or 0.0) for _, _, _, n in told]
    bits = np.array([[p[1], n[1]] for p, n in zip(phone, name, strict=True)]).reshape(-1, 2)
    levels = np.array([[p[0], n[0]] for p, n in zip(phone, name, strict=True)], np.int8)
    return Pairs(
        np.array([low for low, *_ in told], np.int64),
        np.array([high for _, high, *_ in told], np.int64),
        PRIOR + bits.sum(axis=1),
        levels.reshape(-1, 2),
        bits,
    )


def people(pairs, floor=0.0):
    """Who is one person, by record, as a run decides it. All pairs must be given."""
    found = components(pairs.low, pairs.high, pairs.weight, floor)
    return partition(found, pairs, SEVERAL, PRIOR, JOIN)


def within(pairs, records):
    """The partition of these records when they are one component."""
    return partition(dict.fromkeys(records, min(records)), pairs, SEVERAL, PRIOR, JOIN)


def complete(records, told):
    """Every pair of the records: what is told of it, or nothing."""
    pairs = itertools.combinations(records, 2)
    return pairs_of(*((a, b, *told.get((a, b), (None, None))) for a, b in pairs))


# ── components ──────────────────────────────────────────────────────────────


def connected(low, high, weight, floor):
    """Components again, the plain way: spread the smallest id until nothing changes."""
    home = {record: record for a, b, w in zip(low, high, weight, strict=True)
            for record in (a, b) if w >= floor}  # fmt: skip
    changed = True
    while changed:
        changed = False
        for a, b, w in zip(low, high, weight, strict=True):
            if w >= floor and home[a] != home[b]:
                home[a] = home[b] = min(home[a], home[b])
                changed = True
    return home


edges = st.lists(
    st.tuples(st.integers(1, 12), st.integers(1, 12), st.floats(-5, 5)).filter(
        lambda edge: edge[0] < edge[1]
    ),
    max_size=14,
    unique_by=lambda edge: edge[:2],
)


def columns(told):
    low, high, weight = zip(*told, strict=True) if told else ((), (), ())
    return np.array(low, np.int64), np.array(high, np.int64), np.array(weight, np.float64)


@settings(max_examples=100, deadline=None)
@given(edges, st.floats(-2, 2))
def test_components_are_named_for_their_smallest_record(told, floor):
    """Records are together if pairs of at least the floor lead from one to the other."""
    arrays = columns(told)
    assert components(*arrays, floor) == connected(*(a.tolist() for a in arrays), floor)


@settings(max_examples=60, deadline=None)
@given(edges.flatmap(lambda told: st.tuples(st.just(told), st.permutations(told))))
def test_the_order_of_pairs_makes_no_component(both):
    """Invariant 1: pairs in another order give the same components."""
    one, other = (components(*columns(told)) for told in both)
    assert one == other


def chain(size, weights=(1.0,)):
    """Records 0 to size - 1, each paired with the next."""
    weight = np.resize(np.array(weights, np.float64), size - 1)
    return np.arange(size - 1), np.arange(1, size), weight


def sizes(found):
    return np.unique(list(found.values()), return_counts=True)[1]


def test_a_component_of_the_limit_stays_whole():
    """Invariant 3: the cap is the number of records refined together."""
    assert sizes(components(*chain(LARGEST))).tolist() == [LARGEST]


@pytest.mark.parametrize("seed", [1, 2])
def test_no_component_is_too_large(seed):
    """Invariant 3: a giant is cut where it is weakest, and its strong parts stay."""
    generator = np.random.default_rng(seed)
    size = 3 * LARGEST
    weight = generator.choice([0.5, 3.0, 9.0], size - 1, p=[0.02, 0.03, 0.95])
    found = components(np.arange(size - 1), np.arange(1, size), weight)
    assert sizes(found).max() <= LARGEST
    for place in np.flatnonzero(weight == 9.0):
        assert found[place] == found[place + 1]


def test_a_cut_leaves_other_components_alone():
    """Invariants 2 and 3: the floor rises within the giant and nowhere else."""
    low, high, weight = chain(LARGEST + 1)
    near = np.append(low, 5000), np.append(high, 5001), np.append(weight, 0.5)
    assert components(*near) == {5000: 5000, 5001: 5000}


@settings(max_examples=60, deadline=None)
@given(edges)
def test_a_component_can_be_judged_whole(told):
    """Scored and missing pairs together are every pair inside a component, each once."""
    low, high, weight = columns(told)
    found = components(low, high, weight)
    known = set(zip(low.tolist(), high.tolist(), strict=True))
    absent = list(zip(*(side.tolist() for side in missing_pairs(found, low, high)), strict=True))
    assert known.isdisjoint(absent)
    assert len(set(absent)) == len(absent)
    inside = {(a, b) for a, b in itertools.combinations(sorted(found), 2) if found[a] == found[b]}
    assert inside - known == set(absent)


# ── people ──────────────────────────────────────────────────────────────────

bits = st.none() | st.sampled_from([-12.0, -3.0, 4.0, 9.0, 14.0, 20.0])


@st.composite
def scored(draw):
    """All pairs of a few records, and the same pairs in another order."""
    size = draw(st.integers(2, 7))
    told = [
        (a, b, draw(bits), draw(bits)) for a, b in itertools.combinations(range(1, size + 1), 2)
    ]
    return told, draw(st.permutations(told))


@settings(max_examples=120, deadline=None)
@given(scored())
def test_the_order_of_pairs_changes_nobody(both):
    """Invariant 1: pairs in another order give the same people, ties and all."""
    told, mixed = both
    records = sorted({record for pair in told for record in pair[:2]})
    assert within(pairs_of(*told), records) == within(pairs_of(*mixed), records)
    assert people(pairs_of(*told)) == people(pairs_of(*mixed))


@settings(max_examples=80, deadline=None)
@given(scored(), st.integers(2, 9), st.integers(0, 1000))
def test_growing_ids_change_nobody(both, step, start):
    """Invariant 1: other ids in the same order give the same people."""
    told, _ = both
    records = sorted({record for pair in told for record in pair[:2]})
    before = within(pairs_of(*told), records)
    moved = [(a * step + start, b * step + start, p, n) for a, b, p, n in told]
    after = within(pairs_of(*moved), [record * step + start for record in records])
    assert after == {r * step + start: c * step + start for r, c in before.items()}


@settings(max_examples=80, deadline=None)
@given(scored(), scored())
def test_a_component_is_decided_from_its_own_pairs(one, other):
    """Invariant 2: two components beside one another are decided as each alone."""
    here = one[0]
    there = [(a + 100, b + 100, p, n) for a, b, p, n in other[0]]
    both = pairs_of(*here, *there)
    assert people(both) == people(pairs_of(*here)) | people(pairs_of(*there))


@settings(max_examples=80, deadline=None)
@given(scored())
def test_a_person_is_named_for_their_smallest_record(both):
    """Every record has one cluster, and a cluster is its own smallest member."""
    told, _ = both
    records = sorted({record for pair in told for record in pair[:2]})
    found = within(pairs_of(*told), records)
    assert sorted(found) == records
    assert all(cluster <= record and found[cluster] == cluster for record, cluster in found.items())


def test_nothing_to_decide_decides_nothing():
    """Without a component there is no person to find, and no error."""
    assert people(pairs_of()) == {}
    assert people(pairs_of((1, 2, 1.0, None))) == {}


def test_one_good_pair_is_one_person():
    """Two records with enough evidence are joined, and with too little are not."""
    assert people(pairs_of((3, 8, 13.0, None))) == {3: 3, 8: 3}
    assert people(pairs_of((3, 8, 12.9, None))) == {3: 3, 8: 8}


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


def test_a_long_chain_is_decided_soon():
    """Three hundred records in a row, each like the next: cut to size, judged and done."""
    low, high, weight = chain(300, (4.0, 4.0, 9.0, 9.0))
    found = components(low, high, weight)
    assert sizes(found).max() <= LARGEST
    told = {
        (a, b): (w - PRIOR, None)
        for a, b, w in zip(low.tolist(), high.tolist(), weight.tolist(), strict=True)
    }
    records = sorted(found)
    decided = partition(found, complete(records, told), SEVERAL, PRIOR, JOIN)
    assert sorted(decided) == records
    assert all(
        decided[a] == decided[a + 1] for a in found if a + 1 in found and found[a] == found[a + 1]
    )


def test_the_largest_component_is_refined_in_time():
    """Two hundred records that all agree but two: the cubic work at its limit ends well."""
    records = list(range(LARGEST))
    told = dict.fromkeys(itertools.combinations(records, 2), (14.0, 6.0))
    told[0, LARGEST - 1] = (14.0, -8.0)
    assert set(within(complete(records, told), records).values()) == {0}
