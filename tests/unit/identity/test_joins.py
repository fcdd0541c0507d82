"""Conditions as clauses, and clauses as keys to join on."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identity.comparisons import COMPARISONS
from identity.conditions import Condition, Sides, both, equal, every, lacking, negated, shared
from identity.joins import Clause, clauses, joins, keys_alike
from tests.unit.identity.tables import compared_columns, sides

CONDITIONS = [
    condition
    for comparison in COMPARISONS
    for condition in (comparison.missing, *(one.condition for one in comparison.levels))
    if condition is not None
]


@settings(max_examples=60, deadline=None)
@given(st.tuples(sides(), sides()))
def test_whatever_holds_shares_a_key_of_a_clause(pair):
    """Where a condition holds, one of its clauses has all it needs alike and a key in common."""
    columns = compared_columns(pair)
    found = Sides(columns, np.array([0]), np.array([1]))
    for condition in CONDITIONS:
        if found.known(condition)[0]:
            assert any(_meets(columns, clause) for clause in clauses(condition))


def _meets(columns, clause):
    row, key = keys_alike(columns, clause.alike)
    return not set(key[row == 0].tolist()).isdisjoint(key[row == 1].tolist())


def test_a_negated_condition_is_taken_apart():
    """Not all of A and B is not A or not B; presence asks for nothing alike."""
    condition = negated(every(equal("name"), shared("words"), both("city")))
    assert clauses(condition) == (
        Clause(unlike=(equal("name"),)),
        Clause(unlike=(shared("words"),)),
        Clause(),
    )
    assert clauses(every(lacking("name"), equal("surname"))) == (Clause((equal("surname"),)),)


def test_pairs_of_a_join_are_counted():
    """Three records of one value and two of another are 3 + 1 pairs."""
    columns = compared_columns([{"city": value} for value in (1, 1, 1, 2, 2, 3, None)])
    _, key = keys_alike(columns, (equal("city"),))
    assert joins(key) == 4


def test_an_unknown_condition_is_refused():
    """A condition of a new kind must be thought about here, and is never counted wrongly."""

    class Unheard(Condition):
        def sql(self, dialect):
            return str(dialect)

        def holds(self, sides, where):
            return where & sides.everywhere

        def features(self):
            yield "name"

    with pytest.raises(TypeError, match="Unheard"):
        clauses(Unheard())
