"""How much one sender may send: `cdp/resolution/rates.py`."""

from hypothesis import given
from hypothesis import strategies as st

from cdp.resolution.rates import Bucket


def test_a_bucket_fills_with_time():
    """As many as a second brings, at once; then those that time brings."""
    bucket = Bucket(100)
    assert bucket.wait(100, 0.0) == 0
    assert bucket.wait(1, 0.0) == 1
    assert bucket.wait(50, 0.5) == 0
    assert bucket.wait(1, 0.5) == 1


def test_a_large_batch_is_taken_and_paid_for():
    """It is never refused for ever, and those after it wait for as long as it was too large."""
    bucket = Bucket(100)
    assert bucket.wait(1000, 0.0) == 0
    wait = bucket.wait(1, 0.0)
    assert wait == 9
    assert bucket.wait(1, wait) == 1
    assert bucket.wait(1, wait + 1.0) == 0


def test_a_clock_set_back_gives_nothing():
    """Nor does it take what there is."""
    bucket = Bucket(10)
    assert bucket.wait(10, 100.0) == 0
    assert bucket.wait(1, 50.0) == 1
    assert bucket.wait(1, 100.5) == 0


@given(st.integers(1, 50), st.lists(st.tuples(st.integers(1, 20), st.floats(0, 2)), max_size=40))
def test_no_more_than_the_rate_over_time(rate, requests):
    """What was taken, the last request left out, fits into what time brought."""
    bucket, at, taken, last = Bucket(rate), 0.0, 0, 0
    for count, passed in requests:
        at += passed
        if bucket.wait(count, at) == 0:
            taken, last = taken + count, count
    assert taken - last <= rate * (at + 1) + 1e-6


@given(st.integers(1, 50), st.integers(1, 500))
def test_who_waits_as_told_gets_on(rate, count):
    """After the seconds that were named there is something, or a second later."""
    bucket = Bucket(rate)
    bucket.wait(count, 0.0)
    seconds = bucket.wait(1, 0.0)
    assert seconds == 0 or bucket.wait(1, seconds + 1.0) == 0
