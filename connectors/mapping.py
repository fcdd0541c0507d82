"""From the cells of one row to a ``Record``, or to the ``Rejection`` that says why not.

Invariants, each named by a test in ``tests/unit/connectors/test_mapping.py``:

1. A row gives exactly one result: a record, or one rejection.
2. A value that cannot be used is never lost: it is in ``problems`` or in the rejection (cut
   after ``RAW_LIMIT`` characters).
3. What names the record or decides consent must be readable, or the row is rejected.
4. No rule, next step or message holds a value.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Final

from connectors.attribute_declaration import AttributeSpec
from connectors.attributes import AttributeRefused, typed
from connectors.cells import BadCell, Cell, trim
from connectors.columns import Columns
from connectors.consent_declaration import OptOut
from connectors.contract import RowContract
from connectors.declaration import FieldSpec, SourceDeclaration
from connectors.formula import OPENERS, is_formula
from connectors.kept_cells import kept_cells
from connectors.record import (
    RAW_LIMIT,
    AttributeValue,
    Breach,
    FieldProblem,
    FieldValue,
    Record,
    Rejection,
    Sensitive,
)
from connectors.vocabulary import FREE_TEXT_FIELDS

# Cells have a module of their own; whoever maps rows takes them from here too.

MAX_VALUES: Final = 100  # values of one field in one row
MAX_RECORD_ID: Final = 512  # characters
MAX_STORE: Final = 128  # characters


class _Wanted:
    """One column that one field is read from."""

    __slots__ = ("column", "field", "formats", "free_text", "scope", "separator", "sole")

    def __init__(self, field: str, column: str, spec: FieldSpec, *, sole: bool) -> None:
        self.field = field
        self.column = column
        self.scope = spec.scope
        self.formats = spec.formats
        self.separator = re.compile(f"[{re.escape(spec.split)}]") if spec.split else None
        self.free_text = field in FREE_TEXT_FIELDS
        self.sole = sole  # no other column gives this field


class _RowRefused(Exception):  # noqa: N818 - caught in map, never seen outside
    def __init__(self, rule: str, next_step: str, breaches: tuple[Breach, ...] = ()) -> None:
        super().__init__(rule, next_step)
        self.rule = rule
        self.next_step = next_step
        self.breaches = breaches


def join_record_id(parts: list[str]) -> str:
    """One text for the columns that name a record; different columns never give the same text."""
    if len(parts) == 1:
        return parts[0]
    return "|".join(part.replace("\\", "\\\\").replace("|", "\\|") for part in parts)


class RowMapper:
    """Maps rows by one declaration. Pure: keeps nothing from one row to the next."""

    def __init__(self, declaration: SourceDeclaration) -> None:
        self._declaration = declaration
        self._wanted = [
            _Wanted(name, column, spec, sole=sum(len(one.columns) for one in specs) == 1)
            for name, specs in declaration.fields.items()
            for spec in specs
            for column in spec.columns
        ]
        self._columns = Columns(declaration.derived) if declaration.derived else None
        self._contract = RowContract(declaration.contract) if declaration.contract else None
        consent = declaration.consent
        self._opt_out = [
            (rule, frozenset(trim(value).casefold() for value in rule.values))
            for rule in (consent.opt_out if consent else ())
        ]

    def map(
        self, position: int, cells: Mapping[str, Cell], text: Callable[[], str]
    ) -> Record | Rejection:
        """Map one row.

        Args:
            position: 1-based row in the source.
            cells: column of the file -> cell; a column that is not there counts as empty. It is
                the row's own: a record refers to it.
            text: gives the row as text; called only for a rejection.
        """
        given = cells
        if self._columns is not None:
            cells = self._columns.of(cells)
        problems: list[FieldProblem] = []
        record_id = None
        try:
            record_id = self._record_id(cells)
            opted_out = self._opted_out(cells)
            store = self._store(cells, problems)
            fields = self._read_fields(cells, problems)
            attributes = self._read_attributes(cells, problems)
            breaches = self._breaches(cells, fields, attributes)
        except _RowRefused as refused:
            rejected = self.reject(position, refused.rule, refused.next_step, text())
            return replace(
                rejected,
                record_id=Sensitive(record_id) if record_id else None,
                breaches=refused.breaches,
                cells=kept_cells(given),
            )
        return Record(
            source=self._declaration.name,
            record_id=Sensitive(record_id),
            position=position,
            fields=fields,
            attributes=attributes,
            store=store,
            opted_out=opted_out,
            problems=tuple(problems),
            breaches=breaches,
            day=self._contract.day(cells) if self._contract else None,
            cells=given,
        )

    def _breaches(
        self,
        cells: Mapping[str, Cell],
        fields: Mapping[str, tuple[FieldValue, ...]],
        attributes: Mapping[str, AttributeValue],
    ) -> tuple[Breach, ...]:
        if self._contract is None:
            return ()
        found = self._contract.breaches(cells, fields, attributes)
        for one in found:
            if one.action == "reject":
                raise _RowRefused(one.rule, one.next_step, found)
        return found

    def reject(self, position: int, rule: str, next_step: str, text: str) -> Rejection:
        """The rejection of a whole row; ``text`` is cut after ``RAW_LIMIT`` characters."""
        name = self._declaration.name
        return Rejection(name, position, None, rule, next_step, Sensitive(text[:RAW_LIMIT]))

    def _record_id(self, cells: Mapping[str, Cell]) -> str:
        columns = self._declaration.record_id
        parts = [_one_text(cells.get(column), column) for column in columns]
        if not all(parts):
            raise _RowRefused(
                "record_id_missing", f"Fill {' and '.join(columns)} in this row, or remove the row."
            )
        joined = join_record_id(parts)
        if len(joined) > MAX_RECORD_ID:
            raise _RowRefused("record_id_too_long", f"Use at most {MAX_RECORD_ID} characters.")
        if any(is_formula(part) for part in parts):
            raise _RowRefused("formula", f"Write {' and '.join(columns)} as plain text.")
        return joined

    def _opted_out(self, cells: Mapping[str, Cell]) -> frozenset[str]:
        refused: set[str] = set()
        for rule, words in self._opt_out:
            cell = cells.get(rule.column)
            texts = (trim(cell),) if isinstance(cell, str) else _consent_texts(cells, rule)
            if any(text.casefold() in words for text in texts):
                refused.update(rule.purposes)
        return frozenset(refused)

    def _store(self, cells: Mapping[str, Cell], problems: list[FieldProblem]) -> str | None:
        column = self._declaration.store
        text = _one_text(cells.get(column), column) if column else ""
        if len(text) > MAX_STORE or not text.isprintable():
            problems.append(
                FieldProblem(
                    "store",
                    "store_form",
                    "Write the node id of the store on one line.",
                    Sensitive(text),
                )
            )
            return None
        return text or None

    def _read_fields(
        self, cells: Mapping[str, Cell], problems: list[FieldProblem]
    ) -> dict[str, tuple[FieldValue, ...]]:
        found: dict[str, tuple[FieldValue, ...]] = {}
        seen: set[tuple[str, str, str | None]] = set()
        for wanted in self._wanted:
            cell = cells.get(wanted.column)
            if not cell:
                continue
            if isinstance(cell, str) and wanted.separator is None:
                parts: tuple[str, ...] = (cell,)
                alone = wanted.sole
            else:
                parts = _parts(wanted, cell, problems)
                alone = False
            for text in map(trim, parts):
                if not text or (not alone and _repeats(wanted, text, seen)):
                    continue
                if text[0] in OPENERS and is_formula(text, free_text=wanted.free_text):
                    step = "Write plain text."
                    problems.append(FieldProblem(wanted.field, "formula", step, Sensitive(text)))
                    continue
                value = FieldValue(Sensitive(text), wanted.scope, wanted.formats)
                found[wanted.field] = (*found.get(wanted.field, ()), value)
        return found

    def _read_attributes(
        self, cells: Mapping[str, Cell], problems: list[FieldProblem]
    ) -> dict[str, AttributeValue]:
        values: dict[str, AttributeValue] = {}
        for name, spec in self._declaration.attributes.items():
            try:
                value = _attribute(cells.get(spec.column), spec)
            except AttributeRefused as refused:
                raw = _raw(cells.get(spec.column))
                problems.append(FieldProblem(name, refused.rule, refused.next_step, raw))
                continue
            if value is not None:
                values[name] = value
        return values


def _one_text(cell: Cell, column: str) -> str:
    """The trimmed text of a cell that must hold at most one."""
    if isinstance(cell, BadCell):
        raise _RowRefused(cell.rule, f"Column {column}: {cell.next_step}")
    if isinstance(cell, tuple):
        raise _RowRefused("several_values", f"Column {column}: give one value, not a list.")
    return trim(cell or "")


def _consent_texts(cells: Mapping[str, Cell], rule: OptOut) -> Iterator[str]:
    cell = cells.get(rule.column)
    if isinstance(cell, BadCell):
        raise _RowRefused(cell.rule, f"Column {rule.column}: {cell.next_step}")
    for text in cell if isinstance(cell, tuple) else (cell or "",):
        yield trim(text)


def _repeats(wanted: _Wanted, text: str, seen: set[tuple[str, str, str | None]]) -> bool:
    """Whether the row gave this value of this field before; from now on it has."""
    key = (wanted.field, text, wanted.scope)
    if key in seen:
        return True
    seen.add(key)
    return False


def _parts(wanted: _Wanted, cell: Cell, problems: list[FieldProblem]) -> tuple[str, ...]:
    """The texts of a cell that is a list, is to be split, or could not be read."""
    if isinstance(cell, BadCell):
        _refuse_unreadable(cell, wanted.column)
        problems.append(FieldProblem(wanted.field, cell.rule, cell.next_step, cell.raw))
        return ()
    parts = (cell,) if isinstance(cell, str) else cell or ()
    separator = wanted.separator
    if separator:
        parts = tuple(piece for part in parts for piece in separator.split(part))
    if len(parts) > MAX_VALUES:
        step = f"Give at most {MAX_VALUES} values."
        problems.append(FieldProblem(wanted.field, "too_many_values", step, _raw(cell)))
        return ()
    return parts


def _refuse_unreadable(cell: BadCell, column: str) -> None:
    if cell.rejects_row:
        raise _RowRefused(cell.rule, f"Column {column}: {cell.next_step}")


def _attribute(cell: Cell, spec: AttributeSpec) -> AttributeValue | None:
    if isinstance(cell, BadCell):
        _refuse_unreadable(cell, spec.column)
        raise AttributeRefused(cell.rule, cell.next_step)
    if isinstance(cell, tuple):
        raise AttributeRefused("several_values", "Give one value, not a list.")
    text = trim(cell or "")
    return typed(text, spec) if text else None


def _raw(cell: Cell) -> Sensitive:
    if isinstance(cell, BadCell):
        return cell.raw
    text = cell if isinstance(cell, str) else "\n".join(cell or ())
    return Sensitive(text[:RAW_LIMIT])
