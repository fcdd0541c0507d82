"""What each operation of a derived column makes of one text. Pure.

A reader takes trimmed, non-empty text and gives a text, several texts, or None for nothing; it
raises ``Unreadable`` for what it cannot read, and nothing else.
"""

import json
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from typing import Any, Final, NoReturn

from connectors.json_text import MAX_DEPTH, nests_too_deep
from connectors.patterns import MAX_SEARCHED, compiled

MAX_PARTS: Final = 100  # as many values as a field may have
MAX_DATE: Final = 64  # characters
SHEET_DAY: Final = "excel"  # a day of a spreadsheet that became a number
_SHEET_BEGINS: Final = date(1899, 12, 30)  # as spreadsheets count, with their 29 February 1900
_SHEET_DAY: Final = re.compile(r"[0-9]{1,6}")

Found = str | tuple[str, ...] | None
Reader = Callable[[str], Found]


class Unreadable(ValueError):  # noqa: N818 - caught in connectors.columns, never seen outside
    """A text that an operation cannot read. Carries the rule and the next step, not the text."""

    def __init__(self, rule: str, next_step: str, *, rejects_row: bool = False) -> None:
        super().__init__(rule, next_step)
        self.rule = rule
        self.next_step = next_step
        self.rejects_row = rejects_row


def part_reader(separator: str, take: int | None) -> Reader:
    """Split at ``separator``, or at any character of it in square brackets, and take a part."""
    any_of = separator[1:-1] if separator[0] == "[" and separator[-1] == "]" else ""
    at = any_of[0] if any_of else separator
    same = str.maketrans(dict.fromkeys(any_of[1:], at))
    most = MAX_PARTS if take is None else abs(take)

    def read(text: str) -> Found:
        text = text.translate(same) if same else text
        from_end = take is not None and take < 0
        parts = text.rsplit(at, most) if from_end else text.split(at, most)
        if take is None:
            if len(parts) > MAX_PARTS:
                raise Unreadable("too_many_values", f"Give at most {MAX_PARTS} values.")
            return tuple(parts)
        place = take - 1 if take > 0 else take
        there = -len(parts) <= place < len(parts)
        return parts[place].strip() or None if there else None

    return read


def code_reader(codes: Mapping[str, str], otherwise: str) -> Reader:
    """Give what a text stands for; ``codes`` has its keys without case."""

    def read(text: str) -> Found:
        found = codes.get(text.casefold())
        if found is not None:
            return found or None
        return _unknown(
            text, otherwise, "not_in_map", "Add the value to map, or correct it at its source."
        )

    return read


def pattern_reader(pattern: str, otherwise: str) -> Reader:
    """Give the group of the first match. Full-width digits are none of RE2's digits."""
    search = compiled(pattern)

    def read(text: str) -> Found:
        if len(text) > MAX_SEARCHED:
            raise Unreadable("too_long", f"Search in at most {MAX_SEARCHED} characters.")
        found = search(text)
        if found is not None:
            return found or None
        return _unknown(text, otherwise, "no_match", "Correct the value, or the pattern.")

    return read


def _unknown(text: str, otherwise: str, rule: str, next_step: str) -> Found:
    if otherwise == "keep":
        return text
    if otherwise == "empty":
        return None
    raise Unreadable(rule, next_step, rejects_row=otherwise == "reject")


def date_reader(formats: tuple[str, ...]) -> Reader:
    """Give a day as YYYY-MM-DD, by the first of the formats that fits: strptime's, or `excel`."""

    def read(text: str) -> Found:
        for form in formats if len(text) <= MAX_DATE else ():
            if form == SHEET_DAY:
                if _SHEET_DAY.fullmatch(text):
                    return (_SHEET_BEGINS + timedelta(days=int(text))).isoformat()
                continue
            try:
                return datetime.strptime(text, form).date().isoformat()  # noqa: DTZ007 - a day
            except ValueError:
                continue
        raise Unreadable("not_date", "Add the format that this column uses to date.")

    return read


def path_reader(steps: tuple[str | int, ...]) -> Reader:
    """Give what stands at the end of keys and indexes inside JSON text."""

    def read(text: str) -> Found:
        if nests_too_deep(text):
            raise Unreadable("too_deep", f"Nest objects and lists at most {MAX_DEPTH} deep.")
        try:
            node = _DECODER.decode(text)
        except (json.JSONDecodeError, RecursionError):  # from None: the error holds the text
            raise Unreadable("not_json", "Write JSON in this cell.") from None
        for step in steps:
            node = _step(node, step)
        if isinstance(node, list):
            return tuple(text for text in map(_scalar, node) if text) or None
        return _scalar(node)

    return read


def _step(node: Any, step: str | int) -> Any:
    """Go one key or index down; what is not there is nothing."""
    if node is None:
        return None
    if isinstance(step, str) and isinstance(node, dict):
        return node.get(step)
    if isinstance(step, int) and isinstance(node, list):
        return node[step] if step < len(node) else None
    raise Unreadable("path_elsewhere", "Name keys of objects, and indexes from 0 of lists.")


def _scalar(node: Any) -> str | None:
    if isinstance(node, bool):
        return "true" if node else "false"
    if not (node is None or isinstance(node, str)):
        raise Unreadable("not_plain", "Let the path end at a plain value.")
    if node and any("\ud800" <= letter <= "\udfff" for letter in node):
        raise Unreadable("broken_text", "Write both halves of each \\u surrogate pair.")
    return node or None


def _no_constant(_: str) -> NoReturn:
    raise Unreadable("not_a_number", "Replace NaN and Infinity with null.")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) != len(pairs):
        raise Unreadable("key_repeated", "Write each key of an object once.")
    return row


_DECODER: Final = json.JSONDecoder(
    parse_int=str,
    parse_float=str,
    parse_constant=_no_constant,
    object_pairs_hook=_unique,
)
