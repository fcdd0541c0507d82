"""Which keys two records' lists have in common, for many pairs of records at once."""

import numpy as np

from identity.columns import Ints, Lists

FEW = 100  # pairs; measured: below, Python's sets are faster than numpy's many small calls


def meet_many(lists: Lists, left: Ints, right: Ints) -> Ints:
    """Which pairs of lists have a key in common: walk along both at once, all pairs together."""
    keys, starts = lists.keys, lists.starts
    one, other = starts[left], starts[right]
    one_end, other_end = starts[left + 1], starts[right + 1]
    pair, found = np.arange(len(left)), []
    while len(pair):
        left_key, right_key = keys[one], keys[other]
        one = one + (left_key < right_key)
        other = other + (left_key > right_key)
        equal = left_key == right_key
        found.append(pair[equal])
        going = np.flatnonzero(~equal & (one < one_end) & (other < other_end))
        if len(going) < len(pair):
            pair, one, other = pair[going], one[going], other[going]
            one_end, other_end = one_end[going], other_end[going]
    return np.concatenate(found)


def meet_few(lists: Lists, left: Ints, right: Ints) -> Ints:
    """The same for so few pairs that calling numpy costs more than the work itself."""
    keys, starts = lists.keys, lists.starts
    sides = zip(
        starts[left].tolist(),
        starts[left + 1].tolist(),
        starts[right].tolist(),
        starts[right + 1].tolist(),
        strict=True,
    )
    return np.array(
        [
            pair
            for pair, (one, one_end, other, other_end) in enumerate(sides)
            if not set(keys[one:one_end].tolist()).isdisjoint(keys[other:other_end].tolist())
        ],
        np.int64,
    )


def in_common(lists: Lists, left: Ints, right: Ints) -> Ints:
    """How many keys each two lists have in common: both are walked along at once."""
    keys, starts = lists.keys, lists.starts
    one, other = starts[left], starts[right]
    one_end, other_end = starts[left + 1], starts[right + 1]
    counts = np.zeros(len(left), np.int64)
    going = np.flatnonzero((one < one_end) & (other < other_end))
    while len(going):
        left_key, right_key = keys[one[going]], keys[other[going]]
        counts[going] += left_key == right_key
        one[going] += left_key <= right_key
        other[going] += right_key <= left_key
        going = going[(one[going] < one_end[going]) & (other[going] < other_end[going])]
    return counts
