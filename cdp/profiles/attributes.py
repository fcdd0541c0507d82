"""One figure out of several: how the attributes of a person's records are combined.

The first rule whose names and kind both fit decides; a kind fits when every record's
value is of it. Names may hold ``*`` for any text.

| names | kind | the profile gets |
|---|---|---|
| ``*_spent *_paid total* orders *_orders *_count visits *_visits returns`` | number | the sum |
| ``opened* registered* first_* joined* added*`` | date | the earliest |
| any (``last_*`` above all) | date | the latest |
| any | boolean | true if any is true |
| any | any (categories, other numbers) | the value of the most trusted record |

Invariants, each named by a test in ``tests/unit/profiles/test_attributes.py``:

1. Sums are exact: decimals are text and never become binary floating point.
2. Which records are summed matters, their order does not.
3. A single value stays as it is.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, localcontext
from fnmatch import fnmatchcase
from typing import Final

from connectors.attributes import MAX_DIGITS, canonical_decimal
from connectors.record import AttributeValue

Values = Sequence[AttributeValue]

_DECIMAL: Final = re.compile(r"-?[0-9]{1,40}(?:\.[0-9]{1,40})?")
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
# Both sides of the point in full, and room for the carries of any number of records.
_PRECISION: Final = 4 * MAX_DIGITS


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of the table above."""

    names: tuple[str, ...]
    fits: Callable[[AttributeValue], bool]
    combine: Callable[[Values], AttributeValue]


def combine(records: Sequence[Mapping[str, AttributeValue]]) -> dict[str, AttributeValue]:
    """Return the attributes of a person, names in alphabetical order.

    Args:
        records: the attributes of each record, the most trusted record first.
    """
    values: dict[str, list[AttributeValue]] = {}
    for attributes in records:
        for name, value in attributes.items():
            values.setdefault(name, []).append(value)
    return {name: combine_values(name, found) for name, found in sorted(values.items())}


def combine_values(name: str, values: Values) -> AttributeValue:
    """Combine the values of one attribute, at least one, the most trusted first."""
    if len(values) == 1:
        return values[0]
    for rule in RULES:
        if any(fnmatchcase(name, pattern) for pattern in rule.names) and all(
            map(rule.fits, values)
        ):
            return rule.combine(values)
    return values[0]


def _is_number(value: AttributeValue) -> bool:
    if isinstance(value, bool):
        return False
    return isinstance(value, int) or _DECIMAL.fullmatch(value) is not None


def _is_date(value: AttributeValue) -> bool:
    if not isinstance(value, str) or _DATE.fullmatch(value) is None:
        return False
    try:
        date.fromisoformat(value)
    except ValueError:
        return False
    return True


def _is_boolean(value: AttributeValue) -> bool:
    return isinstance(value, bool)


def _sum(values: Values) -> AttributeValue:
    """Whole numbers give a whole number; a decimal among them makes the sum a decimal."""
    if all(isinstance(value, int) for value in values):
        return sum(int(value) for value in values)
    with localcontext(prec=_PRECISION):
        return canonical_decimal(sum((Decimal(value) for value in values), Decimal(0)))


def _earliest(values: Values) -> AttributeValue:
    return min(map(str, values))  # ISO dates: the order of the text is the order of the days


def _latest(values: Values) -> AttributeValue:
    return max(map(str, values))


SUMMED: Final = (
    "*_spent",
    "*_paid",
    "total*",
    "orders",
    "*_orders",
    "*_count",
    "visits",
    "*_visits",
    "returns",
)
BEGINNINGS: Final = ("opened*", "registered*", "first_*", "joined*", "added*")

RULES: Final = (
    Rule(SUMMED, _is_number, _sum),
    Rule(BEGINNINGS, _is_date, _earliest),
    Rule(("*",), _is_date, _latest),
    Rule(("*",), _is_boolean, any),
)
