"""Cursors of a table that are odd: without end, before the year 1, of another type than before."""

from typing import Any

import pytest

from connectors.errors import Stop
from tests.integration.feeds.elsewhere import Elsewhere, read, rules
from tests.journeys.databases import Databases

pytestmark = pytest.mark.integration
OVERLAP = {"column": "updated_at", "overlap": 60}


@pytest.fixture
def crm(databases: Databases) -> Elsewhere:
    """Another database with a table of members."""
    return Elsewhere(databases.copy(None))


def put(crm: Elsewhere, number: int, time: str) -> None:
    crm.run(f"INSERT INTO crm.members VALUES ({number}, 'x', '1', '{time}'::timestamptz)")


def retype(crm: Elsewhere, kind: str, using: str) -> None:
    crm.run(f"ALTER TABLE crm.members ALTER updated_at TYPE {kind} USING {using}")


def test_cursors_without_end_do_not_go_round_for_ever(crm: Elsewhere) -> None:
    """The driver gives infinity as the year 9999: no page of such rows would be the last."""
    crm.put(1, 1)
    for number in range(2, 9):
        put(crm, number, "infinity")
    with pytest.raises(Stop, match="cursor_not_finite") as stopped:
        read(crm.feed(page=3))
    assert "query" in stopped.value.next_step
    assert read(crm.feed(page=50))[0] == [str(number) for number in range(1, 9)]


@pytest.mark.parametrize("time", ["-infinity", "0001-01-01 00:00Z"])
def test_an_overlap_before_the_first_of_all_times(crm: Elsewhere, time: str) -> None:
    """Some systems write the year 1 for never: everything is read from the first row."""
    put(crm, 1, time)
    first, state = read(crm.feed(cursor=OVERLAP))
    assert first == read(crm.feed(cursor=OVERLAP), state)[0] == ["1"]
    assert crm.feed(cursor=OVERLAP).count(state) == 1


@pytest.mark.parametrize("time", ["0044-03-15 00:00 BC", "12026-03-01 00:00Z"])
def test_a_time_that_cannot_be_read_is_told_in_our_words(crm: Elsewhere, time: str) -> None:
    """A wrong year that somebody typed: what to do, and nothing of the value."""
    crm.put(1, 1)
    put(crm, 2, time)
    with pytest.raises(Stop, match="value_out_of_range") as stopped:
        read(crm.feed())
    assert stopped.value.__context__ is None or "44" not in str(stopped.value)
    assert "year" not in str(stopped.value).split("value_out_of_range.")[0]
    assert crm.connections() == 0


@pytest.mark.parametrize(
    ("kind", "using"),
    [
        ("bigint", "extract(epoch from updated_at)"),
        ("text", "to_char(updated_at, 'YYYY-MM-DD HH24:MI:SS')"),
    ],
)
def test_a_cursor_of_another_type_than_before_is_told(
    crm: Elsewhere, kind: str, using: str
) -> None:
    """Between two runs and within one: a comparison would fail, or read everything as old."""
    for number in range(1, 6):
        crm.put(number, number)
    feed = crm.feed()
    marks = [one.state for one in feed.read(None) if type(one).__name__ == "Mark"]
    retype(crm, kind, using)
    for state in (marks[0], marks[-1]):
        with pytest.raises(Stop, match="cursor_retyped") as stopped:
            read(crm.feed(), state)
        assert "cdp source reset" in stopped.value.next_step
    assert len(read(crm.feed())[0]) == 5


def test_a_date_that_became_a_time_goes_on(crm: Elsewhere) -> None:
    """What is compared in the same way is no other type."""
    for number in range(1, 4):
        crm.put(number, number)
    retype(crm, "date", "updated_at")
    _, state = read(crm.feed())
    retype(crm, "timestamptz", "updated_at")
    assert read(crm.feed(), state)[0] == ["1", "2", "3"]


def test_times_without_a_zone_are_noted(crm: Elsewhere) -> None:
    """When clocks are put back an hour comes twice: what changes in it stands below the cursor."""
    crm.put(1, 1)
    retype(crm, "timestamp", "updated_at")
    assert rules(crm.feed().check()) == [("cursor_without_zone", "updated_at")]
    hour: dict[str, Any] = {"cursor": {"column": "updated_at", "overlap": 3600}}
    assert rules(crm.feed(**hour).check()) == []
