"""When failures keep a sign-in from being tried. Pure.

Failures are counted in buckets: of an account, of a device from which the account was signed
in to before, and of an address. A device that is known is judged by its own bucket alone, so
that nobody far away keeps a person from their own till (after OWASP's device cookies).

Invariants, each named by a test in ``tests/unit/access/test_lockout.py``:

1. A few failures cost nothing; each one more doubles the wait, up to fifteen minutes, and never
   for good.
2. What is tried during a wait is not counted, so it lengthens nothing.
3. After a day (an address: an hour) without a failure all is forgotten.
4. A last failure that lies in the future, by a clock that was set forward, counts as now.
5. Addresses of IPv6 are counted by the network of one customer, for each has 2^64 of them.
"""

import datetime as dt
import ipaddress
from typing import Final, NamedTuple


class Terms(NamedTuple):
    """How patient a bucket is."""

    free: int  # failures without a wait
    forgotten_after: dt.timedelta


PERSON: Final = Terms(5, dt.timedelta(days=1))  # an account, or a device of it
ADDRESS: Final = Terms(50, dt.timedelta(hours=1))  # a whole shop may be behind one
LONGEST_WAIT: Final = dt.timedelta(minutes=15)
_FIRST_WAIT: Final = dt.timedelta(seconds=1)


class Failures(NamedTuple):
    """What a bucket holds."""

    failures: int
    last: dt.datetime


def counted_as(address: str) -> str:
    """Return what an address is counted as: of IPv6 its /64 (RFC 6177), of IPv4 itself."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    return str(found.ipv4_mapped or ipaddress.IPv6Network((int(found), 64), strict=False))


def as_of(bucket: Failures, now: dt.datetime) -> Failures:
    """Return the bucket as it can be at ``now``: nothing failed later than that."""
    return Failures(bucket.failures, min(bucket.last, now))


def remembered(bucket: Failures, terms: Terms, now: dt.datetime) -> int:
    """Return how many failures still count."""
    return 0 if now - bucket.last >= terms.forgotten_after else bucket.failures


def wait(failures: int, terms: Terms) -> dt.timedelta:
    """Return how long nothing may be tried after that many failures."""
    over = failures - terms.free
    if over < 0:
        return dt.timedelta(0)
    return min(LONGEST_WAIT, _FIRST_WAIT * (1 << min(over, 12)))


def is_locked(bucket: Failures, terms: Terms, now: dt.datetime) -> bool:
    """Say whether a bucket keeps a sign-in from being tried now."""
    failures = remembered(bucket, terms, now)
    return failures >= terms.free and now - bucket.last < wait(failures, terms)


def counted(bucket: Failures, terms: Terms, now: dt.datetime) -> Failures:
    """Return the bucket with one failure more, now."""
    return Failures(remembered(bucket, terms, now) + 1, now)
