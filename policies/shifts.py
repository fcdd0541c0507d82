"""The hours that somebody works, as the wall clock of their store shows them. Pure.

Guarantees:

1. A shift holds from its first minute, included, to its last, excluded. One that ends earlier
   than it begins goes over midnight and belongs to the day on which it begins.
2. What is garbled, ambiguous or empty is refused: a shift of equal ends, a day twice, an hour
   without quotes, which YAML reads as a number.
3. Whoever has no shift is never on shift.
4. The wall clock decides: an hour that clocks repeat is worked twice, one that they skip never
   comes.
"""

import datetime as dt
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from policies.errors import PoliciesError, quoted

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_KEYS: Final = frozenset({"days", "from", "to"})
_CLOCK: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])", re.ASCII)
_MIDNIGHT: Final = 24 * 60
MOST_SHIFTS: Final = 14


class ShiftRefusedError(PoliciesError):
    """A shift cannot be read."""


@dataclass(frozen=True, slots=True)
class Shift:
    """The same hours on some days of the week.

    Attributes:
        days: on which it begins, Monday is 0.
        begins, ends: minutes since midnight; the whole day ends at 1440.
    """

    days: frozenset[int]
    begins: int
    ends: int

    def covers(self, local: dt.datetime) -> bool:
        """Say whether the wall clock ``local`` is within the shift."""
        minute, today = local.hour * 60 + local.minute, local.weekday()
        if self.begins < self.ends:
            return today in self.days and self.begins <= minute < self.ends
        if self.begins == self.ends:
            return False
        began_today = today in self.days and minute >= self.begins
        return began_today or ((today - 1) % 7 in self.days and minute < self.ends)


def on_shift(shifts: Iterable[Shift], local: dt.datetime) -> bool:
    """Say whether one of the shifts covers the wall clock ``local``."""
    return any(one.covers(local) for one in shifts)


def read_shifts(source: str, entry: object) -> tuple[Shift, ...]:
    """Read one shift, or a list of them, of cdp.yaml.

    Args:
        source: who it is of, for the error.
        entry: ``{days: [mon, tue], from: "09:00", to: "18:00"}``, or a list of such.

    Raises:
        ShiftRefusedError: what is written cannot be a shift.
    """
    entries = entry if isinstance(entry, list) else [entry]
    if not 0 < len(entries) <= MOST_SHIFTS:
        raise ShiftRefusedError(source, "no shift, or too many", f"write 1 to {MOST_SHIFTS}")
    return tuple(_read_shift(source, one) for one in entries)


def _read_shift(source: str, entry: object) -> Shift:
    if not isinstance(entry, Mapping) or set(entry) != _KEYS:
        raise ShiftRefusedError(source, "a shift is incomplete", "write days, from and to")
    days = entry["days"]
    if not isinstance(days, list) or not days or len(set(map(str, days))) != len(days):
        raise ShiftRefusedError(source, "days is no list of days", f"name of {', '.join(DAYS)}")
    for day in days:
        if day not in DAYS:
            step = f"use {', '.join(DAYS)}"
            raise ShiftRefusedError(source, f"unknown day {quoted(day)}", step)
    begins, ends = _minutes(source, entry["from"]), _minutes(source, entry["to"], last=True)
    if begins == ends:
        step = 'for a whole day write from "00:00" to "24:00"'
        raise ShiftRefusedError(source, "a shift ends when it begins", step)
    return Shift(frozenset(DAYS.index(day) for day in days), begins, ends)


def _minutes(source: str, text: object, *, last: bool = False) -> int:
    if last and text == "24:00":
        return _MIDNIGHT
    found = _CLOCK.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise ShiftRefusedError(
            source, f"{quoted(text)} is no time of day", 'write it in quotes, such as "09:00"'
        )
    return int(found[1]) * 60 + int(found[2])
