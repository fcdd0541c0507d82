"""How much one subject may reveal: a declaration with bounds, and the judgement. Pure.

Guarantees:

1. No declared limit is beyond its bounds, and a key that is not known is refused.
2. Within any hour nobody reveals more fields, more people or more sensitive fields than
   declared. A reveal that bears a later time than now, for a clock was set back, counts.
3. A refusal says when the same would be possible, and that depends on nothing but what the
   subject was shown before.
"""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Final, NamedTuple

from policies.errors import PoliciesError, quoted

HOUR: Final = dt.timedelta(hours=1)
_SOURCE: Final = "reveals"
_BOUNDS: Final[Mapping[str, tuple[int, int]]] = MappingProxyType(
    {
        "per_hour": (1, 1000),
        "people_per_hour": (1, 1000),
        "sensitive_per_hour": (1, 100),
        "shown_seconds": (10, 600),
        "granted_minutes": (1, 24 * 60),
    }
)


class LimitsRefusedError(PoliciesError):
    """The limits of reveals cannot be used."""


@dataclass(frozen=True, slots=True)
class RevealLimits:
    """The section ``reveals`` of cdp.yaml.

    Attributes:
        per_hour: fields that one subject reveals within an hour.
        people_per_hour: people whose fields these are.
        sensitive_per_hour: how many of the fields may be of the sensitive tier.
        shown_seconds: how long a revealed value may be looked at.
        granted_minutes: how long an approved request may be used.
    """

    per_hour: int = 20
    people_per_hour: int = 10
    sensitive_per_hour: int = 3
    shown_seconds: int = 60
    granted_minutes: int = 15


class Shown(NamedTuple):
    """One reveal of the last hour."""

    at: dt.datetime
    person: str
    sensitive: bool


def read_limits(section: Mapping[object, object]) -> RevealLimits:
    """Check the section ``reveals``; what it leaves out has its default.

    Raises:
        LimitsRefusedError: an unknown key, or a number beyond its bounds.
    """
    for key, number in section.items():
        if not isinstance(key, str) or key not in _BOUNDS:
            known = ", ".join(_BOUNDS)
            raise LimitsRefusedError(_SOURCE, f"unknown key {quoted(key)}", f"use {known}")
        low, high = _BOUNDS[key]
        if type(number) is not int or not low <= number <= high:
            raise LimitsRefusedError(
                _SOURCE, f"{key} is {quoted(number)}", f"use a whole number from {low} to {high}"
            )
    given = {one.name: section[one.name] for one in fields(RevealLimits) if one.name in section}
    limits = RevealLimits(**given)  # type: ignore[arg-type]  # each was found to be an int above
    if max(limits.people_per_hour, limits.sensitive_per_hour) > limits.per_hour:
        raise LimitsRefusedError(
            _SOURCE,
            "more people or sensitive fields than fields",
            "raise per_hour, or lower people_per_hour and sensitive_per_hour",
        )
    return limits


def next_possible(
    past: Sequence[Shown], person: str, limits: RevealLimits, now: dt.datetime, *, sensitive: bool
) -> dt.datetime | None:
    """Return when this reveal is possible; None: now.

    Args:
        past: what the subject was shown, in any order; what is older than an hour is passed over.
        person: whose field is asked for.
        limits: in force.
        now: with a time zone.
        sensitive: whether the field is of the sensitive tier.
    """
    at = now
    # When the first count has room again, who was shown before may be somebody new.
    while (then := _wait(past, person, limits, at, sensitive=sensitive)) is not None:
        at = then
    return None if at == now else at


def _wait(
    past: Sequence[Shown], person: str, limits: RevealLimits, at: dt.datetime, *, sensitive: bool
) -> dt.datetime | None:
    """When every count that has no room at ``at`` has some; None: each has some then."""
    within = [one for one in past if one.at > at - HOUR]
    last_seen: dict[str, dt.datetime] = {}
    for one in within:
        last_seen[one.person] = max(one.at, last_seen.get(one.person, one.at))
    waits = [_free([one.at for one in within], limits.per_hour)]
    if person not in last_seen:
        waits.append(_free(last_seen.values(), limits.people_per_hour))
    if sensitive:
        times = [one.at for one in within if one.sensitive]
        waits.append(_free(times, limits.sensitive_per_hour))
    return max((one for one in waits if one is not None), default=None)


def _free(times: Iterable[dt.datetime], most: int) -> dt.datetime | None:
    """When fewer than ``most`` of these times are within the last hour; None: now."""
    ordered = sorted(times)
    return ordered[-most] + HOUR if len(ordered) >= most else None
