"""When failures keep a sign-in from being tried."""

import datetime as dt

from hypothesis import given
from hypothesis import strategies as st

from cdp.access import lockout
from cdp.access.lockout import ADDRESS, LONGEST_WAIT, PERSON, Failures

NOW = dt.datetime(2026, 5, 4, 9, 30, tzinfo=dt.UTC)
terms = st.sampled_from([PERSON, ADDRESS])
spans = st.timedeltas(dt.timedelta(0), dt.timedelta(days=3))


@given(terms, st.integers(0, 10**6))
def test_each_failure_doubles_the_wait_up_to_a_quarter_of_an_hour(kind, failures: int) -> None:
    """Lock-out 1: the first few cost nothing, then one more doubles, and it never is for good."""
    wait, more = lockout.wait(failures, kind), lockout.wait(failures + 1, kind)
    assert dt.timedelta(0) <= wait <= LONGEST_WAIT
    if failures < kind.free:
        assert wait == dt.timedelta(0)
    else:
        assert more in {2 * wait, LONGEST_WAIT}
        assert not lockout.is_locked(Failures(failures, NOW), kind, NOW + LONGEST_WAIT)


@given(terms, st.integers(0, 100), spans)
def test_a_bucket_is_locked_exactly_while_its_wait_lasts(kind, failures: int, later) -> None:
    """Lock-out 1: locked from the failure until the wait is over."""
    locked = lockout.is_locked(Failures(failures, NOW), kind, NOW + later)
    assert locked == (failures >= kind.free and later < lockout.wait(failures, kind))


@given(terms, st.lists(st.timedeltas(dt.timedelta(0), dt.timedelta(minutes=30)), max_size=60))
def test_what_is_tried_during_a_wait_lengthens_nothing(kind, gaps) -> None:
    """Lock-out 2: somebody who never stops trying keeps nobody out for longer than one wait."""
    bucket, now = Failures(0, NOW), NOW
    for gap in gaps:
        now += gap
        if lockout.is_locked(bucket, kind, now):
            assert now - bucket.last < LONGEST_WAIT
        else:
            bucket = lockout.counted(bucket, kind, now)
    assert not lockout.is_locked(bucket, kind, bucket.last + LONGEST_WAIT)


@given(terms, st.integers(0, 10**6))
def test_all_is_forgotten_in_time(kind, failures: int) -> None:
    """Lock-out 3: after a day, of an address after an hour, the next failure is the first."""
    later = NOW + kind.forgotten_after
    assert lockout.counted(Failures(failures, NOW), kind, later).failures == 1
    sooner = later - dt.timedelta(seconds=1)
    assert lockout.counted(Failures(failures, NOW), kind, sooner).failures == failures + 1
