"""The same pairs decided at several thresholds."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identity.evaluate import evaluate
from identity.sweep import Row, Sweep, sweep

TRUTH = {"a1": "a", "a2": "a", "b1": "b", "b2": "b"}
AT = {
    0.0: {"a1": 1, "a2": 1, "b1": 1, "b2": 1},
    2.0: {"a1": 1, "a2": 1, "b1": 2, "b2": 2},
    4.0: {"a1": 1, "a2": 1, "b1": 2, "b2": 3},
    6.0: {"a1": 1, "a2": 2, "b1": 3, "b2": 4},
}


def test_a_sweep_by_hand():
    """All in one, right, one pair, nothing: the figures of each, and where F1 is best."""
    swept = sweep([6, 0, 4, 2, 2], AT.__getitem__, TRUTH)
    assert [row.threshold for row in swept.rows] == [0, 2, 4, 6]
    assert [row.profiles for row in swept.rows] == [1, 2, 3, 4]
    assert [row.precision for row in swept.rows] == [pytest.approx(1 / 3), 1, 1, 1]
    assert [row.recall for row in swept.rows] == [1, 1, 0.5, 0]
    assert swept.best.threshold == 2
    assert swept.rows[0].linkable_recall is None
    assert json.loads(json.dumps(swept.rows[1].to_dict()))["f1"] == 1


def test_the_lowest_threshold_that_is_precise_enough():
    """A wish gets the first threshold that meets it, or none."""
    swept = sweep(AT, AT.__getitem__, TRUTH)
    assert swept.precise(0.3).threshold == 0
    assert swept.precise(0.99).threshold == 2
    assert Sweep(swept.rows[:1]).precise(0.99) is None


def test_of_equal_thresholds_the_more_cautious_is_best():
    """Where F1 is equal, the higher threshold wins: joining too much is the worse error."""
    rows = tuple(Row(bits, 0.9, 0.9, 0.9, 0.9, None, 0.0, 3) for bits in (1.0, 2.0, 3.0))
    assert Sweep(rows).best.threshold == 3


@settings(max_examples=50)
@given(
    partitions=st.dictionaries(
        st.floats(-5, 15),
        st.fixed_dictionaries({r: st.integers(0, 4) for r in range(5)}),
        min_size=1,
        max_size=5,
    ),
    truth=st.dictionaries(st.integers(0, 4), st.integers(0, 2), min_size=1),
)
def test_each_row_is_what_evaluating_gives(partitions, truth):
    """A row holds the measures of its partition, linkable recall included."""
    swept = sweep(partitions, partitions.__getitem__, truth, truth)
    for row in swept.rows:
        alone = evaluate(partitions[row.threshold], truth, truth)
        for name in ("precision", "recall", "f1", "bcubed_f1", "linkable_recall"):
            assert getattr(row, name) == getattr(alone, name)
        assert row.profiles == len(set(partitions[row.threshold].values()))
        assert row.f1 <= swept.best.f1


def test_a_sweep_without_threshold_is_refused():
    """Nothing tried is no sweep."""
    with pytest.raises(ValueError, match="threshold"):
        sweep([], AT.__getitem__, TRUTH)
