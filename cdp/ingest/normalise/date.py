"""Dates of birth and other days, from the shapes that tills and spreadsheets write.

Invariants:

1. A day that the calendar does not have is a problem, never the nearest day.
2. A format that the source declares is tried before any guess; day and month in either order
   (03/02/1985) are never guessed.
3. A form's preset birthday is flagged: it must never join two records.
"""

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from cdp.ingest.normalise.result import Canonical, Problem
from cdp.ingest.normalise.text import tidy

LIMIT = 64  # characters
EXCEL = "excel"
"""The declared format of a spreadsheet serial number (days of the 1900 date system)."""

OLDEST = 120  # years; the longest documented human life is 122

_SHAPE = Problem("unknown_shape", "declare the date format of the column under `formats`")
_INCOMPLETE = Problem("incomplete", "write year, month and day")
_IMPOSSIBLE = Problem("impossible_date", "correct the date at the source: no calendar has that day")
_FUTURE = Problem("future_date", "correct the date at the source: it has not come yet")
_OLD = Problem("too_old", "correct the year at the source")
_ZERO = Problem("empty", "nothing to do: the database's zero date stands for no value")

# What forms, spreadsheets and databases fill in by themselves: the Unix epoch, Excel's day 0
# and 1, SQL Server's first days, and the first of January of round years.
DEFAULT_DAYS = frozenset(
    {
        (1, 1, 1), (1753, 1, 1), (1899, 12, 30), (1899, 12, 31), (1900, 1, 1), (1901, 1, 1),
        (1911, 11, 11), (1970, 1, 1), (1980, 1, 1), (1990, 1, 1), (2000, 1, 1), (9999, 12, 31),
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True, repr=False)
class BirthDate(Canonical):
    """A date of birth. `default` marks a preset that nobody chose."""

    year: int
    month: int
    day: int
    default: bool

    @property
    def canonical(self) -> str:
        """ISO 8601, `YYYY-MM-DD`."""
        return f"{self.year:04}-{self.month:02}-{self.day:02}"


@dataclass(frozen=True, slots=True, repr=False)
class Day(Canonical):
    """A calendar day of an attribute, such as the last purchase."""

    date: dt.date

    @property
    def canonical(self) -> str:
        """ISO 8601, `YYYY-MM-DD`."""
        return self.date.isoformat()


_TIME = r"(?:[T ]?[0-9]{1,2}[:时][0-9]{2}.{0,24})?"  # any clock and zone; cut off
_FULL = re.compile(
    r"([0-9]{4}) ?[-/.年 ] ?([0-9]{1,2}) ?[-/.月 ] ?([0-9]{1,2}) ?[日号]?(?: ?星期.)?" + _TIME
)
_SHORT = re.compile(r"([0-9]{2})[-/.年]([0-9]{1,2})[-/.月]([0-9]{1,2})[日号]?")
_COMPACT = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})(?:\.0|[0-9]{6}|[T ][0-9:]{4,8})?")
_PART = re.compile(r"[0-9]{4}[-/.年]?|[0-9]{4}[-/.年][0-9]{1,2}月?|[0-9]{1,2}[-/.月][0-9]{1,2}日?")
_SERIAL = re.compile(r"([0-9]{1,7})(?:\.[0-9]{1,12})?")


def normalise_birth_date(
    text: str, *, today: dt.date, formats: Sequence[str] = (), oldest: int = OLDEST
) -> BirthDate | Problem:
    """Return the date of birth in `text`.

    `formats` are strptime patterns, or `excel`, tried in order before the usual shapes. A
    two-digit year is the latest one that does not lie after `today`. A time of day is cut
    off as written: no time zone is applied. Problems: `empty`, `too_long`, `unreadable`,
    `unknown_shape`, `incomplete`, `impossible_date`, `future_date`, `too_old` (more than
    `oldest` years ago).
    """
    day = _read(text, today, formats)
    if isinstance(day, Problem):
        return day
    default = (day.year, day.month, day.day) in DEFAULT_DAYS
    if not default and day > today:
        return _FUTURE
    if not default and day.year < today.year - oldest:
        return _OLD
    return BirthDate(day.year, day.month, day.day, default)


def normalise_day(text: str, *, today: dt.date, formats: Sequence[str] = ()) -> Day | Problem:
    """Return the calendar day in `text`, past or future.

    Reads what `normalise_birth_date` reads; `today` only settles two-digit years, which may
    lie up to 20 years ahead.
    """
    day = _read(text, dt.date(min(today.year + 20, dt.MAXYEAR), 12, 31), formats)
    return day if isinstance(day, Problem) else Day(day)


def _read(text: str, latest: dt.date, formats: Sequence[str]) -> dt.date | Problem:
    plain = tidy(text, LIMIT)
    if isinstance(plain, Problem):
        return plain
    for pattern in formats:
        day = _by_format(plain, pattern, latest)
        if day is not None:
            return day
    return _by_shape(plain, latest)


# strptime is slow, and a column of birthdays holds few different days.
@lru_cache(maxsize=65_536)
def _by_format(text: str, pattern: str, latest: dt.date) -> dt.date | None:
    if pattern == EXCEL:
        return _from_serial(text)
    try:
        day = dt.datetime.strptime(text, pattern).date()  # noqa: DTZ007 - a day has no zone
        if "%y" in pattern and day > latest:
            day = day.replace(year=day.year - 100)
    except (ValueError, re.error):  # the latter: a pattern that names a part twice
        return None
    return day


def _from_serial(text: str) -> dt.date | None:
    """Day 1 is 1900-01-01; Excel counts a 29 February 1900 (day 60) that never was."""
    found = _SERIAL.fullmatch(text)
    if found is None:
        return None
    serial = int(found[1])
    if not 1 <= serial <= 2_958_465 or serial == 60:  # the upper end is 9999-12-31
        return None
    return dt.date(1899, 12, 31 if serial < 60 else 30) + dt.timedelta(days=serial)


def _by_shape(text: str, latest: dt.date) -> dt.date | Problem:
    found = _FULL.fullmatch(text) or _COMPACT.fullmatch(text)
    if found is not None:
        year, month, day = int(found[1]), int(found[2]), int(found[3])
        if year == month == day == 0:
            return _ZERO
        return _calendar(year, month, day)
    found = _SHORT.fullmatch(text)
    if found is None:
        return _INCOMPLETE if _PART.fullmatch(text) else _SHAPE
    year = latest.year - latest.year % 100 + int(found[1])
    this = _calendar(year, int(found[2]), int(found[3]))
    if year > latest.year or (isinstance(this, dt.date) and this > latest):
        this = _calendar(year - 100, int(found[2]), int(found[3]))
    return this


def _calendar(year: int, month: int, day: int) -> dt.date | Problem:
    try:
        return dt.date(year, month, day)
    except ValueError:
        return _IMPOSSIBLE
