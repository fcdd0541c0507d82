"""Working hours: `policies/shifts.py`."""

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.shifts import DAYS, MOST_SHIFTS, Shift, ShiftRefusedError, on_shift, read_shifts

SHANGHAI, BERLIN = ZoneInfo("Asia/Shanghai"), ZoneInfo("Europe/Berlin")
MINUTES = st.integers(0, 24 * 60 - 1)
WEEKDAYS = st.frozensets(st.integers(0, 6), min_size=1)
MONDAY = dt.datetime(2026, 5, 4)  # noqa: DTZ001 - a wall clock has no zone


def at(day: int, hour: int, minute: int = 0) -> dt.datetime:
    """A wall clock in the week of 4 May 2026, Monday is 0."""
    return MONDAY + dt.timedelta(days=day, hours=hour, minutes=minute)


def text(minute: int) -> str:
    """A time of day as cdp.yaml writes it."""
    return f"{minute // 60:02}:{minute % 60:02}"


@given(WEEKDAYS, MINUTES, MINUTES, st.integers(0, 7 * 24 * 60 - 1))
def test_a_shift_holds_for_its_own_minutes(days, begins, ends, minute) -> None:
    """Invariant 1: as minutes counted one by one from the beginning of each of its days."""
    shift = Shift(days, begins, ends)
    length = (ends - begins) % (24 * 60)
    week = 7 * 24 * 60
    worked = {(day * 24 * 60 + begins + passed) % week for day in days for passed in range(length)}
    assert shift.covers(MONDAY + dt.timedelta(minutes=minute)) == (minute in worked)


def test_a_shift_over_midnight_belongs_to_the_day_it_begins() -> None:
    """Invariant 1: Friday night goes on into Saturday, and there is no Saturday night."""
    (night,) = read_shifts("x", {"days": ["fri"], "from": "22:00", "to": "06:00"})
    covered = [at(4, 22), at(4, 23, 59), at(5, 0), at(5, 5, 59)]
    not_covered = [at(4, 21, 59), at(5, 6), at(5, 22), at(4, 0), at(6, 3)]
    assert [night.covers(one) for one in covered] == [True] * 4
    assert not any(night.covers(one) for one in not_covered)
    (sunday,) = read_shifts("x", {"days": ["sun"], "from": "22:00", "to": "06:00"})
    assert sunday.covers(at(0, 5))


def test_a_whole_day_is_written_to_24() -> None:
    """Invariant 2: equal ends could mean a day or nothing, so they are refused."""
    (whole,) = read_shifts("x", {"days": ["mon"], "from": "00:00", "to": "24:00"})
    assert whole.covers(at(0, 0))
    assert whole.covers(at(0, 23, 59))
    assert not whole.covers(at(1, 0))
    with pytest.raises(ShiftRefusedError, match="24:00"):
        read_shifts("x", {"days": ["mon"], "from": "09:00", "to": "09:00"})
    assert not Shift(frozenset({0}), 540, 540).covers(at(0, 9))


@pytest.mark.parametrize(
    "entry",
    [
        None, [], "mon", {}, [{}],
        {"days": ["mon"], "from": "09:00"},
        {"days": ["mon"], "from": "09:00", "to": "18:00", "zone": "UTC"},
        {"days": [], "from": "09:00", "to": "18:00"},
        {"days": "mon", "from": "09:00", "to": "18:00"},
        {"days": ["mon", "mon"], "from": "09:00", "to": "18:00"},
        {"days": ["monday"], "from": "09:00", "to": "18:00"},
        {"days": [0], "from": "09:00", "to": "18:00"},
        {"days": ["mon"], "from": 540, "to": "18:00"},
        {"days": ["mon"], "from": "9:00", "to": "18:00"},
        {"days": ["mon"], "from": "24:00", "to": "18:00"},
        {"days": ["mon"], "from": "09:00", "to": "18:60"},
        {"days": ["mon"], "from": "０９:00", "to": "18:00"},
        {"days": ["mon"], "from": "09:00\n", "to": "18:00"},
        [{"days": ["mon"], "from": "09:00", "to": "18:00"}] * (MOST_SHIFTS + 1),
    ],
)  # fmt: skip
def test_what_is_garbled_is_refused(entry) -> None:
    """Invariant 2: with a next step, naming whose it is."""
    with pytest.raises(ShiftRefusedError) as caught:
        read_shifts("shift of ada", entry)
    assert "shift of ada" in str(caught.value)
    assert "Next:" in str(caught.value)


