"""From keys to pairs."""

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from identity.candidates import blocks, sample

held = st.lists(st.integers(1, 4), max_size=30)


def pairs_of(keys, most, seed=1):
    """The sampled pairs of records 0, 1, 2 and so on, which hold the keys."""
    row, key = np.arange(len(keys)), np.array(keys, np.int64)
    left, right = sample(row, key, most, np.random.default_rng(seed))
    return list(zip(left.tolist(), right.tolist(), strict=True))


@settings(max_examples=60, deadline=None)
@given(held)
def test_every_pair_is_given_where_there_are_few(keys):
    """Up to the limit every pair with an equal key is there, once, the smaller place first."""
    found = pairs_of(keys, most=10_000)
    wanted = {(a, b) for a, b in itertools.combinations(range(len(keys)), 2) if keys[a] == keys[b]}
    assert len(found) == len(set(found))
    assert set(found) == wanted


@settings(max_examples=30, deadline=None)
@given(held, st.integers(1, 20))
def test_a_sample_is_of_those_pairs(keys, most):
    """Above the limit, at most so many of the pairs are drawn, none twice, and always the same."""
    found = pairs_of(keys, most)
    assert len(found) == len(set(found)) <= most
    assert set(found) <= set(pairs_of(keys, 10_000))
    assert found == pairs_of(keys, most)


def test_a_sample_is_drawn_from_every_part_of_large_blocks():
    """Each pair of a block is as likely as any other: the first and the last are drawn alike."""
    found = np.array(pairs_of([7] * 3000 + [8] * 3000, 20_000))
    assert 19_900 < len(found) <= 20_000
    share = (found[:, 1] < 3000).mean()
    assert 0.48 < share < 0.52
    inside = found[found[:, 1] < 3000]
    # Of a triangle of pairs, a quarter lies below half of its height.
    assert 0.23 < (inside[:, 1] < 1500).mean() < 0.27
    assert (inside[:, 0] < inside[:, 1]).all()


def test_blocks_are_runs_of_equal_keys():
    """Where each begins, and how many keys it has."""
    starts, sizes = blocks(np.array([3, 3, 5, 9, 9, 9]))
    assert starts.tolist() == [0, 2, 3]
    assert sizes.tolist() == [2, 1, 3]
    assert blocks(np.zeros(0, np.int64))[1].tolist() == []
