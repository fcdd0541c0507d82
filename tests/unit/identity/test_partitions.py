"""Two partitions held against each other."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.partitions import contingency, numbered, numbered_or_alone

anything = st.one_of(
    st.integers(), st.text(max_size=3), st.binary(max_size=3), st.booleans(), st.none()
)


@given(labels=st.lists(anything, max_size=12))
def test_equal_labels_get_equal_numbers(labels):
    """Labels of any type, also mixed, are told apart exactly where Python tells them apart."""
    numbers = numbered(labels)
    assert sorted(set(numbers.tolist())) == list(range(len(set(labels))))
    for one, number in zip(labels, numbers, strict=True):
        assert [one == other for other in labels] == (numbers == number).tolist()


@pytest.mark.parametrize(
    "labels", [[2**70, 1, 2**70], ["\ud800", "a", "\ud800"], [b"a", b"b", b"a"], ["x", "y", "x"]]
)
def test_labels_that_arrow_cannot_hold_are_numbered_all_the_same(labels):
    """Huge numbers and broken text are labels like others."""
    assert numbered(labels).tolist() == [0, 1, 0]


def test_an_array_of_labels_is_numbered():
    """Labels may be an array."""
    assert numbered(np.array([7, 3, 7])).tolist() == [1, 0, 1]


def test_a_record_without_label_is_a_group_of_its_own():
    """Records that the partition lacks share a number with nobody, and none is left unused."""
    numbers = numbered_or_alone({"a": 1, "b": 1}, ["x", "a", "y", "b", "z"]).tolist()
    assert numbers[1] == numbers[3]
    assert sorted(set(numbers)) == [0, 1, 2, 3]


@given(rows=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=12))
def test_the_table_counts_every_record_once(rows):
    """Cells add up to the groups of both sides."""
    left, right = (numbered([row[side] for row in rows]) for side in (0, 1))
    table = contingency(left, right)
    assert table.shared.sum() == table.records == len(rows)
    cells = {(a, b): n for a, b, n in zip(table.left, table.right, table.shared, strict=True)}
    pairs = list(zip(left, right, strict=True))
    assert cells == {pair: pairs.count(pair) for pair in pairs}
