"""What two records fulfil, asked in SQL and in numpy; invariants of `identity/conditions.py`."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identity.comparisons import COMPARISONS, level_numbers, level_sql
from identity.conditions import (
    LISTS,
    Dialect,
    Either,
    Every,
    Not,
    Sides,
    both,
    crossed,
    either,
    equal,
    every,
    lacking,
    negated,
    shared,
    unequal,
    unless_told,
)
from tests.unit.identity.tables import COLUMNS, compared_columns, sides, told


def parts(condition):
    """The condition and everything it is made of."""
    yield condition
    if isinstance(condition, Not):
        yield from parts(condition.condition)
    if isinstance(condition, Every | Either):
        for one in condition.conditions:
            yield from parts(one)


ASKED = list(
    dict.fromkeys(
        part
        for c in COMPARISONS
        for condition in (c.missing, *(level.condition for level in c.levels if level.condition))
        for part in parts(condition)
    )
)
QUERY = [f"coalesce({condition.sql(Dialect.DUCKDB)}, FALSE)" for condition in ASKED]
LEVELS = [level_sql(comparison) for comparison in COMPARISONS]
several_pairs = st.lists(st.tuples(sides(), sides()), min_size=1, max_size=6)


def asked(pairs, *, exchanged=False):
    """Two sides of many pairs, for numpy."""
    columns = compared_columns([side for pair in pairs for side in pair])
    left = np.arange(0, len(columns), 2)
    return Sides(columns, *((left + 1, left) if exchanged else (left, left + 1)))


@settings(max_examples=25, deadline=None)
@given(pairs=several_pairs)
def test_numpy_and_sql_answer_alike(pairs):
    """Invariant 1: every condition that a comparison asks, and every level, is answered alike."""
    numpy = asked(pairs)
    answers = [numpy.known(condition).tolist() for condition in ASKED]
    answers += [level_numbers(comparison, numpy).tolist() for comparison in COMPARISONS]
    rows = told(pairs, [*QUERY, *LEVELS])
    assert list(zip(*answers, strict=True)) == rows


@settings(max_examples=25, deadline=None)
@given(pairs=several_pairs)
def test_exchanging_the_records_changes_no_answer(pairs):
    """Invariant 2: every condition is symmetric."""
    there, back = asked(pairs), asked(pairs, exchanged=True)
    for condition in ASKED:
        assert (there.known(condition) == back.known(condition)).all()


ONE = {"name": 1, "surname": 2, "given": 3, "name_near": [1, 5]}
OTHER = {"name": 2, "surname": 3, "given": 2, "name_near": [5, 7]}


@pytest.mark.parametrize(
    ("condition", "equal_ones", "different", "one_empty", "empty"),
    [
        (equal("name"), True, False, False, False),
        (unequal("name"), False, True, False, False),
        (unless_told("name"), True, False, True, True),
        (both("name"), True, True, False, False),
        (both("name", "name_near"), True, True, False, False),
        (lacking("name_near"), False, False, True, True),
        (shared("name_near"), True, True, False, False),
        (negated(shared("name_near")), False, False, True, True),
        (crossed("surname", "given"), False, True, False, False),
        (every(equal("name"), shared("name_near")), True, False, False, False),
        (either(equal("name"), crossed("surname", "given")), True, True, False, False),
    ],
    ids=lambda value: None if isinstance(value, bool) else value.sql(Dialect.DUCKDB),
)
def test_the_answer_is_always_yes_or_no(condition, equal_ones, different, one_empty, empty):
    """What is missing makes nothing equal, and no answer is "unknown"."""
    pairs = [(ONE, ONE), (ONE, OTHER), (ONE, {}), ({}, {})]
    expected = [equal_ones, different, one_empty, empty]
    assert asked(pairs).known(condition).tolist() == expected
    assert told(pairs, [f"coalesce({condition.sql(Dialect.DUCKDB)}, FALSE)"]) == [
        (answer,) for answer in expected
    ]


def test_equal_conditions_are_one_object():
    """What two comparisons ask for is found out once."""
    assert equal("name") is equal("name")
    assert every(equal("name"), shared("name_near")) is every(equal("name"), shared("name_near"))
    assert unless_told("name") is unless_told("name")


@pytest.mark.parametrize("condition", ASKED)
def test_a_condition_names_what_it_reads(condition):
    """Its features are columns that exist, and Spark is asked in its own words."""
    assert set(condition.features()) <= set(COLUMNS)
    spark = condition.sql(Dialect.SPARK)
    assert "list_has_any" not in spark
    assert "len(" not in spark
    if set(condition.features()) & LISTS:
        assert "arrays_overlap" in spark or "size(" in spark
