"""The strongest way from one record to another."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdp.profiles.evidence import Finding, Link
from cdp.resolution.explaining import strongest_way


def link(low, high, bits=5.0):
    return Link(low, high, bits, "epoch", (Finding("name", "equal", bits),))


def steps(way):
    return [(one.low_id, one.high_id) for one in way]


def test_two_records_that_were_compared_explain_themselves():
    """A direct comparison is the whole answer, from either end."""
    links = [link(1, 2, 4.0), link(2, 3), link(1, 3, 9.0)]
    assert steps(strongest_way(links, 1, 2)) == [(1, 2)]
    assert steps(strongest_way(links, 2, 1)) == [(1, 2)]


def test_a_chain_leads_from_the_first_record_to_the_second():
    """Where two records were not compared, the links between stand in order."""
    links = [link(3, 4), link(1, 2), link(2, 3)]
    assert steps(strongest_way(links, 1, 4)) == [(1, 2), (2, 3), (3, 4)]
    assert steps(strongest_way(links, 4, 1)) == [(3, 4), (2, 3), (1, 2)]


def test_the_weakest_link_decides():
    """A longer way whose weakest link is stronger is the better reason."""
    links = [link(1, 2, 9.0), link(2, 4, 1.0), link(1, 3, 5.0), link(3, 5, 5.0), link(4, 5, 5.0)]
    assert steps(strongest_way(links, 1, 4)) == [(1, 3), (3, 5), (4, 5)]


@pytest.mark.parametrize("links", [[], [link(1, 2)], [link(1, 2), link(3, 4)]], ids=len)
def test_where_no_link_leads_there_is_no_way(links):
    """Records that nothing joins have no reason to be one person."""
    assert strongest_way(links, 1, 4) == []
    assert strongest_way(links, 8, 9) == []


def test_of_equal_ways_the_one_over_smaller_records_is_told():
    """Two ways of one strength and length give the same answer every time."""
    links = [link(1, 2), link(1, 3), link(2, 4), link(3, 4)]
    for order in itertools.permutations(links):
        assert steps(strongest_way(order, 1, 4)) == [(1, 2), (2, 4)]


@st.composite
def graphs(draw):
    """A few records, some compared, with few different weights so that ties are common."""
    size = draw(st.integers(2, 6))
    pairs = itertools.combinations(range(1, size + 1), 2)
    return size, [
        link(low, high, draw(st.sampled_from([1.0, 2.0, 5.0])))
        for low, high in pairs
        if draw(st.booleans())
    ]


def ways(links, start, end, seen=()):
    """Every way without a loop, by brute force."""
    if start == end:
        yield []
        return
    for one in links:
        if start in (one.low_id, one.high_id):
            other = one.high_id if one.low_id == start else one.low_id
            if other not in (*seen, start):
                yield from ([one, *rest] for rest in ways(links, other, end, (*seen, start)))


@settings(max_examples=150, deadline=None)
@given(graphs().flatmap(lambda g: st.tuples(st.just(g), st.permutations(g[1]))))
def test_no_way_is_stronger(both):
    """Against every way there is: the weakest link told is as strong as can be."""
    (size, links), mixed = both
    found = strongest_way(links, 1, size)
    every = list(ways(links, 1, size))
    assert strongest_way(mixed, 1, size) == found
    if not every:
        assert found == []
    elif any(len(way) == 1 for way in every):
        assert len(found) == 1
    else:
        strength = max(min(one.bits for one in way) for way in every)
        assert min(one.bits for one in found) == strength
        assert found in every