def test_a_time_of_day_is_hours_and_minutes() -> None:
    """Invariant 1: a quarter past nine is no quarter to nine; as many shifts as there may be."""
    written = {"days": ["mon", "sun"], "from": "09:15", "to": "18:45"}
    (shift,) = read_shifts("x", written)
    assert shift == Shift(frozenset({0, 6}), 9 * 60 + 15, 18 * 60 + 45)
    assert read_shifts("x", [written] * MOST_SHIFTS) == (shift,) * MOST_SHIFTS


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"also": 1}, "a shift is incomplete.*write days, from and to"),
        ({"days": "mon"}, "days is no list of days.*name of mon, tue"),
        ({"days": ["moon"]}, "unknown day 'moon'.*use mon, tue"),
        ({"from": "9:00"}, r"'9:00' is no time of day.*such as .09:00"),
        ({"to": "09:00"}, "a shift ends when it begins.*00:00.*24:00"),
    ],
)
def test_a_refusal_says_what_is_wrong_and_what_to_write(change, said) -> None:
    """Invariant 2: the part that is wrong, and the form that is right."""
    right = {"days": ["mon"], "from": "09:00", "to": "18:00"}
    with pytest.raises(ShiftRefusedError, match=said) as caught:
        read_shifts("shift of ada", {**right, **change})
    assert "shift of ada" in str(caught.value)
    with pytest.raises(ShiftRefusedError, match=f"no shift, or too many.*write 1 to {MOST_SHIFTS}"):
        read_shifts("shift of ada", [])


@given(st.datetimes())
def test_without_a_shift_nobody_is_on_shift(local) -> None:
    """Invariant 3."""
    assert not on_shift((), local)


@given(WEEKDAYS, MINUTES, MINUTES, st.datetimes(MONDAY, MONDAY + dt.timedelta(days=366)))
def test_the_wall_clock_decides_through_summer_time(days, begins, ends, moment) -> None:
    """Invariant 4: two moments that a clock shows alike are both within it, or neither is."""
    shift = Shift(days, begins, ends)
    local = moment.replace(tzinfo=dt.UTC).astimezone(BERLIN)
    assert shift.covers(local) == shift.covers(local.replace(tzinfo=None, fold=0))
    assert shift.covers(local.replace(fold=0)) == shift.covers(local.replace(fold=1))


def test_a_repeated_hour_is_worked_twice_and_a_skipped_one_never_comes() -> None:
    """Invariant 4: half past two comes twice on 25 October and not on 29 March in Berlin."""
    (shift,) = read_shifts("x", {"days": ["sun"], "from": "02:00", "to": "03:00"})

    def on(day: int, month: int) -> int:
        start = dt.datetime(2026, month, day, tzinfo=dt.UTC) - dt.timedelta(hours=3)
        moments = (start + dt.timedelta(minutes=n) for n in range(9 * 60))
        return sum(shift.covers(one.astimezone(BERLIN)) for one in moments)

    assert (on(25, 10), on(29, 3), on(1, 11)) == (120, 0, 60)


def test_every_day_has_a_word() -> None:
    """Monday is the first, as in Python."""
    assert [DAYS[at(day, 0).weekday()] for day in range(7)] == list(DAYS)
    (shift,) = read_shifts("x", [{"days": ["mon"], "from": text(0), "to": text(1)}])
    now = dt.datetime(2026, 5, 3, 16, 0, 30, tzinfo=dt.UTC)  # Monday in Shanghai already
    assert on_shift((shift,), now.astimezone(SHANGHAI))
