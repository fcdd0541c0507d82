"""What speaks for two groups of records; see `identity/evidence.py`."""

from dataclasses import replace

import numpy as np
import pytest

from identity.evidence import PARTLY, Evidence, bits
from identity.pairs import Pairs
from tests.unit.identity.clustering import RULES

NO_BEST = np.zeros((1, 0))


def mean(*told):
    """Bits between two groups, from (bits, weight) of each pair that tells something."""
    total = np.array([[sum(said * weight for said, weight in told)]])
    count = np.array([[sum(weight for _, weight in told)]], np.float64)
    return bits(NO_BEST, total, count, 0.0)[0]


def test_what_is_told_in_part_waters_nothing_down():
    """Three masked names beside one complete name that agrees hardly change what it says."""
    assert mean((8.0, 1.0), *[(1.0, PARTLY)] * 3) == pytest.approx(6.894737)
    assert mean((8.0, 1.0), *[(1.0, 1.0)] * 3) == 2.75


def test_where_nothing_better_is_told_a_part_counts_in_full():
    """Two groups of which one shows masked names only are judged by those."""
    assert mean((1.0, PARTLY), (3.0, PARTLY)) == 2.0
    assert mean() == 0.0


def test_only_levels_that_the_rules_name_are_told_in_part():
    """A partial level counts a sixteenth, every other one once, and what is missing never."""
    levels = np.array([[-1, 3, -1], [-1, 2, -1], [-1, -1, -1]], np.int8)
    pairs = Pairs(np.arange(3), np.arange(1, 4), np.zeros(3), levels, np.full((3, 3), 4.0))
    found = Evidence.of(pairs, replace(RULES, partial=((1, 3),)), 4)
    assert found.count[:, 0].tolist() == [PARTLY, 1.0, 0.0]
    assert found.total[:, 0].tolist() == [4 * PARTLY, 4.0, 0.0]
