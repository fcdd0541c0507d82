"""Typed attributes, read strictly: a value that is not plainly of its type is a problem."""

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Final

from connectors.attribute_declaration import AttributeSpec
from connectors.record import AttributeValue

MAX_INTEGER: Final = 2**63 - 1  # a PostgreSQL bigint
MAX_DIGITS: Final = 38  # of a decimal
MAX_CATEGORY: Final = 128  # characters

_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,25}")
_DECIMAL: Final = re.compile(r"([+-]?)0*([0-9]*)(?:\.([0-9]*))?")
_ISO_DATE: Final = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[T ][0-9:.]+)?")
_TRUE: Final = frozenset({"true", "t", "yes", "y", "1", "是", "有"})
_FALSE: Final = frozenset({"false", "f", "no", "n", "0", "否", "无"})


class AttributeRefused(ValueError):  # noqa: N818 - never leaves this package
    """A value is not of its declared type. Carries the rule and the next step, not the value."""

    def __init__(self, rule: str, next_step: str) -> None:
        super().__init__(rule, next_step)
        self.rule = rule
        self.next_step = next_step


def typed(text: str, spec: AttributeSpec) -> AttributeValue:
    """Read trimmed, non-empty ``text`` as ``spec.type``.

    Returns:
        integer: int of 64 bits. decimal: digits with neither exponent nor idle zeros, so that
        equal numbers are equal text. date: ``YYYY-MM-DD``. boolean: bool. category: the text.

    Raises:
        AttributeRefused: with the rule and the next step.
    """
    return _READERS[spec.type](text, spec)


def canonical_decimal(number: Decimal) -> str:
    """``number`` without exponent, without idle zeros, and without a sign on zero."""
    text = format(number, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in {"-0", ""} else text


def _integer(text: str, _: AttributeSpec) -> int:
    if not _INTEGER.fullmatch(text):
        raise AttributeRefused("not_integer", "Write digits only, without separators or units.")
    number = int(text)
    if not -MAX_INTEGER - 1 <= number <= MAX_INTEGER:
        raise AttributeRefused("out_of_range", "Use a number that fits in 64 bits.")
    return number


def _decimal(text: str, _: AttributeSpec) -> str:
    match = _DECIMAL.fullmatch(text)
    if not match or not any(letter.isdigit() for letter in text):
        raise AttributeRefused(
            "not_decimal", "Write digits with at most one point, without separators or units."
        )
    if len(match[2]) + len(match[3] or "") > MAX_DIGITS:
        raise AttributeRefused("out_of_range", f"Use at most {MAX_DIGITS} digits.")
    return canonical_decimal(Decimal(text))


def _date(text: str, spec: AttributeSpec) -> str:
    if not spec.formats:
        match = _ISO_DATE.fullmatch(text)
        return _checked_date(lambda: date.fromisoformat(match[1] if match else ""))
    for one in spec.formats[:-1]:
        try:
            return _parsed(text, one).isoformat()
        except ValueError:
            continue
    return _checked_date(lambda: _parsed(text, spec.formats[-1]))


def _parsed(text: str, form: str) -> date:
    return datetime.strptime(text, form).date()  # noqa: DTZ007 - a calendar day has no zone


def _checked_date(read: Callable[[], date]) -> str:
    try:
        return read().isoformat()
    except ValueError:
        # from None: the parser's message quotes the value
        raise AttributeRefused(
            "not_date", "Write YYYY-MM-DD, or declare the formats this column uses."
        ) from None


def _boolean(text: str, _: AttributeSpec) -> bool:
    word = text.casefold()
    if word not in _TRUE | _FALSE:
        raise AttributeRefused("not_boolean", "Write true or false, yes or no, 1 or 0, 是 or 否.")
    return word in _TRUE


def _category(text: str, _: AttributeSpec) -> str:
    if len(text) > MAX_CATEGORY or not text.isprintable():
        raise AttributeRefused(
            "not_category", f"Write one line of at most {MAX_CATEGORY} characters."
        )
    return text


_READERS: Final[Mapping[str, Callable[[str, AttributeSpec], AttributeValue]]] = {
    "integer": _integer,
    "decimal": _decimal,
    "date": _date,
    "boolean": _boolean,
    "category": _category,
}
