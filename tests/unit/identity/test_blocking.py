"""Which pairs are compared at all; invariants of `identity/blocking.py`."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identity import candidates as numpy_candidates
from identity.blocking import MOST, RULES, keys_of
from tests.unit.identity.by_sql import candidates_sql
from tests.unit.identity.tables import database, prepared
from tests.unit.identity.tables import judged as judged_rows

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
        ({"words": [1, 2], "birth": 3}, {"words": [2, 4]}),
        ({"word_pairs": [1, 2], "birth_year": 3}, {"word_pairs": [2, 4]}),
        ({"words_near": [1, 2], "postcode": 3}, {"words_near": [2, 4]}),
        ({"words": [1, 2], "postcode_area": 3}, {"words": [2, 4]}),
        ({"words_near": [1, 2], "birth_place": 3}, {"words_near": [2, 4]}),
        ({"words": [1, 2], "occupation": 3}, {"words": [2, 4]}),
        ({"birth_place": 1, "birth": 2}, {}),
        ({"birth_place": 1, "postcode": 2}, {}),
        ({"birth_place": 1, "occupation": 2}, {}),
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


def from_keys(columns):
    """The pairs of records that have a key in common, by the keys that numpy makes."""
    keys = keys_of(columns)
    blocks = {}
    for rule, key, row in zip(keys.rule, keys.key, keys.row, strict=True):
        blocks.setdefault((int(rule), int(key)), set()).add(int(columns.ids[row]))
    return {
        pair
        for block in blocks.values()
        if len(block) <= MOST
        for pair in itertools.combinations(sorted(block), 2)
    }


def from_numpy(columns, threads=1):
    """The candidate pairs of a run, as ids."""
    left, right = numpy_candidates.candidates(columns, threads)
    return list(zip(columns.ids[left].tolist(), columns.ids[right].tolist(), strict=True))


small_keys = st.integers(1, 3)
whole_records = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(sorted({name for rule in RULES for name in rule.together}), small_keys),
        **dict.fromkeys(
            ("phones", "phones_near", "accounts", "name_near", "national_id_near"),
            st.lists(small_keys, max_size=2),
        ),
    },
)


@settings(max_examples=15, deadline=None)
@given(st.lists(whole_records, max_size=8))
def test_numpy_and_sql_make_the_same_pairs(rows):
    """The keys of a single record, made for looking it up, meet whom a full run would meet."""
    rows = [{k: v for k, v in row.items() if k != "birth_least"} for row in rows]
    columns = judged_rows(rows)
    assert from_keys(columns) == set(candidates(rows))
    assert from_numpy(columns) == sorted(candidates(rows))


def test_a_retailer_is_blocked_alike(person, judged):
    """On a small world as well, full blocks included, both ways give the same candidates."""
    found = database().execute(candidates_sql(person)).fetchall()
    assert len(found) > 100
    assert from_keys(judged) == set(found)
    assert from_numpy(judged, threads=2) == sorted(found)


def test_every_rule_has_a_name_of_its_own():
    """A rule is named once, so that a report can count by it."""
    assert len({rule.name for rule in RULES}) == len(RULES)
