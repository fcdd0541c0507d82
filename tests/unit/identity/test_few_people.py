"""Few records and many are decided in two ways; the invariant of `identity/few_people.py`."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identity import clusters, components
from identity.clusters import Constraints
from tests.unit.identity.clustering import RULES, bits, pairs_of, told_apart


@st.composite
def scored_in_part(draw):
    """Some of the pairs of a few records, one beyond them, and all pairs as they would score."""
    size = draw(st.integers(1, 7))
    pairs = itertools.combinations(range(1, size + 2), 2)
    told = [(*pair, draw(bits), draw(bits), *draw(told_apart)) for pair in pairs]
    known = draw(st.lists(st.sampled_from(told), unique=True, max_size=len(told)))
    records = draw(st.lists(st.integers(1, size), unique=True, min_size=1))
    return sorted(records), known, told


def _decided(decide, records, known, told, floor, partial):
    asked = []

    def score(low, high):
        wanted = list(zip(low.tolist(), high.tolist(), strict=True))
        asked.append(wanted)
        by_pair = {one[:2]: one for one in told}
        return pairs_of(*(by_pair[pair] for pair in wanted))

    ids = np.array(records, np.int64)
    rules = replace(RULES, partial=partial)
    found = decide(ids, pairs_of(*known), Constraints.none(), rules, score, floor)
    pairs = found.pairs
    kept = list(zip(pairs.low.tolist(), pairs.high.tolist(), pairs.weight.tolist(), strict=True))
    return found.anchors.tolist(), found.crowded.tolist(), kept, asked


@settings(max_examples=300, deadline=None)
@given(
    scored_in_part(),
    st.sampled_from([-99.0, -9.0, 0.0, 4.0]),
    st.sampled_from([(), ((1, 1),)]),
)
def test_both_ways_of_deciding_give_the_same_people(drawn, floor, partial):
    """Invariant 1: the same anchors, and the same pairs asked for once and in one order."""
    few = _decided(clusters.decide, *drawn, floor, partial)
    assert few == _decided(clusters._many, *drawn, floor, partial)
    assert len(few[-1]) < 2


@settings(max_examples=200, deadline=None)
@given(scored_in_part(), st.sampled_from([-99.0, 0.0, 4.0]))
def test_a_few_that_are_too_many_for_every_pair_are_a_crowd(drawn, floor):
    """Invariant 1, wherever the limit of `identity.components` stands: below `MOST` too."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (clusters, components):
            patch.setattr(module, "LARGEST", 3)
        few = _decided(clusters.decide, *drawn, floor, ())
        assert few == _decided(clusters._many, *drawn, floor, ())


def test_a_chain_above_the_limit_is_cut_where_it_is_weakest(monkeypatch):
    """Six records in a row of which every pair would be one person: a crowd is not filled in."""
    for module in (clusters, components):
        monkeypatch.setattr(module, "LARGEST", 4)
    chain = [(at, at + 1, 14.0 if at != 3 else 11.0, 0.0) for at in range(1, 6)]
    told = {pair[:2]: pair for pair in chain}
    rest = [(*pair, 14.0, 6.0) for pair in itertools.combinations(range(1, 7), 2)]
    told = {pair[:2]: pair for pair in rest} | told
    drawn = [1, 2, 3, 4, 5, 6], chain, list(told.values())
    anchors, crowded, *_ = _decided(clusters.decide, *drawn, 0.0, ())
    assert crowded == [1]
    assert anchors == [1, 1, 1, 4, 4, 4]
