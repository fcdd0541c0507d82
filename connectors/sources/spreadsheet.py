"""Rows of one sheet of an .xlsx workbook: the one module that imports python-calamine.

Titles may stand above the heading (`connectors.sources.header`). Position 1 is the row below it; an
empty row has a position and gives nothing. The format does not allow streaming: a whole sheet is in
memory, so how much it unpacks to and how far it reaches is known before.
"""

import itertools
import math
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import BinaryIO, Final
from zipfile import BadZipFile, ZipFile

from python_calamine import (
    CalamineError,
    CalamineSheet,
    CalamineWorkbook,
    SheetTypeEnum,
    SheetVisibleEnum,
)

from connectors.attributes import canonical_decimal
from connectors.base import Finding, Level
from connectors.cells import BadCell, Cell, trim
from connectors.errors import Stop
from connectors.record import Record, Rejection, Sensitive
from connectors.sources.cell_text import duration_text
from connectors.sources.csv_rows import exceeds
from connectors.sources.forms import WORKBOOK, form_of
from connectors.sources.header import TITLE_ROWS, heading_among, nameless, resolve_header
from connectors.sources.local_file import FileSource
from connectors.sources.places import size_of
from connectors.sources.workbook_faults import ERROR, Looked, MalformedWorkbook, looked_into
from connectors.table import MOST_ROWS, Table, table_of

MAX_UNPACKED: Final = 2 * 1024**3  # bytes of XML a workbook may hold
MAX_CELLS: Final = 50_000_000  # of the rectangle up to the last cell; each takes about 40 bytes
EXACT_NUMBERS: Final = 10**15  # a spreadsheet keeps 15 digits; of longer numbers the end is lost

# RuntimeError is an encrypted part; NotImplementedError, a kind of it, an unknown way of packing.
_UNREADABLE: Final = (
    CalamineError,
    BadZipFile,
    MalformedWorkbook,
    OSError,
    RuntimeError,
    zlib.error,
)

Value = int | float | str | bool | time | date | datetime | timedelta

_Row = tuple[int, list[Cell]]  # its number from 0, and its cells

_FAULT_STEPS: Final = {
    ERROR: "the cell shows an error, correct it in the workbook.",
    "formula_without_value": "the formula was never calculated, open and save the workbook.",
}


_FAR_STEP: Final = "Delete what stands far below or right of the table, or save the sheet as CSV."


@dataclass(frozen=True, slots=True)
class _Opened:
    sheet: CalamineSheet
    others: list[str]  # names of the other sheets
    hidden: frozenset[str]
    looked: Looked


