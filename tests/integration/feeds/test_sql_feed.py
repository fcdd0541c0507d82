"""Following a table of a real PostgreSQL, in another database."""

from collections.abc import Iterator
from typing import Any

import pytest

from connectors.base import Mark, State
from connectors.errors import Stop
from connectors.record import Record
from tests.integration.feeds.elsewhere import WHY, Elsewhere, read, rules
from tests.journeys.databases import Databases

pytestmark = pytest.mark.integration


@pytest.fixture
def crm(databases: Databases) -> Iterator[Elsewhere]:
    """Another database with a table of members."""
    return Elsewhere(databases.copy(None))


def test_what_is_new_comes_once(crm: Elsewhere) -> None:
    """A first run gives everything, a second what changed since, a third the last again."""
    for number in range(1, 6):
        crm.put(number, number)
    first, state = read(crm.feed())
    crm.put(2, 9, "李娜")
    second, state = read(crm.feed(), state)
    third, _ = read(crm.feed(), state)
    assert (first, second, third) == (["1", "2", "3", "4", "5"], ["5", "2"], ["2"])


def test_rows_of_one_cursor_are_not_lost(crm: Elsewhere) -> None:
    """Seven rows of one moment, pages of two, and three more of it later (invariant 1)."""
    for number in range(1, 8):
        crm.put(number, 1)
    whole = list(crm.feed().read(None))
    for place, one in enumerate(whole):
        if isinstance(one, Mark):
            tail = [x for x in whole[place:] if not isinstance(x, Mark)]
            assert read(crm.feed(), one.state)[0][-len(tail) or 99 :] == [
                x.record_id.reveal(reason=WHY) for x in tail if isinstance(x, Record)
            ]
    _, state = read(crm.feed())
    for number in (0, 100):
        crm.put(number, 1)
    late, _ = read(crm.feed(), state)
    assert {"0", "100"} <= set(late)


def test_a_row_that_appears_late_is_read_within_the_overlap(crm: Elsewhere) -> None:
    """A transaction that commits late writes below the cursor: the overlap reads it (2)."""
    for number in range(1, 4):
        crm.put(number, number)
    cursor = {"column": "updated_at", "overlap": 90}
    _, state = read(crm.feed(cursor=cursor))
    crm.put(7, 2)
    crm.put(8, 1)
    assert read(crm.feed(cursor=cursor), state)[0] == ["2", "7", "3"]
    assert read(crm.feed(), state)[0] == ["3"]


def test_a_cursor_that_went_back_stops(crm: Elsewhere) -> None:
    """An old copy of the database is not read as if nothing had happened (3)."""
    for number in range(1, 4):
        crm.put(number, number)
    _, state = read(crm.feed())
    crm.run("DELETE FROM crm.members WHERE id = 3")
    with pytest.raises(Stop, match="cursor_went_back") as stopped:
        read(crm.feed(), state)
    assert "cdp source reset" in stopped.value.next_step
    wide = crm.feed(cursor={"column": "updated_at", "overlap": 120})
    assert read(wide, state)[0] == ["1", "2"]
    crm.run("DELETE FROM crm.members")
    assert read(crm.feed(), state)[0] == []


def test_a_row_of_a_time_to_come_does_not_hide_what_changes_until_then(crm: Elsewhere) -> None:
    """A clock that is wrong, or a day that means never: it comes each time, and is told (5)."""
    ahead = 60 * 24 * 365 * 500
    for number in range(1, 6):
        crm.put(number, number)
    crm.put(9, ahead)
    first, state = read(crm.feed())
    assert first == ["1", "2", "3", "4", "5", "9"]
    crm.put(2, 7, "李娜")
    second, state = read(crm.feed(), state)
    assert second == ["5", "2", "9"]
    for mark in (one for one in crm.feed().read(None) if isinstance(one, Mark)):
        assert read(crm.feed(), mark.state)[0][-1:] == ["9"]
        assert mark.at is None or mark.at.year < 2200
    assert rules(crm.feed().check()) == [("cursor_in_future", "updated_at")]
    crm.put(9, 8)
    assert read(crm.feed(), state)[0] == ["2", "9"]


def test_a_state_in_a_time_to_come_stops(crm: Elsewhere) -> None:
    """Whoever reads on from it would read nothing until then, without a word (5)."""
    crm.put(1, 1)
    _, state = read(crm.feed())
    value = {**state.value, "cursor": ["time", "2999-01-01T00:00:00+00:00"]}
    with pytest.raises(Stop, match="cursor_in_future"):
        read(crm.feed(), State(value))


def test_a_query_is_not_asked_twice(crm: Elsewhere) -> None:
    """A query that is read whole costs itself once: nobody counts it first."""
    more: dict[str, Any] = {"table": None, "query": "SELECT * FROM crm.members -- all"}
    crm.put(1, 1)
    feed = crm.feed(**more, mode="full", cursor=None)
    assert feed.count(None) is None
    assert read(feed)[0] == ["1"]
    assert crm.feed(**more).count(None) == 1


def test_soft_deletes_are_deletions(crm: Elsewhere) -> None:
    """A column that says so, by anything or by a value."""
    crm.put(1, 1)
    crm.put(2, 2, left="2026-03-01")
    deleted = {"column": "left_at"}
    assert read(crm.feed(deleted=deleted))[0] == ["1", "-2"]
    named = {"column": "name", "values": ["GONE"]}
    crm.put(1, 3, "gone")
    assert read(crm.feed(deleted=named))[0] == ["2", "-1"]


