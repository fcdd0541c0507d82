"""The first rows that a reading gives, as they are: for whoever judges columns nobody declared.

A feed is asked for nothing more because of it: what comes anyway is looked at. Pure.

Invariants, each named by a test in ``tests/unit/connectors/test_glimpse.py``:

1. It holds a bounded number of rows, columns and characters, whatever comes.
2. It shows nothing of what it holds.
"""

from collections.abc import Mapping
from typing import Any, Final, Protocol, runtime_checkable

from connectors.cells import Cell
from connectors.record import Raw
from connectors.sources.json_lines import cell_at, paths_of
from connectors.table import MOST_COLUMNS, Table

SEEN: Final = 200  # rows
LONGEST: Final = 200  # characters of a text; what is longer is no value that names a person


class Glimpse(Raw):
    """Takes rows until it has enough."""

    __slots__ = ("_most", "_rows")

    def __init__(self, most: int = SEEN) -> None:
        self._most = most
        self._rows: list[dict[str, Cell]] = []

    @property
    def is_full(self) -> bool:
        """Whether it takes no more."""
        return len(self._rows) >= self._most

    def see(self, row: Mapping[str, Any]) -> None:
        """Take one row, a parsed JSON object; of lists all items count."""
        if self.is_full:
            return
        whole = dict(row)
        self._rows.append({path: _short(cell_at(whole, path)) for path in paths_of([whole])})

    def table(self) -> Table:
        """What was seen."""
        columns = dict.fromkeys(path for row in self._rows for path in row)
        return Table(tuple(columns)[:MOST_COLUMNS], tuple(self._rows))


@runtime_checkable
class Glimpsed(Protocol):
    """A feed that remembers the first rows of its last reading."""

    def glimpsed(self) -> Table:
        """Those rows, unmapped; none before anything was read."""
        ...


def _short(cell: Cell) -> Cell:
    if isinstance(cell, str):
        return cell if len(cell) <= LONGEST else None
    if isinstance(cell, tuple):
        return tuple(text for text in cell[:LONGEST] if len(text) <= LONGEST)
    return None
