"""The first rows of a file as they are, for whoever judges columns that nobody has declared."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from types import MappingProxyType
from typing import Any, Final, Protocol, runtime_checkable

from connectors.cells import Cell, trim
from connectors.declaration import SourceDeclaration
from connectors.record import Raw, Record, Rejection

MOST_ROWS: Final = 500
MOST_COLUMNS: Final = 300  # a file with more is no list of people
MOST_TEXT: Final = 16 * 1024**2  # characters of all rows together; then no more of them are taken


@dataclass(frozen=True, slots=True)
class Table(Raw):
    """Some rows, before any mapping.

    Attributes:
        columns: the headings, or the paths of JSON, in the order of the file; without a name
            and without end they are left out.
        rows: column -> cell.
        encoding: that the file was read in; "" where it says so itself.
        sheet: that was read; "" where there are none.
        sheets: the others of the workbook, those that show first.
        hidden: of these, the ones that somebody hid.
        more: columns behind these, which were not looked at.
        crooked: rows whose cells do not match the heading.
    """

    columns: tuple[str, ...]
    rows: tuple[Mapping[str, Cell], ...] = field(repr=False)
    encoding: str = ""
    sheet: str = ""
    sheets: tuple[str, ...] = ()
    hidden: frozenset[str] = frozenset()
    more: int = 0
    crooked: int = 0

    def __repr__(self) -> str:
        return f"<table of {len(self.rows)} rows>"

    def texts(self, column: str) -> list[str]:
        """The filled texts of a column; of a list each one."""
        found: list[str] = []
        for row in self.rows:
            cell = row.get(column)
            parts = (cell,) if isinstance(cell, str) else cell if isinstance(cell, tuple) else ()
            found += [text for text in map(trim, parts) if text]
        return found

    def filled(self, column: str) -> int:
        """In how many rows the column holds one text."""
        return sum(isinstance(row.get(column), str) for row in self.rows)


@runtime_checkable
class Tabular(Protocol):
    """A source whose rows can be looked at before they are mapped."""

    def table(self, most: int = MOST_ROWS) -> Table:
        """The first rows. Raises ``Stop`` when nothing can be read."""
        ...


@runtime_checkable
class Sampled(Protocol):
    """A source some of whose rows can be looked at as a sync would read them."""

    def first(self, most: int) -> list[Record | Rejection]:
        """Some rows, mapped; no more of it is read. Raises ``ConnectorError``."""
        ...


def table_of(
    header: Iterable[str],
    rows: Iterable[list[Cell] | None],
    most: int,
    *,
    beyond: int = 0,
    **more: Any,
) -> Table:
    """A table of rows given as cells; None, or another number of cells, is a crooked row.

    Args:
        header: names of columns.
        rows: their cells.
        most: rows to take.
        beyond: columns that were left out before.
        more: further attributes of the table.
    """
    names = list(header)
    columns = tuple(name for name in names[:MOST_COLUMNS] if name)
    kept: list[Mapping[str, Cell]] = []
    crooked = text = 0
    for cells in islice(rows, most):
        if cells is None or len(cells) != len(names):
            crooked += 1
            continue
        # Of a column without end nothing is kept: 500 rows of a million cells would fill memory.
        row = {name: cell for name, cell in zip(names[:MOST_COLUMNS], cells, strict=False) if name}
        kept.append(row)
        text += sum(map(_length, row.values()))
        if text > MOST_TEXT:
            break
    beyond += sum(map(bool, names[MOST_COLUMNS:]))
    return Table(columns, tuple(kept), more=beyond, crooked=crooked, **more)


def _length(cell: Cell) -> int:
    if isinstance(cell, str):
        return len(cell)
    return sum(map(len, cell)) if isinstance(cell, tuple) else 0


def unmapped(name: str, connector: str, location: str, **more: Any) -> SourceDeclaration:
    """A declaration that names no column, to open a file that nobody has declared yet."""
    nothing: Mapping[str, Any] = MappingProxyType({})
    return SourceDeclaration(name, connector, location, (), nothing, nothing, **more)
