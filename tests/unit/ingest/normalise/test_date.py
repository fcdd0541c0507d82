import datetime as dt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdp.ingest.normalise.date import EXCEL, BirthDate, Day, normalise_birth_date, normalise_day
from cdp.ingest.normalise.result import Problem

TODAY = dt.date(2026, 7, 1)


@pytest.mark.parametrize(
    "text",
    [
        "1985-03-02",
        "1985/3/2",
        "1985.3.2",
        "1985年3月2日",
        "1985 年 3 月 2 日",
        "1985年3月2号",
        "19850302",
        "19850302.0",
        "19850302101500",
        "1985-03-02 10:15:00",
        "1985-03-02T10:15:00.000+08:00",
        "1985-03-02T10:15:00Z",
        "1985/3/2 0:00",
        "85.3.2",
        "85年3月2日",
        "１９８５－０３－０２",
    ],
)
def test_the_usual_shapes_are_one_day(text):
    """However a till writes a birthday, its canonical form is the ISO date."""
    answer = normalise_birth_date(text, today=TODAY)
    assert answer == BirthDate(1985, 3, 2, default=False)


@pytest.mark.parametrize(
    ("text", "formats", "expected"),
    [
        ("03/02/1985", ("%m/%d/%Y",), "1985-03-02"),
        ("03/02/1985", ("%d/%m/%Y",), "1985-02-03"),
        ("03/02/1985", ("%Y-%m-%d", "%d/%m/%Y"), "1985-02-03"),
        ("1985-03-02", ("%Y-%d-%m",), "1985-02-03"),
        ("02-03-40", ("%d-%m-%y",), "1940-03-02"),
        ("31108", (EXCEL,), "1985-03-02"),
        ("31108.5", (EXCEL,), "1985-03-02"),
        ("1985-03-02", (EXCEL,), "1985-03-02"),
    ],
)
def test_a_declared_format_comes_first(text, formats, expected):
    """Invariant 2: what the source declares is tried before any guess."""
    answer = normalise_birth_date(text, today=TODAY, formats=formats)
    assert isinstance(answer, BirthDate)
    assert answer.canonical == expected


def test_day_and_month_are_never_guessed():
    """Invariant 2: without a declared format, 03/02/1985 has no reading."""
    answer = normalise_birth_date("03/02/1985", today=TODAY)
    assert isinstance(answer, Problem)
    assert answer.rule == "unknown_shape"


@pytest.mark.parametrize("text", ["1985-02-31", "1985-13-01", "19850231", "1985-00-10", "85.2.30"])
def test_a_day_that_the_calendar_lacks_is_a_problem(text):
    """Invariant 1: an impossible day is not moved to the nearest one."""
    answer = normalise_birth_date(text, today=TODAY)
    assert isinstance(answer, Problem)
    assert answer.rule == "impossible_date"


@pytest.mark.parametrize(
    "text", ["1900-01-01", "1990-01-01", "1970/1/1", "20000101", "1980年1月1日", "1899-12-30"]
)
def test_a_preset_birthday_is_flagged(text):
    """Invariant 3: a birthday that a form fills in is flagged."""
    answer = normalise_birth_date(text, today=TODAY)
    assert isinstance(answer, BirthDate)
    assert answer.default


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "empty"),
        ("0000-00-00", "empty"),
        ("2026-07-02", "future_date"),
        ("1905-12-31", "too_old"),
        ("1985-03", "incomplete"),
        ("3月2日", "incomplete"),
        ("1985", "incomplete"),
        ("spring", "unknown_shape"),
        ("31108", "unknown_shape"),
        ("1" * 65, "too_long"),
        ("1985-03-02\ud800", "unreadable"),
    ],
)
def test_what_is_no_birthday_has_a_rule(text, rule):
    """Each refusal names its rule and says what to do."""
    answer = normalise_birth_date(text, today=TODAY)
    assert isinstance(answer, Problem)
    assert answer.rule == rule


@pytest.mark.parametrize(
    ("text", "year"), [("26.7.1", 2026), ("26.7.2", 1926), ("00.5.5", 2000), ("27.1.1", 1927)]
)
def test_a_two_digit_year_is_the_latest_that_has_come(text, year):
    """The present day, an argument, settles the century."""
    answer = normalise_birth_date(text, today=TODAY)
    assert isinstance(answer, BirthDate)
    assert answer.year == year


@pytest.mark.parametrize(
    ("serial", "expected"), [("1", "1900-01-01"), ("59", "1900-02-28"), ("61", "1900-03-01")]
)
def test_spreadsheet_serials_skip_the_day_that_never_was(serial, expected):
    """Excel counts a 29 February 1900; the days around it come out right."""
    answer = normalise_day(serial, today=TODAY, formats=(EXCEL,))
    assert isinstance(answer, Day)
    assert answer.canonical == expected
    assert isinstance(normalise_day("60", today=TODAY, formats=(EXCEL,)), Problem)


def test_an_attribute_day_may_lie_ahead():
    """A card that expires next year is no error."""
    assert normalise_day("2027-12-31", today=TODAY) == Day(dt.date(2027, 12, 31))


@pytest.mark.parametrize("pattern", ["%Y%Y", "%Q", "%", ""])
def test_a_broken_format_matches_nothing(pattern):
    """A format that strptime rejects does not stop the usual shapes."""
    answer = normalise_birth_date("1985-03-02", today=TODAY, formats=(pattern,))
    assert answer == BirthDate(1985, 3, 2, default=False)


@settings(max_examples=80, deadline=None)
@given(
    st.dates(dt.date(1907, 1, 1), TODAY),
    st.sampled_from(["%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d", "%Y年%m月%d日"]),
)
def test_every_day_is_read_back(day, pattern):
    """Each shape of each day gives that day, and its canonical text gives it again."""
    answer = normalise_birth_date(day.strftime(pattern), today=TODAY)
    assert isinstance(answer, BirthDate)
    assert answer.canonical == day.isoformat()
    assert normalise_birth_date(answer.canonical, today=TODAY) == answer
