"""When failures keep a sign-in from being tried."""

import datetime as dt
from ipaddress import IPv6Address

import pytest
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
        assert more == min(2 * wait, LONGEST_WAIT)
        assert not lockout.is_locked(Failures(failures, NOW), kind, NOW + LONGEST_WAIT)


@pytest.mark.parametrize("kind", [PERSON, ADDRESS])
@pytest.mark.parametrize(
    ("over", "seconds"),
    [(-1, 0), (0, 1), (1, 2), (2, 4), (9, 512), (10, 900), (12, 900), (13, 900), (10**9, 900)],
)
def test_the_first_wait_is_a_second(kind, over: int, seconds: int) -> None:
    """Lock-out 1: of the last failure that is free, and double of each one more."""
    assert lockout.wait(kind.free + over, kind).total_seconds() == seconds


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


@given(terms, st.integers(0, 100), spans)
def test_a_failure_in_the_future_counts_as_now(kind, failures: int, ahead) -> None:
    """Lock-out 4: a clock that was set forward for a moment keeps nobody out for days."""
    bucket = lockout.as_of(Failures(failures, NOW + ahead), NOW)
    assert bucket == Failures(failures, NOW)
    assert not lockout.is_locked(bucket, kind, NOW + LONGEST_WAIT)
    assert lockout.as_of(Failures(failures, NOW - ahead), NOW) == Failures(failures, NOW - ahead)


@given(st.integers(2, 2**64 - 1), st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_ipv6_is_counted_by_the_network_of_a_customer(network: int, one: int, other: int) -> None:
    """Lock-out 5: whatever address of theirs somebody takes, it is one; a neighbour is another."""
    first, second = (str(IPv6Address(network << 64 | host)) for host in (one, other))
    assert lockout.counted_as(first) == lockout.counted_as(second)
    neighbour = str(IPv6Address((network ^ 1) << 64 | one))
    assert lockout.counted_as(first) != lockout.counted_as(neighbour)


def test_other_addresses_are_counted_as_they_are() -> None:
    """Lock-out 5: of IPv4 each one, also where a socket says it as IPv6; a zone changes nothing."""
    assert lockout.counted_as("192.0.2.7") == "192.0.2.7"
    assert lockout.counted_as("::ffff:192.0.2.7") == "192.0.2.7"
    assert lockout.counted_as("2001:db8::1%eth0") == "2001:db8::/64"
    for odd in ("", "testclient", "2001:db8::zz"):
        assert lockout.counted_as(odd) == odd