class SpreadsheetSource(FileSource):
    """Reads one sheet, the declared one or the first visible one."""

    def _count(self) -> int:
        with self._opened() as opened:
            return max(opened.sheet.height - 1, 0)  # but for the heading

    def table(self, most: int = MOST_ROWS) -> Table:
        """The first rows below the heading as they are. Raises ``Stop`` as ``read`` does."""
        with self._opened() as opened:
            _, first, rows = self._heading(self._filled(opened))
            header = resolve_header(first, self._declaration)
            others = sorted(opened.others, key=opened.hidden.__contains__)
            return table_of(
                header,
                (cells for _, cells in rows),
                most,
                sheet=opened.sheet.name,
                sheets=tuple(others),
                hidden=opened.hidden,
            )

    def _rows(self, after: int) -> Iterator[Record | Rejection]:
        with self._opened() as opened:
            top, first, rows = self._heading(self._filled(opened))
            header = resolve_header(first, self._declaration)
            for number, cells in rows:
                if number - top > after:
                    yield self._map(number - top, dict(zip(header, cells, strict=True)))

    def _map(self, position: int, cells: dict[str, Cell]) -> Record | Rejection:
        def text() -> str:
            return "\t".join(map(_shown, cells.values()))

        if any(
            isinstance(cell, str) and exceeds(cell, self._cell_limit) for cell in cells.values()
        ):
            return self._mapper.reject(position, "cell_too_large", "Shorten the cell.", text())
        return self._mapper.map(position, cells, text)

    def _filled(self, opened: _Opened) -> Iterator[tuple[int, list[Cell]]]:
        """Rows that hold more than white space, with their number from 0."""
        left = (opened.sheet.start or (0, 0))[1]
        faults = opened.looked.faults
        faulty = {row for row, _ in faults}
        # the sheet ends, for calamine, before rows that hold nothing but uncalculated formulas
        end = opened.sheet.end[0] if opened.sheet.end else -1
        empty: list[Value] = [""] * opened.sheet.width
        behind = [(row, empty) for row in sorted(faulty) if row > end]
        rows: Iterable[tuple[int, list[Value]]] = enumerate(opened.sheet.iter_rows())
        for number, values in itertools.chain(rows, behind):
            cells = [cell_of(value) for value in values]
            if number in faulty:
                for column in range(len(cells)):
                    rule = faults.get((number, left + column))
                    if rule:
                        cells[column] = BadCell(rule, _FAULT_STEPS[rule], Sensitive(""))
            if any(trim(cell) if isinstance(cell, str) else cell for cell in cells):
                yield number, cells

    def _heading(self, rows: Iterator[_Row]) -> tuple[int, list[str], Iterator[_Row]]:
        """Where the heading is, what it says, and the rows below it."""
        above = list(itertools.islice(rows, TITLE_ROWS))
        if not above:
            raise self._stop("empty_file", "Export the sheet again: it holds nothing at all.")
        names = [[trim(one) if isinstance(one, str) else "" for one in cells] for _, cells in above]
        found = heading_among(names, self._declaration.columns())
        return above[found][0], names[found], itertools.chain(above[found + 1 :], rows)

    def _inspect(self) -> Iterable[Finding]:
        with self._opened() as opened:
            _, first, _ = self._heading(self._filled(opened))
            yield from nameless(resolve_header(first, self._declaration))
            if opened.others and self._declaration.sheet is None:
                step = f"Declare sheet: to choose; not read: {', '.join(opened.others)}."
                yield Finding(Level.NOTE, "sheet_chosen", opened.sheet.name, step)
            looked = opened.looked
            if looked.faults:
                step = f"{len(looked.faults)} cells show an error or were never calculated."
                yield Finding(Level.WARNING, ERROR, opened.sheet.name, step)
            if looked.merged:
                step = f"Only the first cell of {looked.merged} merged areas holds its value: "
                step += "unmerge them, and fill in the others."
                yield Finding(Level.WARNING, "merged_cells", opened.sheet.name, step)

    @contextmanager
    def _opened(self) -> Iterator[_Opened]:
        with self._open_filled() as file:
            try:
                with self._archive(file) as archive:
                    file.seek(0)  # calamine reads on from where the archive's index was read
                    workbook = CalamineWorkbook.from_filelike(file)
                    name = self._sheet_name(workbook)
                    looked = looked_into(archive, name)
                    if looked.cells > MAX_CELLS:
                        raise self._stop("sheet_too_large", _FAR_STEP)
                    opened = _Opened(
                        workbook.get_sheet_by_name(name),
                        [other for other in workbook.sheet_names if other != name],
                        frozenset(workbook.sheet_names).difference(_shown_sheets(workbook)),
                        looked,
                    )
            except _UNREADABLE:  # from None: their messages may quote cells
                raise self._no_workbook(file) from None
            with workbook:
                yield opened

    def _no_workbook(self, file: BinaryIO) -> Stop:
        """What is wrong, told by what the file is."""
        form = form_of(file)
        if form is None:
            step = "It may be text: declare connector: csv, or save it as .xlsx."
        elif form is WORKBOOK:
            step = "It is damaged, or written in a way that is not read: save it as .xlsx again."
        else:
            step = f"It is {form.name}. {form.next_step}"
        return self._stop("not_a_workbook", step)

    def _archive(self, file: BinaryIO) -> ZipFile:
        archive = ZipFile(file)
        unpacked = sum(part.file_size for part in archive.infolist())
        if max(unpacked, size_of(file)) > MAX_UNPACKED:  # what is no part of it is read, too
            raise self._stop("workbook_too_large", "Save the sheet as CSV.")
        if "xl/workbook.xml" not in archive.namelist():
            raise BadZipFile
        return archive

    def _sheet_name(self, workbook: CalamineWorkbook) -> str:
        wanted = self._declaration.sheet
        visible = _shown_sheets(workbook)
        if wanted is None and visible:
            return visible[0]
        if wanted is None or wanted not in workbook.sheet_names:
            there = ", ".join(workbook.sheet_names)
            raise self._stop("sheet_missing", f"Declare one of the sheets there are: {there}.")
        return wanted


def _shown_sheets(workbook: CalamineWorkbook) -> list[str]:
    return [
        sheet.name
        for sheet in workbook.sheets_metadata
        if (sheet.visible, sheet.typ) == (SheetVisibleEnum.Visible, SheetTypeEnum.WorkSheet)
    ]


def cell_of(value: Value) -> Cell:
    """The text of a cell: dates in ISO 8601, numbers in digits without exponent."""
    if isinstance(value, str):
        return value or None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return _number(value)
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time.min else value.isoformat()
    if isinstance(value, timedelta):
        return duration_text(value.total_seconds())
    return value.isoformat()


def _number(value: float) -> Cell:
    if not math.isfinite(value):
        return BadCell("not_a_number", "write a number.", Sensitive(str(value)))
    if abs(value) >= EXACT_NUMBERS:
        step = "Format the column as text and enter the number again: its last digits are lost."
        return BadCell("digits_lost", step, Sensitive(f"{value:.0f}"), rejects_row=False)
    return canonical_decimal(Decimal(repr(value)))


def _shown(cell: Cell) -> str:
    if isinstance(cell, BadCell):
        return cell.raw.reveal(reason="keep the row for the rejection") or f"#{cell.rule}"
    return cell if isinstance(cell, str) else ""
