"""When a source is due next: laws, and the days on which clocks change."""

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cdp.running.due import furthest, next_due, rhythm
from connectors.schedule import Schedule

UTC = dt.UTC
START = dt.datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ZONES = (
    "UTC", "Asia/Shanghai", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe",
    "Pacific/Apia", "America/St_Johns",
)  # fmt: skip
moments = st.timedeltas(dt.timedelta(0), dt.timedelta(days=10_000)).map(
    lambda since: dt.datetime(2005, 1, 1, tzinfo=UTC) + since
)
daily = st.builds(
    lambda hour, minute, zone: Schedule(daily=f"{hour:02}:{minute:02}", time_zone=zone),
    st.integers(0, 23),
    st.integers(0, 59),
    st.sampled_from(ZONES),
)
schedules = st.one_of(st.builds(Schedule, minutes=st.integers(1, 5000)), daily)
waits = st.timedeltas(dt.timedelta(0), dt.timedelta(days=40))


def every(minutes: int) -> Schedule:
    """A schedule of so many minutes."""
    return Schedule(minutes=minutes)


def at(text: str) -> dt.datetime:
    """A moment in UTC."""
    return dt.datetime.fromisoformat(text).replace(tzinfo=UTC)


@given(schedules, moments, waits, waits)
def test_a_slot_that_was_served_is_not_due_again(
    schedule: Schedule, due: dt.datetime, late: dt.timedelta, took: dt.timedelta
) -> None:
    """Invariant 2: however late and long a run was, the next slot lies ahead of its end."""
    end = due + late + took
    following = next_due(schedule, due, end, end)
    assert end < following <= end + furthest(schedule)


@given(schedules, moments, waits, waits)
def test_after_an_outage_one_run_catches_up(
    schedule: Schedule, due: dt.datetime, took: dt.timedelta, out: dt.timedelta
) -> None:
    """Invariant 2: whatever was missed while nothing ran, one run is due, and then none."""
    end = due + took
    now = end + out
    missed = next_due(schedule, due, end, now)
    assume(missed <= now)
    assert end < missed
    assert next_due(schedule, missed, now, now) > now


@given(st.integers(1, 5000), moments, st.lists(st.tuples(waits, waits), min_size=1, max_size=8))
def test_minutes_do_not_drift(
    minutes: int, first: dt.datetime, runs: list[tuple[dt.timedelta, dt.timedelta]]
) -> None:
    """Invariant 1: every slot is a whole number of rhythms after the first one."""
    schedule, due = every(minutes), first
    for late, took in runs:
        end = due + late + took
        due = next_due(schedule, due, end, end)
        assert (due - first) % rhythm(schedule) == dt.timedelta(0)


@given(daily, moments, st.lists(st.tuples(waits, waits), min_size=1, max_size=8))
def test_a_daily_source_keeps_its_time_of_day(
    schedule: Schedule, first: dt.datetime, runs: list[tuple[dt.timedelta, dt.timedelta]]
) -> None:
    """Invariants 1 and 3: every slot is at that time of day, unless the day has no such time."""
    zone, due = ZoneInfo(schedule.time_zone), next_due(schedule, None, None, first)
    for late, took in runs:
        end = due + late + took
        due = next_due(schedule, due, end, end)
        local = due.astimezone(zone)
        hour, minute = map(int, str(schedule.daily).split(":"))
        wanted = dt.datetime(local.year, local.month, local.day, hour, minute, tzinfo=zone)
        exists = wanted.astimezone(UTC).astimezone(zone) == wanted and not local.fold
        assert due == wanted.astimezone(UTC) or not exists
        again = wanted.replace(fold=1).astimezone(UTC)
        assert due != again or again == wanted.astimezone(UTC)


@given(schedules, moments, waits, waits)
def test_a_clock_set_back_stops_no_source(
    schedule: Schedule, due: dt.datetime, took: dt.timedelta, back: dt.timedelta
) -> None:
    """Invariant 4: the next run is at most two rhythms away by the new clock."""
    end = due + took
    now = end - back
    assert next_due(schedule, due, end, now) <= now + furthest(schedule)


def test_the_first_run_of_minutes_is_at_once_and_of_a_day_at_its_time() -> None:
    """Nothing was served yet: a daily source waits for the hour that somebody chose."""
    assert next_due(every(15), None, None, START) == START
    night = Schedule(daily="02:30", time_zone="Asia/Shanghai")
    assert next_due(night, None, None, START) == at("2026-03-01T18:30")


def test_slots_that_passed_while_the_source_ran_are_not_made_up_for() -> None:
    """A run of 25 minutes in a rhythm of 10 leaves the third slot, not three runs."""
    end = START + dt.timedelta(minutes=25)
    assert next_due(every(10), START, end, end) == START + dt.timedelta(minutes=30)


@pytest.mark.parametrize(
    ("zone", "served", "slot"),
    [
        # 02:30 is left out on 8 March 2026 in New York: 03:30 summer time, 07:30 UTC
        ("America/New_York", "2026-03-07T07:30", "2026-03-08T07:30"),
        # the day after, it is an hour earlier by UTC
        ("America/New_York", "2026-03-08T07:30", "2026-03-09T06:30"),
        # 02:30 comes twice on 25 October 2026 in Berlin: the first is 00:30 UTC
        ("Europe/Berlin", "2026-10-24T00:30", "2026-10-25T00:30"),
        ("Europe/Berlin", "2026-10-25T00:30", "2026-10-26T01:30"),
        # Samoa left out the whole of 30 December 2011
        ("Pacific/Apia", "2011-12-29T12:30", "2011-12-30T12:30"),
        ("Pacific/Apia", "2011-12-30T12:30", "2011-12-31T12:30"),
    ],
)
def test_days_on_which_clocks_change(zone: str, served: str, slot: str) -> None:
    """Invariant 3: one slot a day, also where a time is left out or comes twice."""
    schedule, end = Schedule(daily="02:30", time_zone=zone), at(served) + dt.timedelta(minutes=5)
    assert next_due(schedule, at(served), end, end) == at(slot)


def test_a_time_that_comes_twice_is_served_once() -> None:
    """Between the first 02:30 and the second one, and after it, the day is done."""
    schedule = Schedule(daily="02:30", time_zone="Europe/Berlin")
    first = at("2026-10-25T00:30")
    for minutes in (1, 59, 61, 600):
        now = first + dt.timedelta(minutes=minutes)
        assert next_due(schedule, first, first, now) == at("2026-10-26T01:30")
