"""One answer of an HTTP API as a page of rows. Pure.

Numbers become text with all their digits, as in JSON Lines. What one row alone is to blame for
(NaN, a key given twice, a number out of range, nesting) rejects that row and not its page.

Invariants, each named by a test in ``tests/unit/connectors/test_http_source_pages.py``:

1. Every item of the list is a row, and is given once.
2. A row that cannot be read takes no other with it, and what it held is in its text.
3. No error shows anything of an answer.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from connectors.attributes import canonical_decimal
from connectors.http_auth_declaration import Steps
from connectors.http_declaration import HttpSpec
from connectors.json_text import MAX_DEPTH, depth_of, nests_too_deep
from connectors.record import Raw
from connectors.sources.csv_rows import exceeds
from connectors.sources.json_lines import MAX_EXPONENT, LineRefused
from connectors.sources.local_file import CELL_LIMIT

DEEPEST: Final = 4 * MAX_DEPTH  # of an answer; a row may be MAX_DEPTH deep
_BOM: Final = b"\xef\xbb\xbf"


class PageRefused(ValueError):  # noqa: N818 - caught where pages are read
    """An answer that is no page. Holds nothing of it."""

    def __init__(self, rule: str, next_step: str, field: str = "location") -> None:
        super().__init__(rule, next_step)
        self.rule, self.next_step, self.field = rule, next_step, field


@dataclass(frozen=True, slots=True, repr=False)
class _Bad(Raw):
    """Stands in a row for what cannot be read."""

    rule: str
    next_step: str
    value: Any


@dataclass(frozen=True, slots=True, repr=False)
class Page(Raw):
    """One answer.

    Attributes:
        rows: the items of the list, as parsed.
        root: the whole answer; None where there was no body.
        is_deep: whether some row may nest too deep.
        is_odd: whether some value could not be read.
        is_rough: whether a text may be too long, or half a surrogate pair.
        headers: of the answer, names in lower case.
        url: that was asked.
    """

    rows: Sequence[Any]
    root: Any = None
    is_deep: bool = False
    is_odd: bool = False
    is_rough: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    url: str = ""

    def row(self, item: Any) -> dict[str, Any]:
        """One row.

        Raises:
            LineRefused: it cannot be read.
        """
        if not isinstance(item, dict):
            bad = item if isinstance(item, _Bad) else None
            if bad is None:
                raise LineRefused("not_an_object", "Let the path of rows end at objects.")
            raise LineRefused(bad.rule, bad.next_step)
        if self.is_odd:
            for bad in _odd(item):
                raise LineRefused(bad.rule, bad.next_step)
        if self.is_deep and nests_too_deep(text_of(item)):
            raise LineRefused("too_deep", f"Nest objects and lists at most {MAX_DEPTH} deep.")
        return item

    def content(self) -> bytes:
        """The rows as bytes, equal for equal rows."""
        return json.dumps(self.rows, default=_shown, separators=(",", ":")).encode()


def text_of(item: Any) -> str:
    """A row as text, for whoever keeps it."""
    return json.dumps(item, ensure_ascii=False, default=_shown)


def page_of(spec: HttpSpec, body: bytes, headers: Mapping[str, str], url: str) -> Page:
    """Read one answer.

    Raises:
        PageRefused: it is no JSON, has no list of rows, or says that something is wrong. Of no
            body nobody can tell whether rows got lost with it.
    """
    try:
        text = body.removeprefix(_BOM).decode()
    except UnicodeDecodeError:
        raise PageRefused("not_utf8", "Have the API answer in UTF-8.") from None
    depth = depth_of(text)
    if depth > DEEPEST:
        step = f"Ask for fewer levels: an answer may nest {DEEPEST} deep, a row {MAX_DEPTH}."
        raise PageRefused("page_too_deep", step)
    parser = _Parser()
    try:
        root = parser.parse(text)
    except (json.JSONDecodeError, RecursionError):
        step = "Look whether the location answers with JSON, and not with a page for people."
        raise PageRefused("page_not_json", step) from None
    _require_success(spec, root)
    return Page(
        rows=_rows(spec, root),
        root=root,
        is_deep=depth > MAX_DEPTH,
        is_odd=parser.is_odd,
        is_rough="\\u" in text or exceeds(text, CELL_LIMIT),
        headers=headers,
        url=url,
    )


def found_at(root: Any, steps: Steps) -> tuple[bool, Any]:
    """Whether there is something at a path, and what."""
    node = root
    for step in steps:
        if isinstance(node, dict) and step in node:
            node = node[str(step)]
        elif isinstance(node, list) and _index(step) is not None:
            place = _index(step) or 0
            if place >= len(node):
                return False, None
            node = node[place]
        else:
            return False, None
    return True, node


def word_of(value: Any) -> str:
    """A plain value as text; numbers are text already, anything else is none."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else ""


def _rows(spec: HttpSpec, root: Any) -> list[Any]:
    there, found = found_at(root, spec.rows)
    if there and found is None:
        return []
    if not isinstance(found, list):
        step = "Correct rows, the path to the list; or see what the API answers: an error, maybe."
        raise PageRefused("rows_missing", step, "rows")
    return found


def _require_success(spec: HttpSpec, root: Any) -> None:
    if spec.success is None:
        return
    _, found = found_at(root, spec.success.path)
    if word_of(found) not in spec.success.values:
        step = "The API says that something is wrong: ask for the address by hand and see what."
        raise PageRefused("answer_says_no", step, "success")


def _index(step: str | int) -> int | None:
    if isinstance(step, int):
        return step
    return int(step) if step.isascii() and step.isdigit() and len(step) < 10 else None


class _Parser:
    """Parses one answer, and remembers whether some value could not be read."""

    def __init__(self) -> None:
        self.is_odd = False
        self._decoder = json.JSONDecoder(
            parse_int=str,
            parse_float=self._number,
            parse_constant=self._constant,
            object_pairs_hook=self._object,
        )

    def parse(self, text: str) -> Any:
        """The root of an answer. Raises what ``json`` does."""
        return self._decoder.decode(text)

    def _bad(self, rule: str, next_step: str, value: Any) -> _Bad:
        self.is_odd = True
        return _Bad(rule, next_step, value)

    def _number(self, text: str) -> Any:
        exponent = text.lower().partition("e")[2]
        if exponent and (len(exponent) > 5 or abs(int(exponent)) > MAX_EXPONENT):
            return self._bad("number_range", f"Use an exponent of at most {MAX_EXPONENT}.", text)
        number = Decimal(text)
        if exponent or number == number.to_integral_value():
            return canonical_decimal(number)
        return text

    def _constant(self, text: str) -> _Bad:
        return self._bad("not_a_number", "Replace NaN and Infinity with null.", text)

    def _object(self, pairs: list[tuple[str, Any]]) -> Any:
        row = dict(pairs)
        if len(row) == len(pairs):
            return row
        step = "Write each key of an object once."
        return self._bad("key_repeated", step, [list(one) for one in pairs])


def _shown(value: Any) -> Any:
    return value.value if isinstance(value, _Bad) else str(value)


def _odd(node: Any) -> Iterator[_Bad]:
    nodes = [node]
    while nodes:
        one = nodes.pop()
        if isinstance(one, _Bad):
            yield one
        elif isinstance(one, dict):
            nodes.extend(value for value in one.values() if not isinstance(value, str))
        elif isinstance(one, list):
            nodes.extend(value for value in one if not isinstance(value, str))
