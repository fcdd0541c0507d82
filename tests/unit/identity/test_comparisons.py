"""How two records are compared; invariants of `identity/comparisons.py`."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identity.comparisons import COMPARISONS, MISSING, level_sql
from identity.conditions import LISTS, Dialect
from tests.unit.identity.tables import BY_NAME, COLUMNS, DATES, database, sides, told

LEVELS = [level_sql(comparison) for comparison in COMPARISONS]


def level(comparison, left, right):
    """The level of one pair, the same from both sides."""
    there, back = told([(left, right), (right, left)], [level_sql(comparison)])
    assert there == back
    return there[0]


@settings(max_examples=12, deadline=None)
@given(pairs=st.lists(st.tuples(sides(), sides()), min_size=1, max_size=8))
def test_exchanging_left_and_right_changes_no_level(pairs):
    """Invariant 1: every comparison is symmetric."""
    back = [(right, left) for left, right in pairs]
    assert told(pairs, LEVELS) == told(back, LEVELS)


@settings(max_examples=12, deadline=None)
@given(pairs=st.lists(st.tuples(sides(), sides()), min_size=1, max_size=8))
def test_the_first_level_that_holds_wins(pairs):
    """Invariant 2: a pair has the best of its levels, and -1 wherever one side says nothing."""
    conditions = [
        f"coalesce(({condition.sql(Dialect.DUCKDB) if condition else 'TRUE'}), FALSE)"
        for c in COMPARISONS
        for condition in (c.missing, *(level.condition for level in c.levels))
    ]
    for row in told(pairs, [*LEVELS, *conditions]):
        held = iter(row[len(LEVELS) :])
        for found, comparison in zip(row, COMPARISONS, strict=False):
            missing, *holds = itertools.islice(held, len(comparison.levels) + 1)
            assert found == (MISSING if missing else comparison.level_number(holds.index(True)))


def name(number, surname=1, given=None, **more):
    """A complete name, unlike every other."""
    given = number if given is None else given
    near = more.pop("near", [100 * number])
    return {
        "name": number, "sound": number, "surname": surname, "given": given,
        "given_end": given, "name_near": near, "surname_near": [surname],
        "given_near": [given], **more,
    }  # fmt: skip


def date(place, near=0):
    """One of the dates; ``near`` is a slip it shares."""
    names = ("birth", "birth_swapped", "birth_year", "birth_day")
    return dict(zip(names, DATES[place], strict=True)) | {"birth_near": [near or 900 + place]}


def unique(held):
    """Identifiers of which a person has one: by kind, the value."""
    return {"unique_kinds": sorted(held), "unique_ids": sorted(10 * k + v for k, v in held.items())}


MASKED = {"surname": 1}
SHARED = {"phones_shared": [5]}
APART = {"phones_shared": [5], "phones_apart": [5]}
HOUSE = {"street": 1, "street_number": 2, "district": 3, "postcode": 4, "street_near": [1]}
NUMBERS = {
    f"{comparison}: {label}": (comparison, label, left, right)
    for comparison, feature in (("ID number", "national_id"), ("tax number", "tax_number"))
    for label, left, right in (
        ("equal", {feature: 1}, {feature: 1}),
        ("one slip apart", {feature: 1, f"{feature}_near": [7]},
         {feature: 2, f"{feature}_near": [7]}),
        ("differs", {feature: 1}, {feature: 2}),
        ("not given", {feature: 1}, {}),
    )
}  # fmt: skip
# Comparison, expected level, left, right. One pair at least for every level there is.
BY_HAND = [
    ("name", "equal", name(1), name(1)),
    ("name", "sounds the same", name(1), name(2, sound=1)),
    ("name", "one slip apart", name(1, near=[5]), name(2, near=[5])),
    ("name", "one slip apart",
     name(1, near=[5], given_length=1), name(2, near=[5], given_length=2)),
    ("name", "same surname only",
     name(1, near=[5], given_near=[5], given_length=2),
     name(2, near=[5], given_near=[5], given_length=2)),
    ("name", "same surname, two words in common",
     name(1, word_pairs=[7, 8]), name(2, word_pairs=[8, 9])),
    ("name", "both parts one slip apart or other way round",
     name(1, 1, given_near=[5], surname_near=[6]), name(2, 2, given_near=[5], surname_near=[6])),
    ("name", "both parts one slip apart or other way round", name(1, 3, 4), name(2, 4, 3)),
    ("name", "two words in common", name(1, 1, word_pairs=[7]), name(2, 2, word_pairs=[7])),
    ("name", "same given name", name(1, 1, 9), name(2, 2, 9)),
    ("name", "what is visible agrees", MASKED, name(1)),
    ("name", "what is visible agrees", {**MASKED, "given_end": 8}, MASKED),
    ("name", "what is visible agrees", {"given_end": 1}, name(1)),
    ("name", "the only word agrees", {"words": [4]}, name(1, words=[3, 4])),
    ("name", "the only word agrees", {"words": [4]}, {"words": [4]}),
    ("name", "same surname only", name(1), name(2)),
    ("name", "surname one slip apart",
     name(1, 1, surname_near=[1, 5]), name(2, 2, surname_near=[2, 5])),
    ("name", "a word in common or a slip apart",
     name(1, 1, words_near=[7]), name(2, 2, words_near=[7])),
    ("name", "a word in common or a slip apart",
     {"words": [3], "words_near": [7]}, name(2, 2, words=[4], words_near=[7])),
    ("name", "differs", {"words": [3]}, name(2, 2, words=[4, 5])),
    ("name", "not given", {"words": [3]}, MASKED),
    ("name", "differs", name(1, 1), name(2, 2)),
    ("name", "differs", MASKED, name(2, 2)),
    ("name", "not given", name(1), {}),
    ("name", "not given", MASKED, {"given_end": 1}),
    ("phone", "same number, of one person", {"phones_own": [5]}, {"phones_own": [5, 6]}),
    ("phone", "same number, of several people whom the visible name tells apart",
     APART | MASKED, APART | name(1)),
    ("phone", "same number, used by several people", APART | MASKED, APART),
    ("phone", "same number under another name",
     APART | {**MASKED, "given_end": 7}, APART | name(1) | {"given_end": 8}),
    ("phone", "same number, of several people whom the visible name tells apart",
     SHARED | MASKED | {"given_end": 8}, SHARED | name(1) | {"given_end": 8}),
    ("phone", "same number and surname, of several people so called",
     SHARED | MASKED, SHARED | name(1)),
    ("phone", "same number, used by several people", SHARED, SHARED),
    ("phone", "same number, used by several people",
     SHARED | name(1), SHARED | name(2, sound=1)),
    ("phone", "one slip apart",
     {"phones_own": [5], "phones_near": [50]}, {"phones_own": [6], "phones_near": [50]}),
    ("phone", "same number under another name",
     {**SHARED, "phones_near": [5]} | name(1), {**SHARED, "phones_near": [5]} | name(2)),
    ("phone", "same number under another name", SHARED | MASKED, SHARED | name(2, 2)),
    ("phone", "differs", {"phones_own": [5]}, {"phones_shared": [6]}),
    ("phone", "not given", {"phones_own": [5]}, {}),
    ("birth date", "equal", date(1), date(1)),
    ("birth date", "day and month exchanged", date(2), date(3)),
    ("birth date", "one slip apart in the year", date(1, 7), date(4, 7)),
    ("birth date", "one slip apart in the day", date(1, 7), date(2, 7)),
    ("birth date", "same day, other year", date(1), date(4)),
    ("birth date", "same year only", date(1), date(2)),
    ("birth date", "differs", date(2), date(4)),
    ("birth date", "not given", date(1), {}),
    ("unionid", "equal", {"unionid": 1}, {"unionid": 1}),
    ("unionid", "differs", {"unionid": 1}, {"unionid": 2}),
    ("unionid", "not given", {"unionid": 1}, {}),
    ("e-mail", "equal", {"email_own": 1}, {"email_own": 1}),
    ("e-mail", "same name at another provider",
     {"email_own": 1, "email_local": 3}, {"email_own": 2, "email_local": 3}),
    ("e-mail", "differs", {"email_own": 1, "email_local": 3}, {"email_own": 2}),
    ("e-mail", "not given", {"email_own": 1}, {}),
    ("e-mail", "not given", {"email": 1, "email_local": 3}, {"email": 1, "email_local": 3}),
    *NUMBERS.values(),
    ("account", "same card or account", {"accounts": [1, 2]}, {"accounts": [2, 3]}),
    ("account", "not given", {"accounts": [1]}, {"accounts": [2]}),
    ("account", "same card or account", {"counted_own": [1, 2]}, {"counted_own": [2, 3]}),
    ("account", "not given", {"counted_own": [1]}, {"counted_own": [2]}),
    ("account", "differs", unique({1: 5}), unique({1: 6})),
    ("account", "differs", unique({1: 5, 2: 7}), unique({1: 5, 2: 8})),
    ("account", "differs", unique({1: 5}) | {"accounts": [9]}, unique({1: 6}) | {"accounts": [9]}),
    ("account", "not given", unique({1: 5}), unique({2: 6})),
    ("account", "not given", unique({1: 5, 2: 7}), unique({1: 5, 3: 9})),
    ("account", "same card or account",
     unique({1: 5}) | {"accounts": [9]}, unique({1: 5}) | {"accounts": [9]}),
    ("gender", "equal", {"gender": 1}, {"gender": 1}),
    ("gender", "differs", {"gender": 1}, {"gender": 2}),
    ("gender", "not given", {"gender": 1}, {}),
    ("city", "equal", {"city": 1}, {"city": 1}),
    ("city", "differs", {"city": 1}, {"city": 2}),
    ("city", "not given", {}, {"city": 2}),
    ("birth place", "equal", {"birth_place": 1}, {"birth_place": 1}),
    ("birth place", "differs", {"birth_place": 1}, {"birth_place": 2}),
    ("birth place", "not given", {"birth_place": 1}, {"city": 1}),
    ("occupation", "equal", {"occupation": 1}, {"occupation": 1}),
    ("occupation", "differs", {"occupation": 1}, {"occupation": 2}),
    ("occupation", "not given", {}, {"occupation": 2}),
    ("address", "same house", HOUSE, HOUSE),
    ("address", "same house but for a slip",
     HOUSE, {**HOUSE, "street": 9, "street_near": [9]}),
    ("address", "same street or same district and postcode",
     HOUSE, {**HOUSE, "street_number": 9}),
    ("address", "same district or postcode", HOUSE, {"district": 3}),
    ("address", "district or postcode one slip apart",
     {"postcode": 1, "postcode_near": [1, 9]}, {"postcode": 2, "postcode_near": [2, 9]}),
    ("address", "same postcode area",
     {"postcode": 1, "postcode_area": 3}, {"postcode": 2, "postcode_area": 3}),
    ("address", "differs", HOUSE, {"district": 9, "postcode": 9}),
    ("address", "not given", HOUSE, {"city": 1}),
]  # fmt: skip


@pytest.mark.parametrize(("comparison", "label", "left", "right"), BY_HAND)
def test_each_level_is_what_its_label_says(comparison, label, left, right):
    """A pair made by hand for each level has that level, from both sides."""
    compared = BY_NAME[comparison]
    assert compared.label(level(compared, left, right)) == label


def test_no_level_is_out_of_reach():
    """Every level of every comparison is shown by a pair above."""
    shown = {(comparison, label) for comparison, label, _, _ in BY_HAND}
    wanted = {(c.name, level.label) for c in COMPARISONS for level in c.levels}
    wanted |= {(c.name, "not given") for c in COMPARISONS}
    assert wanted == shown


def test_nothing_given_says_nothing():
    """Absence of evidence is not evidence: two empty records are "not given" throughout."""
    (row,) = told([({}, {})], LEVELS)
    assert set(row) == {MISSING}


@pytest.mark.parametrize("comparison", COMPARISONS, ids=lambda comparison: comparison.name)
def test_a_comparison_reads_features_that_exist(comparison):
    """Its declared columns exist and are all that its conditions read."""
    assert set(comparison.features) <= set(COLUMNS)
    types = {name: f"NULL::BIGINT{'[]' if name in LISTS else ''}" for name in comparison.features}
    both = ", ".join(f"{kind} AS {name}_{side}" for name, kind in types.items() for side in "lr")
    found = database().execute(f"SELECT {level_sql(comparison)} FROM (SELECT {both})").fetchall()
    assert len(found) == 1


@pytest.mark.parametrize("comparison", COMPARISONS, ids=lambda comparison: comparison.name)
def test_levels_are_numbered_from_the_best_down_to_zero(comparison):
    """Invariant 2: the last level has no condition, is 0 and is called "differs"."""
    numbers = [comparison.level_number(place) for place in range(len(comparison.levels))]
    assert numbers == list(range(len(comparison.levels)))[::-1]
    *others, last = comparison.levels
    assert (last.label, last.condition) == ("differs", None)
    assert all(level.condition for level in others)
    labels = [comparison.label(number) for number in numbers]
    assert labels == [level.label for level in comparison.levels]
    assert len(set(labels)) == len(labels)
    assert comparison.label(MISSING) == "not given"


def test_no_feature_speaks_in_two_comparisons():
    """Invariant 3: a feature stands in one comparison, but for what silences or judges another.

    Names judge a shared phone, which silences the address of those who share it; and an
    equal ID number silences what it contains.
    """
    owner = {}
    for comparison in COMPARISONS:
        for feature in comparison.features:
            owner.setdefault(feature, set()).add(comparison.name)
    twice = {feature: names for feature, names in owner.items() if len(names) > 1}
    assert twice == {
        **{
            part: {"name", "phone"}
            for part in ("name", "sound", "surname", "given_end", "given_length", "name_near")
        },
        "phones_shared": {"phone", "address"},
        "national_id": {"ID number", "birth date", "gender"},
    }


@pytest.mark.parametrize("comparison", ["birth date", "gender"])
def test_an_equal_id_number_says_date_and_gender(comparison):
    """Invariant 3: what an equal ID number contains says nothing new; a slip contains nothing."""
    feature = {"birth date": "birth", "gender": "gender"}[comparison]
    told_twice = {feature: 1, "national_id": 5}
    assert level(BY_NAME[comparison], told_twice, told_twice) == MISSING
    assert level(BY_NAME[comparison], told_twice, told_twice | {"national_id": 6}) != MISSING
