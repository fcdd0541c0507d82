"""How much one subject may reveal: `policies/reveal_limits.py`."""

import dataclasses
import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.reveal_limits import (
    HOUR,
    LimitsRefusedError,
    RevealLimits,
    Shown,
    next_possible,
    read_limits,
)

NOW = dt.datetime(2026, 5, 4, 9, 30, tzinfo=dt.UTC)
TIMES = st.integers(-7200, 7200).map(lambda seconds: NOW + dt.timedelta(seconds=seconds))
SHOWN = st.builds(Shown, TIMES, st.sampled_from("abcd"), st.booleans())
LIMITS = st.builds(
    RevealLimits, per_hour=st.integers(1, 6), people_per_hour=st.integers(1, 3),
    sensitive_per_hour=st.integers(1, 3),
)  # fmt: skip


def fits(past, person, sensitive, limits, at) -> bool:
    """The limits, said plainly: with this one, no count of the last hour is passed."""
    hour = [one for one in past if one.at > at - HOUR]
    return (
        len(hour) < limits.per_hour
        and len({one.person for one in hour} | {person})
        <= max(limits.people_per_hour, len({one.person for one in hour}))
        and (not sensitive or sum(one.sensitive for one in hour) < limits.sensitive_per_hour)
    )


@given(st.lists(SHOWN, max_size=8), st.sampled_from("abcde"), st.booleans(), LIMITS)
def test_it_is_possible_when_no_count_is_passed(past, person, sensitive, limits) -> None:
    """Invariant 2: the answer is the plain counting, now and at the time it names."""
    then = next_possible(past, person, limits, NOW, sensitive=sensitive)
    assert (then is None) == fits(past, person, sensitive, limits, NOW)
    if then is not None:
        assert then > NOW
        assert not fits(past, person, sensitive, limits, then - dt.timedelta(microseconds=1))
        assert fits(past, person, sensitive, limits, then)


@given(st.lists(SHOWN, max_size=8), LIMITS)
def test_the_answer_depends_on_what_was_shown_alone(past, limits) -> None:
    """Invariant 3: two people of whom nothing was shown are one to it, whatever the order."""
    first = next_possible(past, "x", limits, NOW, sensitive=False)
    assert first == next_possible(past[::-1], "y", limits, NOW, sensitive=False)


def test_a_time_that_has_not_come_counts() -> None:
    """Invariant 2: setting a clock back gives nothing."""
    limits = RevealLimits(per_hour=1, people_per_hour=1, sensitive_per_hour=1)
    past = [Shown(NOW + dt.timedelta(hours=5), "a", sensitive=False)]
    assert next_possible(past, "a", limits, NOW, sensitive=False) == NOW + dt.timedelta(hours=6)


def test_an_hour_ends_to_the_moment() -> None:
    """Invariant 2: exactly an hour later the first is forgotten."""
    limits = RevealLimits(per_hour=1, people_per_hour=1, sensitive_per_hour=1)
    past = [Shown(NOW - HOUR, "a", sensitive=True)]
    assert next_possible(past, "b", limits, NOW, sensitive=True) is None
    nearly = [Shown(NOW - HOUR + dt.timedelta(microseconds=1), "a", sensitive=True)]
    assert next_possible(nearly, "b", limits, NOW, sensitive=True) is not None


def test_what_is_left_out_has_its_default() -> None:
    """The defaults are those of the documents."""
    assert read_limits({}) == RevealLimits(20, 10, 3, 60, 15)
    assert read_limits({"per_hour": 30}).per_hour == 30


def test_the_bounds_themselves_are_taken() -> None:
    """Invariant 1: the least and the most of each, and all people as often as all fields."""
    least = RevealLimits(1, 1, 1, 10, 1)
    most = RevealLimits(1000, 1000, 100, 600, 24 * 60)
    for limits in (least, most):
        assert read_limits(dataclasses.asdict(limits)) == limits


@pytest.mark.parametrize(
    "section",
    [
        {"per_day": 3}, {1: 3}, {"per_hour": 0}, {"per_hour": 1001}, {"per_hour": "20"},
        {"per_hour": True}, {"per_hour": 20.0}, {"per_hour": None}, {"shown_seconds": 9},
        {"shown_seconds": 601}, {"granted_minutes": 0}, {"granted_minutes": 1441},
        {"per_hour": 5, "people_per_hour": 6}, {"per_hour": 1}, {"sensitive_per_hour": 101},
    ],
)  # fmt: skip
def test_what_is_beyond_its_bounds_is_refused(section) -> None:
    """Invariant 1: with the bounds in the next step."""
    with pytest.raises(LimitsRefusedError, match="Next"):
        read_limits(section)
