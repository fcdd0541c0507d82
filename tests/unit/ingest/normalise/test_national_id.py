import datetime as dt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdp.ingest.normalise.national_id import NationalId, check_character, normalise_national_id
from cdp.ingest.normalise.provinces import PROVINCE_CODES
from cdp.ingest.normalise.result import Problem

TODAY = dt.date(2026, 7, 1)
# The worked example of GB 11643-1999: a place that no longer exists, check character X.
STANDARD_EXAMPLE = "11010519491231002X"


def rule(text):
    answer = normalise_national_id(text, today=TODAY)
    assert isinstance(answer, Problem)
    return answer.rule


@pytest.mark.parametrize(
    "text",
    [
        STANDARD_EXAMPLE,
        "11010519491231002x",
        " 110105 19491231 002X ",
        "110105-19491231-002X",
        "身份证：11010519491231002X",
        "110105194912310０2Ⅹ",
        "110105491231002",
    ],
)
def test_every_spelling_of_a_number_is_one_number(text):
    """Spaces, width, case and the old fifteen digits lead to the same eighteen characters."""
    expected = NationalId(STANDARD_EXAMPLE, dt.date(1949, 12, 31), "female", "11")
    assert normalise_national_id(text, today=TODAY) == expected


@pytest.mark.parametrize("wrong", "0123456789")
def test_a_wrong_check_character_is_a_problem(wrong):
    """Invariant 1: the check character is checked."""
    assert rule(STANDARD_EXAMPLE[:17] + wrong) == "checksum"


@pytest.mark.parametrize(
    "text", ["A123456(3)", "A123456789", "1234567(8)", "E12345678", "81000019"]
)
def test_other_cards_are_not_read(text):
    """Invariant 2: cards of other places are never taken for resident numbers."""
    assert rule(text) == "unknown_shape"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "empty"),
        ("1" * 18, "blocked"),
        ("0" * 15, "blocked"),
        ("110105********002X", "masked"),
        ("1.10105E+17", "spreadsheet_number"),
        ("99010519491231002X", "unknown_region"),
        ("110105194902310026", "impossible_date"),
        ("110105202612310026", "impossible_date"),
        ("110105179912310026", "impossible_date"),
        ("1" * 65, "too_long"),
        ("\ud800", "unreadable"),
    ],
)
def test_what_is_no_resident_number_has_a_rule(text, expected):
    """Each refusal names its rule."""
    assert rule(text) == expected


def test_old_numbers_of_centenarians_belong_to_the_century_before():
    """The orders 996 to 999 of the old scheme marked people born before 1900."""
    answer = normalise_national_id("110105991231999", today=TODAY)
    assert isinstance(answer, NationalId)
    assert answer.birth == dt.date(1899, 12, 31)


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from(sorted(PROVINCE_CODES)),
    st.dates(dt.date(1900, 1, 1), TODAY),
    st.integers(0, 999),
)
def test_a_number_says_what_went_into_it(region, birth, order):
    """Region, birthday and sex are read back, and one changed digit is always noticed."""
    first = f"{region}0101{birth:%Y%m%d}{order:03}"
    answer = normalise_national_id(first + check_character(first), today=TODAY)
    assert isinstance(answer, NationalId)
    assert (answer.region, answer.birth) == (region, birth)
    assert answer.sex == ("male" if order % 2 else "female")
    assert normalise_national_id(answer.canonical, today=TODAY) == answer
    slipped = answer.value[:3] + str((int(answer.value[3]) + 1) % 10) + answer.value[4:]
    assert rule(slipped) == "checksum"
