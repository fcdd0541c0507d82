"""Read a rule file into the closed language of `cdp.tags.ast`.

A condition is a mapping of one of these forms::

    {all: [condition, ...]}   {any: [condition, ...]}   {not: condition}
    {attribute: NAME, OPERATOR: CONSTANT, ...}
    {days_since: NAME, OPERATOR: NUMBER, ...}
    {profile: size | stores_count, OPERATOR: NUMBER, ...}

Several operators beside one operand must all hold. Whatever else is written is refused,
with the path to it and the next step; a constant is never quoted.
"""

import datetime as dt
import re
from collections.abc import Callable, Hashable, Mapping
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, get_args

import yaml

from cdp.tags.ast import (
    Attribute,
    Choice,
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
from cdp.tags.errors import RulesWrong
from connectors.attribute_declaration import AttributeType

VERSION: Final = 1
MAX_DEPTH: Final = 12
MAX_CONDITIONS: Final = 500  # in one file; YAML aliases could make millions
MAX_VALUE: Final = 64  # characters

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")
_NUMBER: Final = re.compile(r"-?[0-9]{1,38}(\.[0-9]{1,38})?")
_GROUPS: Final = ("all", "any", "not")
_SUBJECTS: Final = ("attribute", "days_since", "profile")
_EQUALITY: Final = frozenset({Operator.EQUAL, Operator.IN})
_OPERATORS: Final = tuple(operator.value for operator in Operator)


def read(path: Path) -> RuleSet:
    """Read and check the rule file at ``path``.

    Raises:
        RulesWrong: it cannot be read, or an entry is wrong; the entry is named.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - safe
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValueError, RecursionError) as error:
        raise RulesWrong(
            "rules_unreadable", "make it valid YAML in UTF-8, each key once", path=path
        ) from error
    try:
        return parse(content)
    except RulesWrong as error:
        raise error.at(path=path) from None


def parse(content: object) -> RuleSet:
    """Check what was read. Raises ``RulesWrong``, naming the place."""
    top = _mapping(content, "(top)", required=("version", "attributes", "tags"))
    if top["version"] is not VERSION:
        raise RulesWrong("unknown_version", f"write version: {VERSION}", at="version")
    types = {
        _name(name, "attributes"): _type(kind, f"attributes.{name}")
        for name, kind in _named(top["attributes"], "attributes").items()
    }
    reader = _Reader(types)
    tags = [reader.tag(name, raw) for name, raw in _named(top["tags"], "tags").items()]
    if not tags:
        raise RulesWrong("no_tag", "write at least one tag", at="tags")
    return RuleSet(MappingProxyType(types), tuple(tags))


class _Reader:
    """Reads tags against the declared types, and counts what it has read."""

    def __init__(self, types: Mapping[str, AttributeType]) -> None:
        self._types = types
        self._read = 0

    def tag(self, name: str, raw: object) -> Tag:
        at = f"tags.{_name(name, 'tags')}"
        entry = _mapping(raw, at, required=("values", "otherwise"))
        listed = _list(entry["values"], f"{at}.values")
        choices = [self._choice(one, f"{at}.values[{i}]") for i, one in enumerate(listed)]
        if len({choice.value for choice in choices}) != len(choices):
            raise RulesWrong("value_twice", "join its conditions with any", at=f"{at}.values")
        return Tag(name, tuple(choices), _value(entry["otherwise"], f"{at}.otherwise"))

    def _choice(self, raw: object, at: str) -> Choice:
        entry = _mapping(raw, at, required=("value", "when"))
        return Choice(
            _value(entry["value"], f"{at}.value"), self._condition(entry["when"], f"{at}.when", 1)
        )

    def _condition(self, raw: object, at: str, depth: int) -> Condition:
        self._read += 1
        if depth > MAX_DEPTH:
            raise RulesWrong("too_deep", f"use at most {MAX_DEPTH} levels", at=at)
        if self._read > MAX_CONDITIONS:
            raise RulesWrong("too_long", f"use at most {MAX_CONDITIONS} conditions", at=at)
        entry = _mapping(raw, at, known=(*_GROUPS, *_SUBJECTS, *_OPERATORS))
        if len(set(entry) & {*_GROUPS, *_SUBJECTS}) != 1:
            raise RulesWrong(
                "not_a_condition",
                f"write exactly one of {', '.join((*_GROUPS, *_SUBJECTS))} in it",
                at=at,
            )
        group = next((key for key in _GROUPS if key in entry), None)
        if group is None:
            return self._comparisons(entry, at)
        if len(entry) > 1:
            raise RulesWrong(
                "operator_without_operand", f"leave nothing but {group} in it", at=f"{at}.{group}"
            )
        if group == "not":
            return Negation(self._condition(entry["not"], f"{at}.not", depth + 1))
        inner = tuple(
            self._condition(one, f"{at}.{group}[{i}]", depth + 1)
            for i, one in enumerate(_list(entry[group], f"{at}.{group}"))
        )
        return Every(inner) if group == "all" else Some(inner)

    def _comparisons(self, entry: Mapping[str, object], at: str) -> Condition:
        subject = next(key for key in _SUBJECTS if key in entry)
        operand = self._operand(subject, entry[subject], f"{at}.{subject}")
        kind = operand.type if isinstance(operand, Attribute) else "integer"
        compared: list[Condition] = [
            _comparison(operand, kind, Operator(key), raw, f"{at}.{key}")
            for key, raw in entry.items()
            if key != subject
        ]
        if not compared:
            raise RulesWrong(
                "no_operator", f'add an operator, such as ">=": 1; known: {_known_operators}', at=at
            )
        return compared[0] if len(compared) == 1 else Every(tuple(compared))

    def _operand(self, subject: str, raw: object, at: str) -> Operand:
        if subject == "profile":
            if not isinstance(raw, str) or raw not in list(Fact):
                raise RulesWrong("unknown_fact", f"write one of: {', '.join(Fact)}", at=at)
            return Counted(Fact(raw))
        if not isinstance(raw, str) or raw not in self._types:
            raise RulesWrong(
                "undeclared_attribute",
                "declare it with its type under attributes, or correct the name",
                at=at,
            )
        kind = self._types[raw]
        if subject == "attribute":
            return Attribute(raw, kind)
        if kind != "date":
            raise RulesWrong("not_a_date", "name an attribute of type date", at=at)
        return DaysSince(raw)


# ── constants ───────────────────────────────────────────────────────────────


def _comparison(
    operand: Operand, kind: AttributeType, operator: Operator, raw: object, at: str
) -> Comparison:
    if kind in {"boolean", "category"} and operator not in _EQUALITY:
        raise RulesWrong("not_ordered", f"compare a {kind} with == or in", at=at)
    read_one = _CONSTANTS[kind]
    if operator is not Operator.IN:
        return Comparison(operand, operator, (read_one(raw, at),))
    listed = [read_one(one, f"{at}[{i}]") for i, one in enumerate(_list(raw, at))]
    return Comparison(operand, operator, tuple(listed))


def _number(raw: object, at: str) -> Decimal:
    text = str(raw) if isinstance(raw, int) and not isinstance(raw, bool) else raw
    if not isinstance(text, str) or not _NUMBER.fullmatch(text):
        raise RulesWrong(
            "not_a_number", "write a whole number, or an exact decimal in quotes: '12.50'", at=at
        )
    return Decimal(text)


def _date(raw: object, at: str) -> dt.date:
    if isinstance(raw, dt.datetime) or not isinstance(raw, dt.date):
        raise RulesWrong("not_a_date", "write a day as YYYY-MM-DD, without quotes", at=at)
    return raw


def _boolean(raw: object, at: str) -> bool:
    if not isinstance(raw, bool):
        raise RulesWrong("not_a_boolean", "write true or false", at=at)
    return raw


def _text(raw: object, at: str) -> str:
    if not isinstance(raw, str) or not raw or not raw.isprintable():
        raise RulesWrong("not_text", "write one line of text, in quotes if it is a number", at=at)
    return raw


_CONSTANTS: Final[Mapping[AttributeType, Callable[[object, str], Constant]]] = {
    "integer": _number,
    "decimal": _number,
    "date": _date,
    "boolean": _boolean,
    "category": _text,
}
_known_operators: Final = ", ".join(_OPERATORS)

# ── shapes ──────────────────────────────────────────────────────────────────


def _mapping(
    raw: object, at: str, *, required: tuple[str, ...] = (), known: tuple[str, ...] = ()
) -> Mapping[str, Any]:
    allowed = known or required
    entry = _named(raw, at)
    for key in entry:
        if key not in allowed:
            raise RulesWrong(
                "unknown_key", f"remove it; known here: {', '.join(allowed)}", at=f"{at}.{key}"
            )
    for key in required:
        if key not in entry:
            raise RulesWrong("key_missing", "add it", at=f"{at}.{key}")
    return entry


def _named(raw: object, at: str) -> dict[str, Any]:
    if not isinstance(raw, dict) or not all(isinstance(key, str) for key in raw):
        raise RulesWrong("not_a_mapping", "write names and what belongs to them", at=at)
    return raw


def _list(raw: object, at: str) -> list[Any]:
    if not isinstance(raw, list) or not raw:
        raise RulesWrong("not_a_list", "write a list with at least one entry", at=at)
    return raw


def _name(raw: str, at: str) -> str:
    if not _NAME.fullmatch(raw):
        raise RulesWrong(
            "name_form", "use lower-case letters, digits and _, beginning with a letter", at=at
        )
    return raw


def _value(raw: object, at: str) -> str:
    text = _text(raw, at)
    if len(text) > MAX_VALUE or text != text.strip():
        raise RulesWrong(
            "value_form", f"use at most {MAX_VALUE} characters, without spaces around them", at=at
        )
    return text


def _type(raw: object, at: str) -> AttributeType:
    for known in get_args(AttributeType):
        if raw == known:
            found: AttributeType = known
            return found
    raise RulesWrong("unknown_type", f"use one of: {', '.join(get_args(AttributeType))}", at=at)


class _Loader(yaml.SafeLoader):
    """YAML without tags of Python, and without the silence about a key that appears twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002 - PyYAML's signature
        keys = [getattr(key, "value", None) for key, _ in node.value]
        if len(keys) != len({str(key) for key in keys}):
            raise yaml.constructor.ConstructorError(
                None, None, "a key appears twice", node.start_mark
            )
        return super().construct_mapping(node, deep)
