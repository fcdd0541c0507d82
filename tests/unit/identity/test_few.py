"""Few pairs and many are compared in two ways; the invariant of `identity/few.py`."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from identity import few, scorer
from tests.unit.identity.tables import compared_columns, sides


@settings(max_examples=150, deadline=None)
@given(st.lists(sides(), min_size=2, max_size=5), st.data())
def test_both_ways_of_comparing_give_the_same_integers(rows, data):
    """Invariant 1: level numbers and frequency keys are equal, whatever the records say."""
    columns = compared_columns(rows)
    one, other = np.triu_indices(len(rows), 1)
    chosen = data.draw(st.lists(st.integers(0, len(one) - 1), max_size=len(one)))
    left, right = one[chosen].astype(np.int64), other[chosen].astype(np.int64)
    levels, keys = few.compared(columns, left, right)
    all_levels, all_keys = scorer._compared(columns, left, right)
    assert levels.dtype == all_levels.dtype
    assert keys.dtype == all_keys.dtype
    assert levels.tolist() == all_levels.tolist()
    assert keys.tolist() == all_keys.tolist()
