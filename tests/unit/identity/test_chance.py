"""Counting the levels of all pairs of records."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identity import chance
from identity.comparisons import COMPARISONS
from identity.scorer import compare_all
from tests.unit.identity.tables import BY_NAME, compared_columns, sides

TAKEN = 250  # records of the small world whose pairs are looked at one by one


def one_by_one(columns):
    """How many pairs reach each level, best first, by comparing every pair."""
    low, high = np.triu_indices(len(columns), 1)
    levels = compare_all(columns, low, high, 1).levels
    return {
        comparison.name: np.bincount(
            levels[levels[:, place] >= 0, place], minlength=len(comparison.levels)
        )[::-1].tolist()
        for place, comparison in enumerate(COMPARISONS)
    }


@pytest.mark.parametrize("common", [0, 1, 100_000])
@settings(max_examples=25, deadline=None)
@given(rows=st.lists(sides(), min_size=2, max_size=12))
def test_counts_are_those_of_every_pair(common, rows):
    """Invariant 1: joined or in closed form, the counts are those of looking at each pair."""
    columns = compared_columns(rows)
    expected = one_by_one(columns)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(chance, "COMMON", common)
        for comparison in COMPARISONS:
            found = chance.count(columns, comparison)
            assert found.drawn is None
            assert found.pairs.tolist() == expected[comparison.name], comparison.name


@pytest.mark.parametrize("common", [0, 50, 100_000])
def test_real_features_are_counted_alike(judged, common, monkeypatch):
    """Invariant 1 on records as ingest makes them, with real correlations between features."""
    monkeypatch.setattr(chance, "COMMON", common)
    some = judged.take(np.arange(0, len(judged), max(1, len(judged) // TAKEN)))
    expected = one_by_one(some)
    for comparison in COMPARISONS:
        assert chance.count(some, comparison).pairs.tolist() == expected[comparison.name]


def test_counts_do_not_depend_on_the_order_of_records(judged):
    """Invariant 2: rows in another order have the same pairs."""
    other = judged.take(np.random.default_rng(5).permutation(len(judged)))
    for comparison in COMPARISONS:
        before, after = chance.count(judged, comparison), chance.count(other, comparison)
        assert before.pairs.tolist() == after.pairs.tolist(), comparison.name


def test_a_closed_form_is_the_sum_over_values():
    """Of 3, 2 and 1 records of a gender 3 + 1 pairs agree, and all others differ."""
    columns = compared_columns([{"gender": value} for value in (1, 1, 1, 2, 2, 3, None)])
    assert chance.count(columns, BY_NAME["gender"]).pairs.tolist() == [4, 15 - 4]


def test_too_many_pairs_are_counted_of_drawn_records(judged, monkeypatch):
    """All pairs of the drawn records count, and the draw is the same each time."""
    name = BY_NAME["name"]
    everybody = chance.count(judged, name)
    monkeypatch.setattr(chance, "MOST_JOINED", 2_000)
    found, again = chance.count(judged, name), chance.count(judged, name)
    assert found.drawn is not None
    assert len(found.drawn) < len(judged)
    assert found.drawn.tolist() == again.drawn.tolist()
    drawn = one_by_one(judged.take(found.drawn))["name"]
    assert found.pairs.tolist() == again.pairs.tolist() == drawn
    # The commonest level has nearly the same share.
    share = found.pairs[-1] / found.pairs.sum()
    assert share == pytest.approx(everybody.pairs[-1] / everybody.pairs.sum(), abs=0.05)


def test_lists_of_many_records_are_drawn_and_single_values_are_not(judged, monkeypatch):
    """Memory is bounded where neighbours are joined; a city is counted over everybody."""
    monkeypatch.setattr(chance, "MOST_LISTED", 100)
    drawn = chance.count(judged, BY_NAME["name"]).drawn
    assert drawn is not None
    assert len(drawn) == 100
    assert chance.count(judged, BY_NAME["city"]).drawn is None
