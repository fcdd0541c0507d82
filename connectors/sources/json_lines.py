"""Rows of a JSON Lines file: one JSON object (RFC 8259) a line.

Position n is line n; a blank line has a position and gives nothing. A column is a key, or keys
joined by dots (``phone_info.purePhoneNumber``); through a list it reaches every item.
"""

import itertools
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from functools import cache
from typing import Any, Final, NoReturn

from connectors.attributes import canonical_decimal
from connectors.base import Finding, Level
from connectors.cells import BadCell, Cell
from connectors.columns import file_columns
from connectors.declaration import SourceDeclaration
from connectors.json_text import MAX_DEPTH, nests_too_deep
from connectors.mapping import RowMapper
from connectors.record import RAW_LIMIT, Record, Rejection, Sensitive
from connectors.sources import encodings
from connectors.sources.csv_rows import exceeds
from connectors.sources.local_file import CELL_LIMIT, FileSource
from connectors.sources.physical_lines import LINE_FACTOR, Line, PhysicalLines
from connectors.table import MOST_COLUMNS, MOST_ROWS, MOST_TEXT, Table, table_of

MAX_EXPONENT: Final = 400  # a double reaches 308; written out, more would only fill memory
_SAMPLE_ROWS: Final = 1000
_QUOTE: Final = re.compile(r'(?<!\\)"')


class LineRefused(ValueError):  # noqa: N818 - caught where lines are read
    """A line that cannot be read, with its rule and next step; it holds nothing of the line."""

    def __init__(self, rule: str, next_step: str) -> None:
        super().__init__(rule, next_step)
        self.rule = rule
        self.next_step = next_step


class ObjectMapper:
    """Maps JSON objects by one declaration: the lines of a file, or what is sent one by one."""

    def __init__(self, declaration: SourceDeclaration, cell_limit: int = CELL_LIMIT) -> None:
        self._columns = declaration.columns()
        self._mapper = RowMapper(declaration)
        self._cell_limit = cell_limit

    def map(self, position: int, text: str) -> Record | Rejection:
        """Map one object, given as text; ``position`` names it in what is said of it."""
        try:
            cells = cells_of(parse_object(text), self._columns, text, self._cell_limit)
        except LineRefused as refused:
            return self._mapper.reject(position, refused.rule, refused.next_step, text)
        return self._mapper.map(position, cells, lambda: text)


