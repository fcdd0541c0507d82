"""Derived columns: cells made of other cells, before the fields of a row are mapped. Pure.

One operation of a closed set a column, in the order of the declaration. There are no
expressions and no code.

Invariants, each named by a test in ``tests/unit/connectors/test_columns.py``:

1. Every operation gives one cell: text, texts, nothing, or one that says by which rule it could
   not be read. No cell makes it raise.
2. What an operation cannot read is in that cell (cut after ``RAW_LIMIT``), never lost.
3. No rule and no next step holds a value.
4. The time of a cell is bounded, whatever the pattern and whatever the text.
5. A column sees the file's columns and the derived ones above it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from connectors.cells import BadCell, Cell, trim
from connectors.column_reading import (
    SHEET_DAY,
    Reader,
    Unreadable,
    code_reader,
    date_reader,
    part_reader,
    path_reader,
    pattern_reader,
)
from connectors.date_formats import names_a_day
from connectors.errors import DeclarationError
from connectors.patterns import PatternRefused, compiled
from connectors.record import RAW_LIMIT, Sensitive

MAX_JOINED: Final = 64 * 1024  # characters

_SIGNS: Final = ("join", "constant", "split", "take", "map", "extract", "date", "path")
_OPERATIONS: Final = "from, split, take, join, constant, map, extract, date, path"


@dataclass(frozen=True, slots=True)
class DerivedColumn:
    """One column that the file does not have.

    Attributes:
        name: of the new column; the name of a column of the file puts it in its place.
        operation: rename, split, join, constant, map, extract, date or path.
        inputs: the columns it is made of.
        separator: of split and join; split at any character where it is in square brackets.
        take: which part of a list or of a split text, 1 the first, -1 the last; None is all.
        words: of map, pairs in the order of the declaration; of date, the formats; of path,
            the keys and indexes; of constant and extract, the one text.
        otherwise: what becomes of a value that map or extract does not know.
    """

    name: str
    operation: str
    inputs: tuple[str, ...]
    separator: str | None = None
    take: int | None = None
    words: tuple[Any, ...] = ()
    otherwise: str = "set_aside"


def parse_columns(source: str, raw: Mapping[str, Any]) -> tuple[DerivedColumn, ...]:
    """Read ``columns:`` of a source, whose form the schema has checked.

    Raises:
        DeclarationError: naming the column and the rule.
    """
    derived: list[DerivedColumn] = []
    later = list(raw)
    for name, entry in raw.items():
        later.remove(name)
        path = f"columns.{name}"
        one = _parsed(source, path, name, entry)
        for wanted in one.inputs:
            if wanted in later:
                step = "A column sees the ones above it: move this one down, or rename the other."
                raise DeclarationError(source, "column_below", step, field=path)
        derived.append(one)
    return tuple(derived)


def file_columns(derived: tuple[DerivedColumn, ...], wanted: tuple[str, ...]) -> tuple[str, ...]:
    """The columns that the file must have, so that ``wanted`` can be given."""
    needed = list(wanted)
    for one in reversed(derived):
        if one.name in needed:
            needed = [name for name in needed if name != one.name] + list(one.inputs)
    return tuple(dict.fromkeys(needed))


def require_use(
    source: str, derived: tuple[DerivedColumn, ...], wanted: tuple[str, ...], ids: tuple[str, ...]
) -> None:
    """Check that every derived column serves, and that the record id stands in the row.

    A row that is rejected has only its text, and by that text alone it is told whose it may
    be (``connectors.possible_ids``): an id must not be made of something else.

    Raises:
        DeclarationError: ``column_unused`` or ``record_id_derived``.
    """
    made: dict[str, bool] = {}  # name -> whether the cell is one of the file's, as it is
    for index, one in enumerate(derived):
        below = {name for other in derived[index + 1 :] for name in other.inputs}
        if one.name not in below and one.name not in wanted:
            step = "Map it, or remove it."
            raise DeclarationError(source, "column_unused", step, field=f"columns.{one.name}")
        made[one.name] = one.operation == "rename" and made.get(one.inputs[0], True)
    for name in ids:
        if not made.get(name, True):
            step = f"Name columns of the file: {name} is derived by more than a rename."
            raise DeclarationError(source, "record_id_derived", step, field="record_id")


def users_of(derived: tuple[DerivedColumn, ...], column: str) -> tuple[str, ...]:
    """The derived columns that are made of a column of the file."""
    found = []
    for one in derived:
        if column in one.inputs:
            found.append(one.name)
        if one.name == column:
            break  # below, the name means this column
    return tuple(found)


class Columns:
    """Gives the cells of a row with the derived ones among them."""

    def __init__(self, derived: tuple[DerivedColumn, ...]) -> None:
        constants = frozenset(one.name for one in derived if one.operation == "constant")
        self._steps = [(one.name, one.inputs, _maker(one, constants)) for one in derived]

    def of(self, cells: Mapping[str, Cell]) -> dict[str, Cell]:
        """The row's cells and the derived ones."""
        found = dict(cells)
        for name, inputs, make in self._steps:
            found[name] = make([found.get(one) for one in inputs])
        return found