def test_rows_without_a_cursor_or_an_id_are_not_lost(crm: Elsewhere) -> None:
    """They have no place in the order, and come each time; check says so."""
    crm.run("ALTER TABLE crm.members DROP CONSTRAINT members_pkey")
    crm.run("ALTER TABLE crm.members ALTER id DROP NOT NULL")
    crm.run("INSERT INTO crm.members VALUES (1, 'a', '1', now()), (2, 'b', '2', NULL)")
    crm.run("INSERT INTO crm.members VALUES (NULL, 'c', '3', now())")
    first, state = read(crm.feed())
    again, _ = read(crm.feed(), state)
    assert sorted(first) == sorted(again) == ["!record_id_missing", "1", "2"]
    assert rules(crm.feed().check()) == [("cursor_empty", "updated_at")]
    assert sorted(read(crm.feed(mode="full", cursor=None))[0]) == sorted(first)


def test_a_full_reading_is_resumed_by_the_record_id(crm: Elsewhere) -> None:
    """A table of more than a page is read in pages, and a state in the middle goes on there."""
    for number in range(1, 8):
        crm.put(number, 100 - number)
    feed = crm.feed(mode="full", cursor=None)
    given = list(feed.read(None))
    middle = [one.state for one in given if isinstance(one, Mark)][1]
    assert read(feed, middle)[0] == ["5", "6", "7"]
    last = [one.state for one in given if isinstance(one, Mark)][-1]
    assert len(read(feed, last)[0]) == 7
    assert feed.count(None) == 7


def test_a_query_is_read_as_a_table_is(crm: Elsewhere) -> None:
    """Any SELECT, with colons, per cents and a semicolon in it."""
    for number in range(1, 6):
        crm.put(number, number)
    query = (
        "SELECT id, name, phone, updated_at::timestamp AS at FROM crm.members "
        "WHERE name NOT LIKE ':x%';"
    )
    more: dict[str, Any] = {"table": None, "query": query, "cursor": "at"}
    first, state = read(crm.feed(**more))
    assert first == ["1", "2", "3", "4", "5"]
    assert read(crm.feed(**more), state)[0] == ["5"]
    assert read(crm.feed(**more, mode="full"))[0] == first
    assert rules(crm.feed(**more).check()) == [("cursor_without_zone", "at")]


def test_keys_of_several_columns_and_every_type_of_cursor(crm: Elsewhere) -> None:
    """Whole, exact and real numbers, dates and times order rows; a key may have several columns."""
    kinds = ("bigint", "numeric", "double precision", "date", "timestamp", "timestamptz")
    for kind in kinds:
        crm.run("DROP TABLE IF EXISTS crm.lines")
        crm.run(f"CREATE TABLE crm.lines (a text, b uuid, c {kind})")
        for number in range(5):
            value = number // 2 if kind in kinds[:3] else f"2026-03-0{1 + number // 2}"
            crm.run(
                f"INSERT INTO crm.lines VALUES ('x', gen_random_uuid(), CAST(:value AS {kind}))",
                value=str(value),
            )
        more: dict[str, Any] = {
            "table": "crm.lines",
            "cursor": {"column": "c", "overlap": 1},
            "record_id": ["a", "b"],
            "fields": {"name": "a"},
        }
        given = list(crm.feed(**more).read(None))
        orders = [one.order for one in given if isinstance(one, Record)]
        assert len(orders) == 5
        assert orders == sorted(orders)  # type: ignore[type-var]
        middle = next(one.state for one in given if isinstance(one, Mark))
        assert len(read(crm.feed(**more), State.of(middle.text()))[0]) == 3
        zoneless = [("cursor_without_zone", "c")] if kind == "timestamp" else []
        assert rules(crm.feed(**more).check()) == zoneless


def test_types_become_cells(crm: Elsewhere) -> None:
    """Dates in ISO 8601, numbers with all digits, lists as several values; bytes are set aside."""
    crm.run(
        "CREATE TABLE crm.odd AS SELECT 1234567890123456789::bigint AS big, "
        "1.50::numeric AS money, "
        "'NaN'::float8 AS nan, true AS truth, date '2026-03-01' AS day, "
        "timestamp '2026-03-01 10:00' AS moment, interval '90 minutes' AS span, "
        "ARRAY['138', '139'] AS phones, '{\"a\": 1}'::jsonb AS document, "
        "'\\x00ff'::bytea AS raw, gen_random_uuid() AS id"
    )
    fields = {"phone": "phones", "name": "document", "note": "big", "nickname": "span"}
    attributes = {
        "money": {"column": "money", "type": "decimal"},
        "truth": {"column": "truth", "type": "boolean"},
        "day": {"column": "day", "type": "date"},
        "moment": {"column": "moment", "type": "category"},
        "nan": {"column": "nan", "type": "decimal"},
        "raw": {"column": "raw", "type": "category"},
    }
    more: dict[str, Any] = {"table": "crm.odd", "cursor": None, "mode": "full"}
    [record, _] = crm.feed(**more, fields=fields, attributes=attributes).read(None)
    assert isinstance(record, Record)
    told = {name: [v.value.reveal(reason=WHY) for v in vs] for name, vs in record.fields.items()}
    assert told["phone"] == ["138", "139"]
    assert told["note"] == ["1234567890123456789"]
    assert told["nickname"] == ["01:30:00"]
    assert dict(record.attributes) == {
        "money": "1.5",
        "truth": True,
        "day": "2026-03-01",
        "moment": "2026-03-01T10:00:00",
    }
    assert {(problem.field, problem.rule) for problem in record.problems} == {
        ("nan", "not_a_number"),
        ("raw", "binary"),
    }
