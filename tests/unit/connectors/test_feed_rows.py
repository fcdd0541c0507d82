"""Rows of a feed: what they are, what order they have, and how values become cells."""

import datetime as dt
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connectors.base import Deleted
from connectors.cells import BadCell
from connectors.declaration import parse_source
from connectors.errors import DeclarationError
from connectors.feed_declaration import DeletedSpec, FeedSpec
from connectors.feed_rows import LARGEST, FeedRows, order_of, time_of
from connectors.record import Record, Rejection
from connectors.sources.sql_cells import cell_of, place_of, shown, value_at

WHY = "compare in a test"


def declared(**more):
    entry = {"connector": "piped", "record_id": "id", "fields": {"name": "name"}, **more}
    return parse_source("shop", entry)


def test_a_row_gives_exactly_one_result():
    """A record with its order and load, a deletion, or a rejection (invariant 1)."""
    rows = FeedRows(declared(deleted={"column": "gone", "values": ["Y"]}))
    record = rows.row(1, {"id": "1", "name": "x"}, str, order=4, load=2)
    assert isinstance(record, Record)
    assert (record.order, record.load) == (4, 2)
    deleted = rows.row(2, {"id": "1", "gone": " y "}, str, order=5)
    assert isinstance(deleted, Deleted)
    assert (deleted.record_id.reveal(reason=WHY), deleted.order, deleted.position) == ("1", 5, 2)
    assert isinstance(rows.row(3, {"id": "1", "gone": "N"}, str), Record)
    assert isinstance(rows.row(4, {"name": "x"}, str), Rejection)


def test_a_deletion_needs_nothing_but_a_record_id():
    """A row that would be rejected for its consent is a deletion all the same (invariant 2)."""
    consent = {
        "basis": "b",
        "purposes": ["service"],
        "opt_out": {"column": "out", "values": ["yes"]},
    }
    rows = FeedRows(declared(deleted={"column": "gone"}, consent=consent))
    bad = BadCell("formula", "write text.", cell_secret())
    assert isinstance(rows.row(1, {"id": "1", "out": bad}, str), Rejection)
    assert isinstance(rows.row(1, {"id": "1", "out": bad, "gone": "1"}, str), Deleted)
    lost = rows.row(1, {"gone": "1"}, str)
    assert isinstance(lost, Rejection)
    assert lost.rule == "record_id_missing"


def test_a_deletion_has_a_day_as_a_record_has():
    """Where the contract asks how fresh rows are: a source from which people go is not quiet."""
    terms = {"freshness": {"column": "seen", "days": 2}}
    rows = FeedRows(declared(deleted={"column": "gone"}, contract=terms))
    cells = {"id": "1", "seen": "2026-03-01"}
    for gone in ("1", "0"):
        assert rows.row(1, {**cells, "gone": gone}, str).day == "2026-03-01"


def cell_secret():
    """What a bad cell held."""
    cell = cell_of(b"x")
    assert isinstance(cell, BadCell)
    return cell.raw


# A database gives times without a zone too.
times = st.datetimes(
    dt.datetime(1900, 1, 1),  # noqa: DTZ001
    dt.datetime(2200, 1, 1),  # noqa: DTZ001
    timezones=st.none() | st.just(dt.UTC),
)


@given(one=times, other=times)
def test_orders_grow_as_times_do(one, other):
    """As a value or as text, with a zone or in UTC without one (invariant 3)."""
    first, second = (time if time.tzinfo else time.replace(tzinfo=dt.UTC) for time in (one, other))
    assert (order_of(one) < order_of(other)) == (first < second)
    assert order_of(one.isoformat()) == order_of(one)
    assert time_of(one) == first


@given(number=st.integers())
@example(11400714819320000000)  # which reads as a day of the year 1140, and a time of it
@example(LARGEST)
@example(-LARGEST - 1)
@example(10**5000)
def test_a_whole_number_is_its_own_order(number):
    """As a number or as text, as far as 64 bits reach."""
    expected = number if abs(number) <= LARGEST else None
    text = f"{Decimal(number):f}"  # str() refuses thousands of digits
    assert order_of(number) == order_of(text) == expected
    assert order_of(Decimal(number)) == expected
    assert time_of(text) is None
    padded = f"-{'0' * 5000}{text[1:]}" if number < 0 else "0" * 5000 + text
    assert order_of(padded) == expected
    assert order_of("-0") == order_of("+000") == 0


@pytest.mark.parametrize(
    "value", [None, True, "", "abc", 1.5, float("nan"), float("inf"), Decimal("NaN"), [], "1.50"]
)
def test_what_has_no_order_gives_none(value):
    """Words, fractions and nothing have no place in an order."""
    assert order_of(value) is None
    assert time_of(value) is None


def test_zones_compare_by_when_they_were():
    """Nine in Shanghai is before two in London."""
    assert order_of("2026-03-01T09:00:00+08:00") < order_of("2026-03-01T02:00:00Z")
    assert order_of(dt.date(2026, 3, 1)) == order_of("2026-03-01T00:00:00")


@given(
    value=st.one_of(
        st.none(),
        st.text(),
        st.booleans(),
        st.integers(),
        st.decimals(allow_nan=False),
        st.floats(allow_nan=False),
        times,
        st.dates(),
        st.uuids(),
        st.binary(),
    )
)
def test_a_place_is_read_back_as_it_was(value):
    """A cursor or a key that a state keeps is the same value, of the same type, afterwards."""
    again = value_at(place_of(value))
    assert again == value
    assert type(again) is type(value)


