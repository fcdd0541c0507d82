"""When a source is due next. Pure: the time is an argument.

Invariants, each named by a test in ``tests/unit/running/test_due.py``:

1. Slots do not drift: however late a run begins and however long it takes, a source of every
   15 minutes keeps its quarter hours, and a daily one its time of day.
2. Slots that passed while nothing ran, or while the source itself ran, are made up for by one
   run at most.
3. A day has one slot: a time that daylight saving leaves out is as much later as the clock was
   put forward, and of a time that comes twice the first counts.
4. A clock that was set back does not stop a source: it waits for two rhythms at most.
"""

import datetime as dt
from typing import Final
from zoneinfo import ZoneInfo

from connectors.schedule import Schedule

DAY: Final = dt.timedelta(days=1)


def next_due(
    schedule: Schedule,
    last_due: dt.datetime | None,
    last_end: dt.datetime | None,
    now: dt.datetime,
) -> dt.datetime:
    """Say when a source is due; what is not after ``now`` is due at once.

    Args:
        schedule: of the source.
        last_due: the slot that was served last; None: none was.
        last_end: when the last run ended; None: there was none.
        now: the time.

    All times have a time zone; so has the answer, in UTC.
    """
    if last_due is None:
        return now.astimezone(dt.UTC) if schedule.minutes else _after(schedule, now, now)
    anchor = last_due.astimezone(dt.UTC)
    if anchor - now >= rhythm(schedule):
        return _after(schedule, anchor, now)  # the clock was set back beyond that slot
    ended = min(last_end, now) if last_end is not None else anchor
    served = max(anchor, ended)
    latest = _until(schedule, anchor, now)
    return latest if latest > served else _after(schedule, anchor, served)


def rhythm(schedule: Schedule) -> dt.timedelta:
    """About how long it is from one slot to the next."""
    return dt.timedelta(minutes=schedule.minutes) if schedule.minutes else DAY


def furthest(schedule: Schedule) -> dt.timedelta:
    """How far ahead `next_due` can lie; what lies further was found by another clock."""
    step = rhythm(schedule)
    return 2 * step if schedule.minutes else 2 * step + dt.timedelta(hours=2)


def _until(schedule: Schedule, anchor: dt.datetime, moment: dt.datetime) -> dt.datetime:
    """The newest slot that is not after a moment."""
    if schedule.minutes:
        step = rhythm(schedule)
        return anchor + (moment - anchor) // step * step
    return max(slot for slot in _days(schedule, moment) if slot <= moment)


def _after(schedule: Schedule, anchor: dt.datetime, moment: dt.datetime) -> dt.datetime:
    """The first slot after a moment."""
    if schedule.minutes:
        return _until(schedule, anchor, moment) + rhythm(schedule)
    return min(slot for slot in _days(schedule, moment) if slot > moment)


def _days(schedule: Schedule, moment: dt.datetime) -> list[dt.datetime]:
    """The slots of the days around a moment, in UTC.

    A zone may leave a day out (Samoa, 30 December 2011): two are looked at on each side.
    """
    zone = ZoneInfo(schedule.time_zone)
    hour, minute = map(int, str(schedule.daily).split(":"))
    today = moment.astimezone(zone).date()
    # fold=0 is the first of two; of a time that is left out it counts on from before the change
    at = dt.time(hour, minute, fold=0)
    days = (today + DAY * offset for offset in range(-2, 3))
    return [dt.datetime.combine(day, at, zone).astimezone(dt.UTC) for day in days]
