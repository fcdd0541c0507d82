"""What a tag rule can say, and nothing more.

1. The language is closed: these node types are all there is. No function, no arithmetic,
   no pattern and no text of a rule is ever evaluated or becomes SQL.
2. A comparison with something unknown is false, never unknown: an attribute that is
   missing, null or not of its type equals nothing and is on neither side of any bound.
   ``not`` turns that false into true, as everywhere.
3. Numbers are exact decimals. No float is part of a rule.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from connectors.attribute_declaration import AttributeType

LANGUAGE = 1
"""Version of the language's meaning; part of every rule's version."""

Constant = Decimal | dt.date | bool | str


class Operator(StrEnum):
    """How an operand is compared."""

    AT_LEAST = ">="
    ABOVE = ">"
    AT_MOST = "<="
    BELOW = "<"
    EQUAL = "=="
    IN = "in"


class Fact(StrEnum):
    """What is counted of a profile itself."""

    SIZE = "size"  # records joined into it
    STORES_COUNT = "stores_count"  # stores it belongs to


@dataclass(frozen=True, slots=True)
class Attribute:
    """The value of a combined attribute."""

    name: str
    type: AttributeType


@dataclass(frozen=True, slots=True)
class DaysSince:
    """Whole days from a date attribute to today; negative when the date lies ahead."""

    attribute: str


@dataclass(frozen=True, slots=True)
class Counted:
    """A number of the profile itself."""

    fact: Fact


Operand = Attribute | DaysSince | Counted


@dataclass(frozen=True, slots=True)
class Comparison:
    """One operand beside one constant, or beside several for ``in``."""

    operand: Operand
    operator: Operator
    constants: tuple[Constant, ...]  # exactly one, except for ``in``


@dataclass(frozen=True, slots=True)
class Every:
    """All of the conditions hold."""

    conditions: tuple["Condition", ...]


@dataclass(frozen=True, slots=True)
class Some:
    """At least one of the conditions holds."""

    conditions: tuple["Condition", ...]


@dataclass(frozen=True, slots=True)
class Negation:
    """The condition does not hold."""

    condition: "Condition"


Condition = Comparison | Every | Some | Negation


@dataclass(frozen=True, slots=True)
class Choice:
    """A value of a tag, and when it applies."""

    value: str
    when: Condition


@dataclass(frozen=True, slots=True)
class Tag:
    """One tag: the first choice that applies gives its value, else ``otherwise``."""

    name: str
    choices: tuple[Choice, ...]
    otherwise: str

    @property
    def values(self) -> tuple[str, ...]:
        """Every value the tag can have, in the order of the file, each once."""
        return tuple(dict.fromkeys([*(choice.value for choice in self.choices), self.otherwise]))


@dataclass(frozen=True, slots=True)
class RuleSet:
    """All tags of a workspace, and the types of the attributes they read."""

    attributes: Mapping[str, AttributeType]
    tags: tuple[Tag, ...]


def operands(condition: Condition) -> tuple[Operand, ...]:
    """Return what a condition reads, each operand once, in the order it is written."""
    match condition:
        case Comparison(operand=operand):
            return (operand,)
        case Negation(condition=inner):
            return operands(inner)
        case Every(conditions=inner) | Some(conditions=inner):
            return tuple(dict.fromkeys(one for part in inner for one in operands(part)))
