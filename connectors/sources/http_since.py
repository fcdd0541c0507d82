"""The cursor of an HTTP API: read from rows, kept as one number, and sent back. Pure.

A time is kept as microseconds since 1970; one without a zone, where the API never names one, as
if it were UTC: it is sent back the way it came. A number is kept as it is.

Invariants, each named by a test in ``tests/unit/connectors/test_http_source_since.py``:

1. What is sent is never later than what was read: rounding goes down.
2. A time whose zone cannot be known is no cursor: it would leave out hours.
3. A time that lies ahead of the clock is not believed.
"""

import datetime as dt
import re
from decimal import Decimal
from typing import Final
from zoneinfo import ZoneInfo

from connectors.http_declaration import SinceSpec

SECOND: Final = 1_000_000  # microseconds
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_DIGITS: Final = re.compile(r"-?[0-9]{1,17}(?:\.[0-9]{1,9})?")
_UNITS: Final = {"epoch_s": SECOND, "epoch_ms": 1000}
_NAIVE: Final = frozenset({"plain", "date"})
_EAST: Final = 14 * 3600 * SECOND  # no zone is further ahead of UTC
_FURTHEST: Final = 253_402_300_799 * SECOND  # the end of the year 9999
# A day of the year 1 that is written in every zone: some systems say 0001-01-01 for never.
_EARLIEST: Final = -62_135_424_000 * SECOND


class Cursor:
    """Reads and writes the cursor of one declaration."""

    def __init__(self, spec: SinceSpec, overlap: int) -> None:
        """Take ``overlap`` in seconds of a time, or units of a number; at least one."""
        self._spec = spec
        self.is_time = spec.format != "number"
        # Some APIs leave out the moment itself.
        self._overlap = max(overlap, 1) * (SECOND if self.is_time else 1)
        self._zone = ZoneInfo(spec.time_zone) if spec.time_zone else None

    def read(self, text: str) -> int | None:
        """The cursor that a cell holds; None: it holds none that can be sent back."""
        text = text.strip()
        digits = _DIGITS.fullmatch(text)
        if self._spec.format == "number":
            return int(text) if digits and "." not in text else None
        if digits:
            unit = _UNITS.get(self._spec.format)
            found = None if unit is None else int(Decimal(text) * unit)
            return found if found is not None and abs(found) <= _FURTHEST else None
        return self._time(text)

    def _time(self, text: str) -> int | None:
        try:
            time = dt.datetime.fromisoformat(text)
        except ValueError:
            return None
        if time.tzinfo is None:
            if self._zone is None and self._spec.format not in _NAIVE:
                return None
            time = time.replace(tzinfo=self._zone or dt.UTC)
        elif self._zone is None and self._spec.format in _NAIVE:
            return None
        return (time - _EPOCH) // dt.timedelta(microseconds=1)

    def named(self, text: str) -> int | None:
        """The cursor that a person wrote, as ``read``; a time without a zone is in UTC."""
        found = self.read(text)
        if found is not None or not self.is_time or self._spec.format in _NAIVE:
            return found
        try:
            time = dt.datetime.fromisoformat(text.strip())
        except ValueError:
            return None
        return self._time(time.replace(tzinfo=dt.UTC).isoformat())

    def least(self, cursor: int) -> int:
        """From where on rows are asked for."""
        least = cursor - self._overlap
        return max(least, _EARLIEST) if self.is_time else least

    def present(self, wall: float) -> int:
        """The cursor of a moment, in seconds since 1970; in the east, where no zone is known."""
        nowhere = self._zone is None and self._spec.format in _NAIVE
        return int(wall) * SECOND + (_EAST if nowhere else 0)

    def floor(self, cursor: int) -> int:
        """The least cursor that rows of an answer may have; a day less where days are sent."""
        day = 86_400 * SECOND if self._spec.format == "date" else 0
        return cursor - self._overlap - day - (SECOND if self.is_time else 0)

    def sent(self, cursor: int | None) -> str | None:
        """What is sent to ask for everything from a cursor on; None: nothing is."""
        if cursor is None:
            return self._spec.first
        least = self.least(cursor)
        if not self.is_time:
            return str(least)
        unit = _UNITS.get(self._spec.format)
        if unit is not None:
            return str(least // unit)
        return self._written(least)

    def _written(self, least: int) -> str:
        time = _EPOCH + dt.timedelta(seconds=least // SECOND)
        if self._spec.format == "iso":
            return time.replace(tzinfo=None).isoformat() + "Z"
        local = time.astimezone(self._zone) if self._zone else time
        if self._spec.format == "date":
            return local.date().isoformat()
        return local.replace(tzinfo=None).isoformat(" ")

    def moment(self, cursor: int | None) -> dt.datetime | None:
        """The time that a cursor is; None: it is none, or its zone is not known."""
        nowhere = self._zone is None and self._spec.format in _NAIVE
        if cursor is None or not self.is_time or nowhere or cursor < _EARLIEST:
            return None
        return _EPOCH + dt.timedelta(microseconds=cursor)
