"""When a source is to be synced, as ``cdp.yaml`` writes it: ``schedule:``."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from zoneinfo import ZoneInfo

from connectors.errors import DeclarationError

TIME_LIMIT: Final = 120
"""Minutes that one run may take where nothing is declared. What it committed by then stays, and
the next run goes on from there."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Every so many minutes, or once a day.

    Attributes:
        minutes: between two syncs; None where it is once a day.
        daily: HH:MM in ``time_zone``; None where it is by minutes.
        time_zone: an IANA name.
        time_limit: minutes that one run may take.
    """

    minutes: int | None = None
    daily: str | None = None
    time_zone: str = "UTC"
    time_limit: int = TIME_LIMIT


def parse_schedule(source: str, raw: Mapping[str, Any] | None) -> Schedule | None:
    """Read ``schedule:`` of a source, whose form the schema has checked.

    Raises:
        DeclarationError: naming the rule.
    """
    if raw is None:
        return None
    if ("minutes" in raw) == ("daily" in raw):
        step = "Write either minutes or daily."
        raise DeclarationError(source, "one_rhythm", step, field="schedule")
    if "time_zone" in raw and "daily" not in raw:
        step = "Remove time_zone: only daily has one."
        raise DeclarationError(source, "option_not_used", step, field="schedule.time_zone")
    try:
        zone = ZoneInfo(raw.get("time_zone", "UTC")).key
    except (ValueError, OSError, KeyError):
        step = "Write an IANA name, such as Asia/Shanghai."
        raise DeclarationError(
            source, "no_such_time_zone", step, field="schedule.time_zone"
        ) from None
    limit = raw.get("time_limit", TIME_LIMIT)
    return Schedule(raw.get("minutes"), raw.get("daily"), zone, limit)
