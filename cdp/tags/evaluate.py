"""The reference interpreter: what the rules say of one profile.

Pure. `cdp.tags.compile_sql` must give the same answers; a property test compares them.
"""

import datetime as dt
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from cdp.tags.ast import (
    Attribute,
    Comparison,
    Condition,
    Constant,
    Counted,
    DaysSince,
    Every,
    Fact,
    Negation,
    Operand,
    Operator,
    RuleSet,
    Some,
    Tag,
)
from connectors.attribute_declaration import AttributeType
from connectors.record import Raw

# Both are read by Python and by PostgreSQL, and mean the same to them. No counted
# repetition of digits: PostgreSQL's matcher takes ten times as long for it.
DECIMAL: Final = r"-?[0-9]+(\.[0-9]+)?"
DATE: Final = r"[0-9][0-9][0-9][0-9]-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
MAX_DECIMAL: Final = 100  # characters; sums of decimals of 38 digits stay far below
YEAR_ZERO: Final = "0000"  # ISO 8601 has it, calendars do not


@dataclass(frozen=True, slots=True)
class Facts(Raw):
    """What rules may know of a profile: nothing of it names a person."""

    # JSON values, as profile.attributes holds them
    attributes: Mapping[str, object] = field(repr=False)
    size: int
    stores_count: int


def evaluate(rules: RuleSet, facts: Facts, today: dt.date) -> dict[str, str]:
    """Return the value of every tag."""
    return {tag.name: value_of(tag, facts, today) for tag in rules.tags}


def value_of(tag: Tag, facts: Facts, today: dt.date) -> str:
    """Return the first value of the tag whose condition holds, else ``otherwise``."""
    for choice in tag.choices:
        if holds(choice.when, facts, today):
            return choice.value
    return tag.otherwise


def holds(condition: Condition, facts: Facts, today: dt.date) -> bool:
    """Say whether the condition holds; a comparison with something unknown does not."""
    match condition:
        case Comparison():
            return _compare(condition, known(condition.operand, facts, today))
        case Every(conditions=inner):
            return all(holds(one, facts, today) for one in inner)
        case Some(conditions=inner):
            return any(holds(one, facts, today) for one in inner)
        case Negation(condition=one):
            return not holds(one, facts, today)


def known(operand: Operand, facts: Facts, today: dt.date) -> Constant | None:
    """Return the operand's value; None when it is missing or not of its type."""
    match operand:
        case Attribute(name=name, type=kind):
            return _READERS[kind](facts.attributes.get(name))
        case DaysSince(attribute=name):
            day = _date(facts.attributes.get(name))
            return None if day is None else Decimal((today - day).days)
        case Counted(fact=fact):
            return Decimal(facts.size if fact is Fact.SIZE else facts.stores_count)


_ORDERED: Final[Mapping[Operator, Callable[[Any, Any], bool]]] = {
    Operator.AT_LEAST: operator.ge,
    Operator.ABOVE: operator.gt,
    Operator.AT_MOST: operator.le,
    Operator.BELOW: operator.lt,
}


def _compare(comparison: Comparison, value: Constant | None) -> bool:
    if value is None:
        return False
    ordered = _ORDERED.get(comparison.operator)
    if ordered is None:
        return any(value == constant for constant in comparison.constants)
    return ordered(value, comparison.constants[0])


def _integer(raw: object) -> Decimal | None:
    return Decimal(raw) if isinstance(raw, int) and not isinstance(raw, bool) else None


def _decimal(raw: object) -> Decimal | None:
    if isinstance(raw, str):
        plain = len(raw) <= MAX_DECIMAL and re.fullmatch(DECIMAL, raw)
        return Decimal(raw) if plain else None
    return _integer(raw)


def _date(raw: object) -> dt.date | None:
    if not isinstance(raw, str) or not re.fullmatch(DATE, raw):
        return None
    try:
        return dt.date.fromisoformat(raw)
    except ValueError:  # 30 February, or the year zero
        return None


def _boolean(raw: object) -> bool | None:
    return raw if isinstance(raw, bool) else None


def _category(raw: object) -> str | None:
    return raw if isinstance(raw, str) else None


_READERS: Final[Mapping[AttributeType, Callable[[object], Constant | None]]] = {
    "integer": _integer,
    "decimal": _decimal,
    "date": _date,
    "boolean": _boolean,
    "category": _category,
}