class JsonLinesSource(FileSource):
    """Streams a JSON Lines file: memory is bounded by the largest line."""

    def _count(self) -> int:
        return self._count_lines()

    def table(self, most: int = MOST_ROWS) -> Table:
        """The first objects, their paths as columns. Raises ``Stop`` as ``read`` does."""
        rows: list[dict[str, Any]] = []
        text = 0
        with self._opened() as (lines, encoding):
            for line in itertools.islice(lines, most):
                text += len(line.text)
                if rows and text > MOST_TEXT:
                    break
                try:
                    rows.append({} if line.problem(encoding) else parse_object(line.text))
                except LineRefused:
                    rows.append({})
        columns = paths_of(row for row in rows if row)
        cells = ([cell_at(row, one) for one in columns] if row else None for row in rows)
        return table_of(columns, cells, most, encoding=encoding)

    def _rows(self, after: int) -> Iterator[Record | Rejection]:
        objects = ObjectMapper(self._declaration, self._cell_limit)
        with self._opened() as (lines, encoding):
            for position, line in enumerate(lines, start=1):
                if position <= after or not line.text.strip():
                    continue
                if problem := line.problem(encoding):
                    yield self._mapper.reject(position, *problem, line.text)
                else:
                    yield objects.map(position, line.text)

    def _inspect(self) -> Iterable[Finding]:
        wanted = dict.fromkeys(self._declaration.columns())
        rows = bad = 0
        with self._opened() as (lines, encoding):
            yield from self._detected(encoding)
            for line in itertools.islice(lines, _SAMPLE_ROWS):
                if not line.text.strip():
                    continue
                rows += 1
                try:
                    row = {} if line.problem(encoding) else parse_object(line.text)
                except LineRefused:
                    row = {}
                bad += not row
                wanted = {column: None for column in wanted if cell_at(row, column) is None}
        if rows > bad:
            yield from self._missing(list(wanted))
        with self._open() as file:
            yield from encodings.doubts(file, encoding)

    def _missing(self, columns: list[str]) -> Iterable[Finding]:
        ids = file_columns(self._declaration.derived, self._declaration.record_id)
        for column in columns:
            # a key may be left out where it has no value, so only the id is an error
            level = Level.ERROR if column in ids else Level.WARNING
            yield Finding(
                level,
                "column_missing",
                self._declaration.called(column),
                f"None of the first {_SAMPLE_ROWS} lines has it: correct the mapping or the file.",
            )

    def _require_encoding(self, sample: bytes, encoding: str) -> None:
        utf16 = encodings.is_utf16(sample)
        lines = [] if utf16 else [line for line in sample.splitlines() if line]
        # one line may be broken by itself; when none of several decodes, the encoding is wrong
        hopeless = len(lines) >= encodings.DOUBT_LINES and not any(
            encodings.decodes(line, encoding) for line in lines
        )
        if hopeless or utf16:
            advice = encodings.advice(sample, encoding)
            declared = "utf-8" if encoding == "auto" else encoding
            raise self._stop("wrong_encoding", f"The lines are not {declared}. {advice}")

    @contextmanager
    def _opened(self) -> Iterator[tuple[Iterator[Line], str]]:
        with self._open_filled() as file:
            self._require_text(file)
            encoding = encodings.codec(self._declaration.encoding)
            sample = encodings.sample_of(file)
            # UTF-16 is known by its first bytes: such a file may be one line without end
            if encoding == "auto" and not encodings.is_utf16(sample):
                found = encodings.detect_file(file, LINE_FACTOR * self._cell_limit)
                if found is None:
                    raise self._stop("encoding_unclear", encodings.choice(file))
                encoding = found
            self._require_encoding(sample, encoding)
            lines = PhysicalLines(file, encoding, self._cell_limit)
            yield iter(lines.next, None), encoding


@cache
def _decoder() -> json.JSONDecoder:
    return json.JSONDecoder(
        parse_int=str,
        parse_float=_number,
        parse_constant=_no_constant,
        object_pairs_hook=_unique,
    )


@cache
def _lenient() -> json.JSONDecoder:
    """Reads what ``_decoder`` refuses, and of an object only the values."""
    return json.JSONDecoder(
        parse_int=str,
        parse_float=_number,
        parse_constant=str,
        object_pairs_hook=lambda pairs: [value for _, value in pairs],
        strict=False,
    )


def _unescaped(piece: str) -> str:
    """What stands between two quotes of a broken line."""
    if "\\" not in piece:
        return piece
    try:
        return str(json.loads(f'"{piece}"', strict=False))
    except ValueError:
        return piece


def parse_object(text: str) -> dict[str, Any]:
    """Parse one line strictly: numbers become text with all their digits, keys are unique.

    Raises:
        LineRefused: not JSON, not an object, too deep, a repeated key, NaN or Infinity.
    """
    if nests_too_deep(text):
        raise LineRefused("too_deep", f"Nest objects and lists at most {MAX_DEPTH} deep.")
    try:
        parsed = _decoder().decode(text)
    except json.JSONDecodeError:
        # from None: the parser's error holds the line
        raise LineRefused("not_json", "Write one JSON object on the line.") from None
    if not isinstance(parsed, dict):
        raise LineRefused("not_an_object", "Write one JSON object on the line.")
    return parsed


