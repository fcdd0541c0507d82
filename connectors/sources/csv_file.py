"""Rows of a CSV file.

Titles may stand above the heading (`connectors.sources.header`). Position 1 is the first row below
it. A blank line has a position and gives nothing, so in a file without titles, and without line
breaks inside cells, row n stands on line n + 1.
"""

import itertools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from connectors.base import Finding
from connectors.cells import Cell, trim
from connectors.errors import Stop
from connectors.record import Record, Rejection
from connectors.sources import encodings
from connectors.sources.csv_rows import BadRow, CsvRows, GoodRow
from connectors.sources.header import TITLE_ROWS, heading_among, nameless, resolve_header
from connectors.sources.local_file import FileSource
from connectors.sources.physical_lines import LINE_FACTOR, PhysicalLines
from connectors.table import MOST_ROWS, Table, table_of

_Rows = Iterator[GoodRow | BadRow | None]


class CsvFileSource(FileSource):
    """Streams a CSV file: memory is bounded by the largest row."""

    def _count(self) -> int:
        return max(self._count_lines() - 1, 0)  # but for the heading

    def table(self, most: int = MOST_ROWS) -> Table:
        """The first rows below the heading as they are. Raises ``Stop`` as ``read`` does."""
        with self._opened() as (rows, header, encoding):
            filled = (row for row in rows if row is not None)
            width = len(header)
            cells = (
                list[Cell](map(plain_text, _aligned(row.cells, width)))
                if isinstance(row, GoodRow)
                else None
                for row in filled
            )
            return table_of(header, cells, most, encoding=encoding)

    def _rows(self, after: int) -> Iterator[Record | Rejection]:
        with self._opened() as (rows, header, _):
            # Only the declared columns: a row may have a million others.
            places = [(name, header.index(name)) for name in self._declaration.columns()]
            for position, row in enumerate(rows, start=1):
                if position > after and row is not None:
                    yield self._map(position, row, len(header), places)

    def _map(
        self, position: int, row: GoodRow | BadRow, width: int, places: list[tuple[str, int]]
    ) -> Record | Rejection:
        if isinstance(row, BadRow):
            return self._mapper.reject(position, row.rule, row.next_step, row.text)
        cells = _aligned(row.cells, width)
        if len(cells) != width:
            step = f"The row has {len(cells)} cells and the heading {width}: align them."
            return self._mapper.reject(position, "column_count", step, row.text)
        return self._mapper.map(
            position, {name: plain_text(cells[place]) for name, place in places}, lambda: row.text
        )

    def _inspect(self) -> Iterable[Finding]:
        try:
            with self._opened() as (_, header, encoding):
                yield from self._detected(encoding)
                yield from nameless(header)
        except Stop as stop:
            if stop.rule == "column_missing":  # a name that is there looks like another one
                yield from self._doubts(encodings.codec(self._declaration.encoding))
            raise
        yield from self._doubts(encoding)

    def _doubts(self, encoding: str) -> Iterable[Finding]:
        with self._open() as file:
            if encoding != "auto":
                yield from encodings.doubts(file, encoding)

    @contextmanager
    def _opened(self) -> Iterator[tuple[_Rows, list[str], str]]:
        """The rows below the heading, the heading, and the encoding."""
        with self._open_filled() as file:
            self._require_text(file)
            encoding = encodings.codec(self._declaration.encoding)
            sample = encodings.sample_of(file)
            if encodings.is_utf16(sample):  # known by its first bytes; it may have no line at all
                raise self._wrong_encoding(sample, "utf-8" if encoding == "auto" else encoding)
            if encoding == "auto":
                found = encodings.detect_file(file, LINE_FACTOR * self._cell_limit)
                if found is None:
                    raise self._stop("encoding_unclear", encodings.choice(file))
                encoding = found
            lines = PhysicalLines(file, encoding, self._cell_limit)
            rows = iter(CsvRows(lines, encoding, self._declaration.delimiter, self._cell_limit))
            header, below = self._headed(rows, sample, encoding)
            yield below, header, encoding

    def _headed(self, rows: _Rows, sample: bytes, encoding: str) -> tuple[list[str], _Rows]:
        """The heading, and the rows below it."""
        wanted = self._declaration.columns()
        first = next(rows, None)
        try:
            header = self._header(first, sample, encoding)
            if wanted:
                return header, rows
        except Stop as stop:
            if stop.rule != "column_missing":
                raise
        above = [first, *itertools.islice(rows, TITLE_ROWS - 1)]
        names = [list(map(trim, one.cells)) if isinstance(one, GoodRow) else [] for one in above]
        found = heading_among(names, wanted)
        header = self._header(above[found], sample, encoding)
        return header, itertools.chain(above[found + 1 :], rows)

    def _wrong_encoding(self, sample: bytes, encoding: str) -> Stop:
        advice = encodings.advice(sample, encoding)
        return self._stop("wrong_encoding", f"The heading is not {encoding}. {advice}")

    def _header(self, row: GoodRow | BadRow | None, sample: bytes, encoding: str) -> list[str]:
        if isinstance(row, BadRow) and row.rule == "not_decodable":
            raise self._wrong_encoding(sample, encoding)
        if row is None:
            raise self._stop("header_missing", "Begin the file with the column names.")
        if isinstance(row, BadRow):
            raise self._stop("header_unreadable", f"Correct the heading ({row.rule}).")
        if "\r" in row.text and '"' not in row.text:
            raise self._stop("line_breaks", "Save the file with LF or CRLF line breaks.")
        return resolve_header([trim(plain_text(one)) for one in row.cells], self._declaration)


def plain_text(cell: str) -> str:
    """The text of a cell written as ``="0139"``: so exports keep a spreadsheet from counting it.

    It is a formula that can have one value only, and none but that stands in it.
    """
    if cell.startswith('="') and cell.endswith('"') and cell.count('"') == 2 and len(cell) > 2:
        return cell[2:-1]
    return cell


def _aligned(cells: list[str], width: int) -> list[str]:
    """The cells of a row, without empty ones behind the last column: delimiters too many."""
    return cells[:width] if len(cells) > width and not any(cells[width:]) else cells
