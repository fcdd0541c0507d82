"""When to try again."""

from hypothesis import given
from hypothesis import strategies as st

from cdp.audit.event import screen
from cdp.publish.retry import Pace, wait
from cdp.publish.table import in_words

PACE = Pace(base=1.0, cap=8.0)


def test_waiting_doubles_up_to_a_limit():
    """With the longest draw the waits are 1, 2, 4, 8, 8 seconds; with the shortest, half."""
    longest = [wait(PACE, attempt, None, 1.0) for attempt in range(1, 6)]
    assert longest == [1.0, 2.0, 4.0, 8.0, 8.0]
    assert [wait(PACE, attempt, None, 0.0) for attempt in range(1, 6)] == [
        one / 2 for one in longest
    ]


@given(
    attempt=st.integers(1, 10_000),
    asked=st.none() | st.floats(0, 1e5),
    drawn=st.floats(0, 1, exclude_max=True),
)
def test_a_receiver_is_never_asked_earlier_than_it_said(attempt, asked, drawn):
    """Retry-After is a lower bound, and without it the limit is an upper one."""
    seconds = wait(PACE, attempt, asked, drawn)
    assert seconds >= (asked or PACE.base / 2)
    assert seconds <= max(PACE.cap, asked or 0)


@given(st.integers(0, 10**9))
def test_a_count_never_looks_like_a_phone_number(count):
    """The log refuses long runs of digits; a number of people is written so that it has none."""
    screen(in_words(count))
