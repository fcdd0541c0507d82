"""Rows of a feed: what they are, what order they have, and how values become cells."""

import datetime as dt
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
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
def test_a_whole_number_is_its_own_order(number):
    """As a number or as text, as far as 64 bits reach."""
    expected = number if abs(number) <= LARGEST else None
    assert order_of(number) == order_of(str(number)) == expected
    assert order_of(Decimal(number)) == expected


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
    """Anything in the column, or the values that were declared, whatever their case."""
    assert DeletedSpec("gone").says("2026-03-01")
    assert not DeletedSpec("gone").says("")
    assert DeletedSpec("gone", ("Yes ",)).says("yes")
    assert not DeletedSpec("gone", ("yes",)).says("no")


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
