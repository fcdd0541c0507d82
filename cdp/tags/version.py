"""The version of a rule: what it means, not how it is spelled."""

import datetime as dt
import json
from typing import Any

from cryptography.hazmat.primitives import hashes

from cdp.tags.ast import (
    LANGUAGE,
    Attribute,
    Comparison,
    Condition,
    Constant,
    Counted,
    DaysSince,
    Every,
    Negation,
    Operand,
    Some,
    Tag,
)
from connectors.attributes import canonical_decimal


def rule_version(tag: Tag) -> str:
    """SHA-256, 64 hex digits, of the rule's canonical form.

    The language's version, the types of the attributes and every constant are part of it;
    comments, key order and the spelling of a number (5, "5.0") are not.
    """
    digest = hashes.Hash(hashes.SHA256())
    digest.update(canonical(tag).encode())
    return digest.finalize().hex()


def canonical(tag: Tag) -> str:
    """Return the rule as JSON with sorted keys and without spaces."""
    content = {
        "language": LANGUAGE,
        "name": tag.name,
        "choices": [[choice.value, _condition(choice.when)] for choice in tag.choices],
        "otherwise": tag.otherwise,
    }
    return json.dumps(content, ensure_ascii=True, sort_keys=True, separators=(",", ":"))


def _condition(condition: Condition) -> list[Any]:
    match condition:
        case Comparison(operand=operand, operator=operator, constants=constants):
            return [operator.value, _operand(operand), [_constant(one) for one in constants]]
        case Every(conditions=inner):
            return ["all", *(_condition(one) for one in inner)]
        case Some(conditions=inner):
            return ["any", *(_condition(one) for one in inner)]
        case Negation(condition=one):
            return ["not", _condition(one)]


def _operand(operand: Operand) -> list[str]:
    match operand:
        case Attribute(name=name, type=kind):
            return ["attribute", name, kind]
        case DaysSince(attribute=name):
            return ["days_since", name]
        case Counted(fact=fact):
            return ["profile", fact.value]


def _constant(value: Constant) -> list[object]:
    if isinstance(value, bool):
        return ["boolean", value]
    if isinstance(value, str):
        return ["text", value]
    if isinstance(value, dt.date):
        return ["date", value.isoformat()]
    return ["number", canonical_decimal(value)]