def test_what_has_no_place_is_refused():
    """A list or a document cannot be a cursor."""
    with pytest.raises(TypeError, match="no place"):
        place_of([1])


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (None, None),
        ("", None),
        ("x", "x"),
        (True, "true"),
        (12345678901234567890, "12345678901234567890"),
        (Decimal("1.50"), "1.5"),
        (2.5, "2.5"),
        (dt.datetime(2026, 3, 1), "2026-03-01"),  # noqa: DTZ001
        (dt.datetime(2026, 3, 1, 8, 5), "2026-03-01T08:05:00"),  # noqa: DTZ001
        (dt.date(2026, 3, 1), "2026-03-01"),
        (dt.time(8, 5), "08:05:00"),
        (dt.timedelta(hours=-1, minutes=-30), "-01:30:00"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ({"a": 1}, '{"a": 1}'),
        (["1", None, 2], ("1", "2")),
        ([], None),
    ],
)
def test_values_become_cells(value, cell):
    """Each type of a database as the spreadsheet reader writes it, and numbers in full."""
    assert cell_of(value) == cell


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        (float("nan"), "not_a_number"),
        (Decimal("Infinity"), "not_a_number"),
        (1e300, "digits_lost"),
        (b"\0\xff", "binary"),
        (memoryview(b"x"), "binary"),
        ([b"x"], "binary"),
        (object(), "type_not_read"),
    ],
)
def test_what_is_no_text_is_set_aside(value, rule):
    """It is named by its rule, loses only its field, and is kept as far as it can be."""
    cell = cell_of(value)
    assert isinstance(cell, BadCell)
    assert (cell.rule, cell.rejects_row) == (rule, False)
    assert shown(cell)


def test_what_means_deleted():
    """The values that were declared, whatever their case; without them a time, or a plain yes."""
    assert DeletedSpec("gone", ("Yes ",)).says("yes")
    assert not DeletedSpec("gone", ("yes",)).says("no")


@pytest.mark.parametrize(
    "text",
    ["2026-03-01", "2026/3/1 08:00", "2026-03-01T08:00:00+08:00", "1700000000", "1700000000000000",
     "true", "T", "1", "是", "Yes"],
)  # fmt: skip
def test_a_time_or_a_yes_says_deleted(text):
    """Without declared values."""
    assert DeletedSpec("gone").says(text) is True


@pytest.mark.parametrize(
    "text",
    ["", "false", "F", "0", "0.0", "No", "N", "null", "0000-00-00", "0000-00-00 00:00:00", "-"],
)
def test_a_no_does_not_say_deleted(text):
    """A column of false, or of a day that is none, destroys nobody."""
    assert DeletedSpec("gone").says(text) is False


@pytest.mark.parametrize(
    "text",
    ["active", "正常", "2", "-1", "9999-12-31T23:59:59", "1900-01-01", "1970-01-01", "x" * 99],
)
def test_what_is_neither_is_rejected(text):
    """Neither a deletion nor a record: the row says how to make it clear (invariant 4)."""
    assert DeletedSpec("gone").says(text) is None
    rows = FeedRows(declared(deleted={"column": "gone"}))
    one = rows.row(1, {"id": "1", "name": "x", "gone": text}, str, load=3)
    assert isinstance(one, Rejection)
    assert (one.rule, one.load) == ("deleted_unclear", 3)
    assert one.record_id is not None
    assert one.record_id.reveal(reason=WHY) == "1"
    assert text not in one.next_step


def test_a_deletion_that_cannot_be_read_is_rejected():
    """A list, or a cell that is no text, says neither yes nor no (4)."""
    rows = FeedRows(declared(deleted={"column": "gone", "values": ["1"]}))
    for cell in (("1", "0"), BadCell("binary", "write text.", cell_secret(), rejects_row=False)):
        one = rows.row(1, {"id": "1", "gone": cell}, str)
        assert isinstance(one, Rejection)
        assert one.rule == "deleted_unclear"


def test_a_rejection_says_whose_and_which_load():
    """So that a load that replaces the one before is not thought to lack its record (5)."""
    rows = FeedRows(declared(store="store"))
    one = rows.row(1, {"id": "1", "store": ("a", "b")}, str, load=3)
    assert isinstance(one, Rejection)
    assert one.load == 3
    assert one.record_id is not None


@pytest.mark.parametrize(
    ("more", "rule"),
    [
        ({}, "table_or_query"),
        ({"table": "a", "query": "SELECT 1"}, "table_or_query"),
        ({"table": "a", "mode": "incremental"}, "cursor_missing"),
        ({"table": "a", "mode": "changes"}, "mode_not_for_connector"),
        ({"table": "a", "location": "x"}, "key_not_for_connector"),
        ({"table": "a", "cursor": {"overlap": 3}}, "key_missing"),
        ({"table": "a", "time_limit": 0}, "too_small"),
    ],
)
def test_one_key_demands_another(more, rule):
    """What does not fit is refused, naming the key."""
    entry = {
        "connector": "sql",
        "record_id": "id",
        "fields": {"name": "name"},
        "credentials": {"dsn": "env:SOURCE_DSN"},
        **more,
    }
    with pytest.raises(DeclarationError) as refused:
        parse_source("shop", entry)
    assert refused.value.rule == rule


def test_how_a_feed_is_followed_is_no_part_of_what_a_row_means():
    """Another overlap or time limit reads no record anew; another table voids a state."""
    plain = declared()
    assert declared(cursor="at", table="t").digest() == plain.digest()
    assert FeedSpec(cursor="a", overlap=5).place() == FeedSpec(cursor="a").place()
    assert FeedSpec(table="a").place() != FeedSpec(table="b").place()
    left, other = DeletedSpec("left"), DeletedSpec("left", ("x",))
    places = {FeedSpec(deleted=one).place() for one in (None, left, other)}
    assert len(places) == 3
