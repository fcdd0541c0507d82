"""Small groups are hidden so that no subtraction brings them back: `cdp/access/suppression.py`."""

from collections import defaultdict
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.access.suppression import SMALLEST, shown, total_shown

SIZES = st.one_of(st.integers(1, 40), st.sampled_from([1, 2, 9, 10, 11, 20]))
TABLES = st.lists(SIZES, min_size=1, max_size=7)


def published(counts: list[int], smallest: int = SMALLEST) -> tuple[int, tuple[int | None, ...]]:
    """What anybody can know: the total, which groups there are, and what is shown of them."""
    seen = shown(dict(enumerate(counts)), range(len(counts)), smallest)
    return sum(counts), tuple(seen.get(place) for place in range(len(counts)))


@given(TABLES)
def test_no_small_group_is_shown(counts: list[int]) -> None:
    """Invariant 1: and what is shown is what was counted."""
    seen = shown(dict(enumerate(counts)), range(len(counts)))
    assert all(size >= SMALLEST and size == counts[place] for place, size in seen.items())
    if all(size >= SMALLEST for size in counts):
        assert len(seen) == len(counts)


@given(TABLES)
def test_no_hidden_group_follows_exactly(counts: list[int]) -> None:
    """Invariant 2: for each hidden group another size would have been answered the same way."""
    answer = published(counts)
    hidden = [place for place, size in enumerate(answer[1]) if size is None]
    if len(hidden) == len(counts):
        return  # only the total is shown; every table has it
    for one in hidden:
        others = (
            [
                size + step * (place == one) - step * (place == other)
                for place, size in enumerate(counts)
            ]
            for other in hidden
            if other != one
            for step in (1, -1)
        )
        assert any(min(table) > 0 and published(table) == answer for table in others)


@pytest.mark.parametrize("smallest", [3, 4])
def test_every_table_of_few_people_is_like_another(smallest: int) -> None:
    """Invariant 2, all of them: of the tables with one answer, no hidden group is the same in all.

    But where everybody is hidden and there are as many people as groups: who knows how many groups
    there are, and that none is empty, knows that each is one person. The answer says neither.
    """
    people = 16
    alike = defaultdict(list)
    for groups in range(1, 5):
        for counts in product(range(1, people + 1), repeat=groups):
            if smallest <= sum(counts) <= people:
                alike[published(list(counts), smallest)].append(counts)
    judged = 0
    for (total, seen), tables in alike.items():
        for place, size in enumerate(seen):
            if size is None and total > len(seen):
                judged += 1
                assert len({table[place] for table in tables}) > 1, (total, seen, tables)
    assert judged > 50


@given(TABLES, st.data())
def test_what_is_hidden_follows_from_who_is_small(counts: list[int], data: st.DataObject) -> None:
    """Invariant 3: a large group as large as it likes is hidden or shown as before."""
    place = data.draw(st.integers(0, len(counts) - 1))
    more = [size + 50 * (one == place and size > SMALLEST) for one, size in enumerate(counts)]
    before, after = published(counts)[1], published(more)[1]
    assert [one is None for one in before] == [one is None for one in after]


@given(st.integers(0, 30))
def test_a_total_of_few_is_told_from_nobody_by_nothing(total: int) -> None:
    """Invariant 1: nine are nobody."""
    assert total_shown(total) == (total if total >= SMALLEST else None)


def test_the_two_that_are_hidden_beside_a_small_one_are_the_first_by_name() -> None:
    """One small group hides two large ones, whatever their sizes."""
    counts = {"a": 500, "b": 11, "c": 12, "d": 3, "e": 40}
    assert shown(counts, sorted(counts)) == {"c": 12, "e": 40}
    assert shown({"a": 500, "d": 3}, ["a", "d"]) == {}
    assert shown({"a": 10, "b": 10, "c": 90, "d": 1}, list("abcd")) == {}
