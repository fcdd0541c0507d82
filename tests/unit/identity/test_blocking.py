"""Which pairs are compared at all; invariants of `identity/blocking.py`."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identity.blocking import MOST, RULES, candidates_sql
from tests.unit.identity.tables import database, prepared

EXACT = ("unionid", "email", "national_id", "tax_number")


def candidates(rows, most_people=4):
    return database().execute(candidates_sql(prepared(rows, most_people))).fetchall()


records = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys((*EXACT, "name", "sound", "birth", "birth_year"), st.integers(1, 3)),
        "phones": st.lists(st.integers(1, 3), max_size=2),
        "accounts": st.lists(st.integers(1, 3), max_size=2),
    },
)


@settings(max_examples=15, deadline=None)
@given(st.lists(records, max_size=10))
def test_who_shares_an_identifier_is_compared(rows):
    """Invariant 1, and each pair stands once, the smaller id first."""
    found = candidates(rows, most_people=99)
    assert len(found) == len(set(found))
    assert all(low < high for low, high in found)
    for (low, one), (high, other) in itertools.combinations(enumerate(rows, 1), 2):
        equal = any(one.get(name, 0) == other.get(name, -1) for name in EXACT)
        met = any(set(one.get(n, ())) & set(other.get(n, ())) for n in ("phones", "accounts"))
        if equal or met:
            assert (low, high) in found


@pytest.mark.parametrize("feature", [*EXACT, "phones", "accounts"])
def test_an_identifier_of_too_many_records_makes_no_pairs(feature):
    """Invariant 2: a block of the limit is compared whole, one record more and not at all."""
    value = [7] if feature in {"phones", "accounts"} else 7
    assert len(candidates([{feature: value}] * MOST)) == MOST * (MOST - 1) // 2
    assert candidates([{feature: value}] * (MOST + 1)) == []


def test_another_identifier_still_makes_the_pair():
    """Invariant 1: two records in a block too large meet under any other rule."""
    rows = [{"email": 7} for _ in range(MOST + 1)]
    rows[3]["unionid"] = rows[9]["unionid"] = 5
    assert candidates(rows) == [(4, 10)]


def test_a_number_that_names_nobody_makes_no_pairs():
    """A clerk's number joins nobody, and neither do numbers one slip from it."""
    rows = [
        {"name": n, "sound": n, "surname": 1, "given": n, "name_near": [n],
         "phones": [5], "phones_near": [50]}
        for n in range(1, 7)
    ]  # fmt: skip
    assert candidates(rows) == []


def test_a_slip_is_looked_for_beside_something_else():
    """A number one slip apart makes a pair with the surname, and none without."""
    row = {"name": 1, "surname": 1, "phones": [5], "phones_near": [50]}
    other = {**row, "name": 2, "phones": [6]}
    assert candidates([row, other]) == [(1, 2)]
    assert candidates([row, {**other, "surname": 2}]) == []
    assert candidates([row, {"phones": [6], "phones_near": [50]}]) == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"name": 1, "birth_year": 2}, {}),
        ({"name": 1, "birth_day": 2}, {}),
        ({"sound": 1, "birth": 2}, {}),
        ({"surname": 1, "birth": 2}, {}),
        ({"given": 1, "birth": 2}, {}),
        ({"sound": 1, "birth": 2, "birth_swapped": 3}, {"birth": 3, "birth_swapped": 2}),
        ({"name_near": [1, 2], "birth": 3}, {"name_near": [2, 4]}),
        ({"name": 1, "city": 2}, {}),
        ({"name": 1, "postcode": 2}, {}),
        ({"given": 1, "postcode": 2, "street_number": 3}, {}),
        ({"surname": 1, "postcode": 2, "street_number": 3}, {}),
        ({"street": 1, "street_number": 2, "birth_year": 3}, {}),
        ({"birth": 1, "postcode": 2}, {}),
        ({"national_id_near": [1, 2], "birth_year": 3}, {"national_id_near": [2]}),
        ({"tax_number_near": [1, 2], "birth_year": 3}, {"tax_number_near": [2]}),
    ],
    ids=lambda row: "+".join(row) or "the same",
)
def test_a_compound_key_needs_all_its_parts(one, other):
    """What agrees in every part meets; a part that is missing on one side prevents it."""
    assert candidates([one, one | other]) == [(1, 2)]
    for part in one:
        if part not in other:
            lacking = {name: value for name, value in (one | other).items() if name != part}
            assert candidates([one, lacking]) == []


def test_every_rule_has_a_name_of_its_own():
    """A rule is named once, so that a report can count by it."""
    assert len({rule.name for rule in RULES}) == len(RULES)
