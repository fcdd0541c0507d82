"""What a new partition changes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdp.resolution.changes import NONE, Changes, compare
from identity.pairs import Ints

Labels = list[int]


def partition(records: Ints, labels: Labels) -> Ints:
    """The anchor of each record whose person is named by a label; a negative one is nobody's."""
    oldest: dict[int, int] = {}
    for record, label in zip(records.tolist(), labels, strict=True):
        oldest.setdefault(label, record)
    return np.array([NONE if label < 0 else oldest[label] for label in labels], np.int64)


@st.composite
def before_and_after(draw: st.DrawFn) -> tuple[Ints, Ints, Ints]:
    """Records, some of them new, and two partitions of them."""
    ids = draw(st.lists(st.integers(1, 10**12), min_size=1, max_size=30, unique=True))
    records = np.array(sorted(ids), np.int64)
    size = len(records)
    some = st.lists(st.integers(-1, 5), min_size=size, max_size=size)
    everybody = st.lists(st.integers(0, 5), min_size=size, max_size=size)
    return records, partition(records, draw(some)), partition(records, draw(everybody))


def applied(records: Ints, was: Ints, changes: Changes) -> Ints:
    """What was, with the changes carried out."""
    now = was.copy()
    now[np.searchsorted(records, changes.moved)] = changes.moved_to
    now[np.searchsorted(records, changes.joined)] = changes.joined_to
    return now


@given(before_and_after())
@settings(max_examples=300)
def test_applying_the_changes_to_what_was_gives_what_is(case: tuple[Ints, Ints, Ints]) -> None:
    """Moves and joins together say everything (invariant 1)."""
    records, was, now = case
    changes = compare(records, was, now)
    assert applied(records, was, changes).tolist() == now.tolist()
    there = set(was[was != NONE].tolist())
    there = there - set(changes.gone.tolist()) | set(changes.fresh.tolist())
    assert there == set(now.tolist())
    assert (was[np.searchsorted(records, changes.moved)] == changes.moved_from).all()


@given(before_and_after())
@settings(max_examples=100)
def test_what_is_as_it_was_gives_no_change(case: tuple[Ints, Ints, Ints]) -> None:
    """A partition compared with itself changes nothing (invariant 2)."""
    records, _, now = case
    changes = compare(records, now, now)
    assert changes.empty
    for part in (changes.fresh, changes.gone, changes.touched):
        assert len(part) == 0


@given(before_and_after())
@settings(max_examples=300)
def test_a_split_undoes_a_merge(case: tuple[Ints, Ints, Ints]) -> None:
    """Back and forth gives the same lists with their ends exchanged (invariant 4)."""
    records, _, now = case
    other = records.copy()  # everybody alone
    there, back = compare(records, other, now), compare(records, now, other)
    assert there.gone.tolist() == back.new.tolist()
    assert there.into.tolist() == back.out_of.tolist()
    assert there.moved.tolist() == back.moved.tolist()
    assert there.moved_from.tolist() == back.moved_to.tolist()
    assert there.touched.tolist() == np.unique(now[now != other]).tolist()


@given(before_and_after())
@settings(max_examples=200)
def test_an_anchor_is_in_exactly_one_list(case: tuple[Ints, Ints, Ints]) -> None:
    """Created, split off, ended and kept exclude one another (invariant 3)."""
    records, was, now = case
    changes = compare(records, was, now)
    kept = records[(was == records) & (now == records)]
    lists = [changes.created, changes.new, changes.gone, kept]
    everything = np.concatenate(lists)
    assert len(np.unique(everything)) == len(everything)
    assert set(everything.tolist()) == set(was[was != NONE].tolist()) | set(now.tolist())


def test_an_older_record_that_comes_late_takes_over() -> None:
    """A person's profile is known by the oldest record, whenever that one came."""
    records = np.array([3, 5, 6], np.int64)
    changes = compare(records, np.array([NONE, 5, 5]), np.array([3, 3, 3]))
    assert changes.created.tolist() == [3]
    assert (changes.gone.tolist(), changes.into.tolist()) == ([5], [3])
    assert changes.moved.tolist() == [5, 6]
    assert changes.touched.tolist() == [3]


@pytest.mark.parametrize(
    ("was", "now"),
    [([1, 9], [1, 1]), ([2, 1], [1, 2]), ([1, 2], [2, 1])],
    ids=["missing", "before", "after"],
)
def test_records_that_are_not_all_there_are_refused(was: Labels, now: Labels) -> None:
    """An anchor outside the records, or of another person, stops the run."""
    records = np.array([1, 2], np.int64)
    with pytest.raises(ValueError, match="anchor"):
        compare(records, np.array(was, np.int64), np.array(now, np.int64))
