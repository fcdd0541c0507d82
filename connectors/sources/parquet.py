"""Rows of a Parquet file.

Position n is row n of the file, over all its row groups. Row groups before the first wanted row
are not read. A column is a name, or names joined by dots (``contact.phone``); through a list it
reaches every item. Memory is bounded by a batch of rows and the pages they stand in, whatever a
page says that it unpacks to.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, Final

from connectors.base import Finding
from connectors.cells import BadCell, Cell
from connectors.record import Record, Rejection
from connectors.sources.csv_rows import exceeds
from connectors.sources.header import nameless, resolve_header
from connectors.sources.local_file import FileSource
from connectors.sources.parquet_engine import DAMAGED, TOO_MANY, ParquetTable, RefusedError
from connectors.sources.parquet_pages import (
    ENCRYPTED_MARK,
    MARK,
    TAIL,
    BrokenPagesError,
    Footer,
    TooManyColumnsError,
    footer,
    footer_length,
)
from connectors.sources.places import size_of
from connectors.table import MOST_COLUMNS, MOST_ROWS, Table, table_of

MAX_METADATA: Final = 16 * 1024**2  # bytes
_ENCRYPTED: Final = ("file_encrypted", "Export the file without encryption.")


class ParquetSource(FileSource):
    """Streams a Parquet file, a batch of rows at a time, and reads only the declared columns."""

    def table(self, most: int = MOST_ROWS) -> Table:
        """The first rows, the paths of structures as columns. Raises ``Stop`` as ``read`` does."""
        with self._opened() as (parquet, _):
            there = parquet.columns()
            columns = there[:MOST_COLUMNS]
            rows = (
                list(row)
                for _, cells in parquet.read(columns, 0)
                for row in zip(*cells, strict=True)
            )
            return table_of(columns, rows, most, beyond=len(there) - len(columns))

    def _count(self) -> int:
        with self._opened() as (table, _):
            return table.rows

    def _rows(self, after: int) -> Iterator[Record | Rejection]:
        with self._opened() as (table, columns):
            for first, cells in table.read(columns, after):
                for position, row in enumerate(zip(*cells, strict=True), start=first):
                    yield self._map(position, dict(zip(columns, row, strict=True)))

    def _map(self, position: int, cells: dict[str, Cell]) -> Record | Rejection:
        def text() -> str:
            shown = {column: _shown(cell) for column, cell in cells.items() if cell is not None}
            return json.dumps(shown, ensure_ascii=False)

        for cell in cells.values():
            texts = (cell,) if isinstance(cell, str) else cell if isinstance(cell, tuple) else ()
            if any(exceeds(one, self._cell_limit) for one in texts):
                return self._mapper.reject(position, "cell_too_large", "Shorten the cell.", text())
        return self._mapper.map(position, cells, text)

    def _inspect(self) -> Iterable[Finding]:
        with self._opened() as (table, _):
            yield from nameless(table.columns())

    @contextmanager
    def _opened(self) -> Iterator[tuple[ParquetTable, list[str]]]:
        """The table, and the declared columns."""
        with self._open_filled() as file:
            described = self._described(file)
            try:
                table = ParquetTable(file, described)
                resolve_header(table.columns(), self._declaration)
                yield table, list(self._declaration.columns())
            except RefusedError as refused:
                raise self._stop(refused.rule, refused.next_step) from None

    def _described(self, file: BinaryIO) -> Footer:
        size = size_of(file)
        beginning = file.read(len(MARK))
        length, mark = footer_length(file, size)
        if ENCRYPTED_MARK in (beginning, mark):
            raise self._stop(*_ENCRYPTED)
        if beginning != MARK:
            raise self._stop("not_parquet", "Save the file as Parquet.")
        if mark != MARK:
            raise self._stop("file_cut_short", "Copy the file again: its end is missing.")
        if length > size - TAIL:
            raise self._stop(*DAMAGED)
        if length > MAX_METADATA:
            raise self._stop("metadata_too_large", "Export fewer columns, or larger row groups.")
        file.seek(size - TAIL - length)
        return self._footer(file.read(length))

    def _footer(self, metadata: bytes) -> Footer:
        try:
            found = footer(metadata)
        except TooManyColumnsError:
            raise self._stop(*TOO_MANY) from None
        except BrokenPagesError:
            raise self._stop(*DAMAGED) from None
        if found.encrypted:
            raise self._stop(*_ENCRYPTED)
        return found


def _shown(cell: Cell) -> str | list[str]:
    if isinstance(cell, BadCell):
        return cell.raw.reveal(reason="keep the row for the rejection")
    return list(cell) if isinstance(cell, tuple) else cell or ""
