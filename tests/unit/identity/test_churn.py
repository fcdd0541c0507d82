"""How far apart two partitions are."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identity.churn import churn

partitions = st.dictionaries(st.integers(0, 9), st.integers(0, 4), max_size=10)


def groups(partition, among):
    found = {}
    for record in among:
        found.setdefault(partition[record], set()).add(record)
    return list(found.values())


@settings(max_examples=150)
@given(before=partitions, after=partitions)
def test_churn_equals_its_definition(before, after):
    """Changed records and kept, merged and split profiles equal a plain count."""
    both = before.keys() & after.keys()
    old, new = groups(before, both), groups(after, both)
    companions = [[next(g for g in side if r in g) for side in (old, new)] for r in both]
    found = churn(before, after)
    assert found.records == len(both)
    assert (found.added, found.removed) == (len(after) - len(both), len(before) - len(both))
    changed = sum(one != other for one, other in companions)
    assert found.changed_share == pytest.approx(changed / len(both) if both else 0)
    assert (found.before, found.after) == (len(old), len(new))
    assert found.kept == sum(group in new for group in old)
    assert found.merged == sum(sum(bool(n & o) for o in old) > 1 for n in new)
    assert found.split == sum(sum(bool(o & n) for n in new) > 1 for o in old)


def test_churn_of_a_merge_and_a_split():
    """One profile is kept, two become one, one becomes two: five of seven records notice."""
    before = dict(zip("abcdefg", (1, 1, 2, 3, 4, 4, 4), strict=True))
    after = dict(zip("abcdefg", ("k", "k", "m", "m", "s", "s", "t"), strict=True))
    found = churn(before, after)
    assert (found.kept, found.merged, found.split) == (1, 1, 1)
    assert found.changed_share == pytest.approx(5 / 7)


def test_a_new_record_disturbs_nobody():
    """A record that only one side knows is counted, and changes no profile."""
    found = churn({"a": 1, "b": 1, "gone": 1}, {"a": 9, "b": 9, "new": 9})
    assert (found.added, found.removed, found.changed_share, found.kept) == (1, 1, 0, 1)


@given(partition=partitions)
def test_nothing_lies_between_a_partition_and_itself(partition):
    """The same partition under other names has no churn."""
    found = churn(partition, {record: f"p{label}" for record, label in partition.items()})
    assert found.changed_share == found.merged == found.split == 0
    assert found.kept == found.before == found.after
    assert found.to_dict()["kept"] == found.kept