def texts_of(text: str) -> list[str]:
    """Every value in a line, as text; also in a line that the source refuses to read."""
    try:
        nodes = [_lenient().decode(text)]
    except (ValueError, RecursionError):
        return [_unescaped(piece) for piece in _QUOTE.split(text)]
    found = []
    while nodes:
        node = nodes.pop()
        if isinstance(node, str):
            found.append(node)
        elif isinstance(node, list):
            nodes.extend(node)
    return found


def cells_of(
    row: dict[str, Any], columns: Iterable[str], text: str, cell_limit: int = CELL_LIMIT
) -> dict[str, Cell]:
    """The cells of some columns of an object, which ``text`` has on its line.

    Raises:
        LineRefused: half a surrogate pair, or a value that is too large.
    """
    cells = {column: cell_at(row, column) for column in columns}
    # only an escape makes a lone surrogate, and no text is longer than its line
    if "\\u" in text or exceeds(text, cell_limit):
        _require_storable(cells, cell_limit)
    return cells


def _require_storable(cells: dict[str, Cell], cell_limit: int) -> None:
    for cell in cells.values():
        texts = (cell,) if isinstance(cell, str) else cell if isinstance(cell, tuple) else ()
        if not all(map(encodable, texts)):
            raise LineRefused("broken_text", "Write both halves of each \\u surrogate pair.")
        if any(exceeds(text, cell_limit) for text in texts):
            raise LineRefused("cell_too_large", "Shorten the value.")


def cell_at(row: dict[str, Any], column: str) -> Cell:
    """The cell of ``column``: the key itself, or else the path its dots make."""
    found = row[column] if column in row else _walk(row, column.split("."))
    if not isinstance(found, list):
        return _scalar(found)
    cells = [_scalar(item) for item in found]
    bad = next((cell for cell in cells if isinstance(cell, BadCell)), None)
    return bad or tuple(cell for cell in cells if isinstance(cell, str)) or None


def paths_of(rows: Iterable[dict[str, Any]]) -> list[str]:
    """Where plain values stand in objects, dots between keys; at most ``MOST_COLUMNS``."""
    found: dict[str, None] = {}
    for row in rows:
        nodes: list[tuple[str, Any]] = [(key, row[key]) for key in reversed(row)]
        while nodes and len(found) < MOST_COLUMNS:
            path, node = nodes.pop()
            if isinstance(node, list):
                nodes += [(path, item) for item in reversed(node)]
            elif isinstance(node, dict):
                nodes += [(f"{path}.{key}", node[key]) for key in reversed(node)]
            else:
                found.setdefault(path)
    return list(found)


def encodable(text: str) -> bool:
    """Whether ``text`` is free of lone surrogates, which no encoding can store."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _walk(node: Any, keys: list[str]) -> Any:
    for index, key in enumerate(keys):
        if isinstance(node, list):
            found = (_walk(item, keys[index:]) for item in node)
            return [value for one in found for value in (one if isinstance(one, list) else [one])]
        if not isinstance(node, dict):
            return None
        node = node.get(key)
    return node


def _scalar(value: Any) -> Cell:
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None or isinstance(value, str):
        return value
    raw = json.dumps(value, ensure_ascii=True)[:RAW_LIMIT]
    step = "Map a path inside it, such as key.inner, or give a list of plain values."
    return BadCell("not_plain", step, Sensitive(raw), rejects_row=False)


def _number(text: str) -> str:
    """A JSON number with a point or an exponent, as digits; a whole one without a point."""
    exponent = text.lower().partition("e")[2]
    if exponent and (len(exponent) > 5 or abs(int(exponent)) > MAX_EXPONENT):
        raise LineRefused("number_range", f"Use an exponent of at most {MAX_EXPONENT}.")
    number = Decimal(text)
    if exponent or number == number.to_integral_value():
        return canonical_decimal(number)
    return text


def _no_constant(_: str) -> NoReturn:
    raise LineRefused("not_a_number", "Replace NaN and Infinity with null.")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) != len(pairs):
        raise LineRefused("key_repeated", "Write each key of an object once.")
    return row