def _parsed(source: str, path: str, name: str, entry: Mapping[str, Any]) -> DerivedColumn:
    signs = [sign for sign in _SIGNS if sign in entry]
    if signs == ["split", "take"]:
        signs = ["split"]
    if len(signs) > 1 or not (signs or "from" in entry):
        step = f"Give it one operation of: {_OPERATIONS}."
        raise DeclarationError(source, "one_operation", step, field=path)
    sign = signs[0] if signs else "rename"
    operation = "split" if sign == "take" else sign
    alone = operation in {"join", "constant"}
    if alone == ("from" in entry):
        step = f"Remove from: {operation} does not use it." if alone else "Name a column by from."
        raise DeclarationError(source, "from_needed", step, field=path)
    _require_options(source, path, operation, entry)
    return DerivedColumn(
        name=name,
        operation=operation,
        inputs=tuple(entry.get("join", ())) if alone else (entry["from"],),
        separator=entry.get("separator", "") if operation == "join" else entry.get("split"),
        take=entry.get("take"),
        words=_words(source, path, operation, entry),
        otherwise=entry.get("otherwise", "set_aside"),
    )


def _require_options(source: str, path: str, operation: str, entry: Mapping[str, Any]) -> None:
    for option, users in (("separator", {"join"}), ("otherwise", {"map", "extract"})):
        if option in entry and operation not in users:
            step = f"Remove {option}: only {' and '.join(sorted(users))} use it."
            raise DeclarationError(source, "option_not_used", step, field=path)
    if entry.get("take") == 0:
        step = "Count from 1, or from -1 at the end."
        raise DeclarationError(source, "take_zero", step, field=f"{path}.take")


def _words(source: str, path: str, operation: str, entry: Mapping[str, Any]) -> tuple[Any, ...]:
    if operation == "map":
        pairs = tuple((trim(word).casefold(), text) for word, text in entry["map"].items())
        if len({word for word, _ in pairs}) != len(pairs):
            step = "Write each value once: case and spaces around it do not count."
            raise DeclarationError(source, "value_repeated", step, field=f"{path}.map")
        return pairs
    if operation == "extract":
        try:
            compiled(entry["extract"])
        except PatternRefused as refused:
            raise DeclarationError(
                source, refused.rule, refused.next_step, field=f"{path}.extract"
            ) from None
        return (entry["extract"],)
    if operation == "constant":
        return (entry["constant"],)
    words = tuple(entry.get(operation, ())) if operation in {"date", "path"} else ()
    if operation == "date" and not all(one == SHEET_DAY or names_a_day(one) for one in words):
        step = "Name year, month and day in each format."
        raise DeclarationError(source, "date_incomplete", step, field=f"{path}.date")
    return words


_Make = Callable[[list[Cell]], Cell]


def _maker(column: DerivedColumn, constants: frozenset[str]) -> _Make:
    if column.operation == "constant":
        (text,) = column.words
        return lambda _: text
    if column.operation == "join":
        counts = [name not in constants for name in column.inputs]
        return lambda cells: _joined(cells, column.separator or "", counts)
    if column.operation == "rename":
        return lambda cells: cells[0]
    take = column.take
    if column.operation == "split" and column.separator is None:
        return lambda cells: _taken(cells[0], take)
    read = _reader(column)
    return lambda cells: _each(cells[0], read)


def _reader(column: DerivedColumn) -> Reader:
    words, otherwise = column.words, column.otherwise
    match column.operation:
        case "split":
            return part_reader(column.separator or "", column.take)
        case "map":
            return code_reader(dict(words), otherwise)
        case "extract":
            return pattern_reader(words[0], otherwise)
        case "date":
            return date_reader(words)
        case _:
            return path_reader(words)


def _each(cell: Cell, read: Reader) -> Cell:
    """Read a text, or each text of a list; one that cannot be read takes the list with it."""
    if isinstance(cell, BadCell):
        return cell
    try:
        if isinstance(cell, str):
            text = trim(cell)
            return read(text) if text else None
        found = [read(text) for text in map(trim, cell or ()) if text]
    except Unreadable as refused:
        return BadCell(refused.rule, refused.next_step, _raw([cell]), refused.rejects_row)
    texts = [text for one in found for text in (one if isinstance(one, tuple) else (one,))]
    return tuple(text for text in texts if text) or None


def _taken(cell: Cell, take: int | None) -> Cell:
    if not isinstance(cell, tuple) or take is None:
        return cell if take in {None, 1, -1} or isinstance(cell, BadCell) else None
    place = take - 1 if take > 0 else take
    return cell[place] if -len(cell) <= place < len(cell) else None


def _joined(cells: list[Cell], separator: str, counts: list[bool]) -> Cell:
    """The filled cells with the separator between them; constants alone are nothing."""
    bad = next((cell for cell in cells if isinstance(cell, BadCell)), None)
    if bad is not None:
        return bad
    if any(isinstance(cell, tuple) for cell in cells):
        step = "Join columns with one value each: take one of a list first."
        return BadCell("several_values", step, _raw(cells), rejects_row=False)
    texts = [trim(cell) if isinstance(cell, str) else "" for cell in cells]
    if not any(text and counted for text, counted in zip(texts, counts, strict=True)):
        return None
    joined = separator.join(text for text in texts if text)
    if len(joined) > MAX_JOINED:
        step = f"Join at most {MAX_JOINED} characters."
        return BadCell("cell_too_large", step, _raw(cells), rejects_row=False)
    return joined or None


def _raw(cells: list[Cell]) -> Sensitive:
    texts: list[str] = []
    for cell in cells:
        texts += [cell] if isinstance(cell, str) else cell if isinstance(cell, tuple) else ()
    return Sensitive("\n".join(texts)[:RAW_LIMIT])
