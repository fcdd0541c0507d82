"""From the cells of a feed's row to a record, a deletion or a rejection, with its order. Pure.

Invariants, each named by a test in ``tests/unit/connectors/test_feed_rows.py``:

1. A row gives exactly one result.
2. A row that says deleted needs nothing but a readable record id.
3. An order is a whole number that grows as the cursor does: times of any zone compare by when
   they were.
4. A row of which it is not clear whether it says deleted is a rejection: neither is guessed.
5. A rejection names its record where it can, and the load that the row came in.
"""

import datetime as dt
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Final

from connectors.base import Deleted
from connectors.cells import Cell, trim
from connectors.declaration import SourceDeclaration
from connectors.kept_cells import kept_cells
from connectors.mapping import RowMapper
from connectors.record import Record, Rejection

LARGEST: Final = 2**63 - 1  # an order is kept in 64 bits
UNCLEAR: Final = "deleted_unclear"
_UNCLEAR_STEP: Final = (
    "Say under deleted.values which values mean deleted; without them a time, true or 1 does."
)
_WHOLE: Final = re.compile(r"[+-]?\d+")  # never a time, though Python reads some as one
_MOST_DIGITS: Final = 19  # of LARGEST
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class FeedRows:
    """Maps the rows of one feed by its declaration."""

    def __init__(self, declaration: SourceDeclaration) -> None:
        self._mapper = RowMapper(declaration)
        self._name = declaration.name
        self._deleted = declaration.feed.deleted

    def row(
        self,
        position: int,
        cells: Mapping[str, Cell],
        text: Callable[[], str],
        *,
        order: int | None = None,
        load: int | None = None,
    ) -> Record | Deleted | Rejection:
        """Map one row.

        Args:
            position: of the row in this reading, from 1.
            cells: column to cell.
            text: gives the row as text; called only for a rejection.
            order: of the row.
            load: of the whole table that the row came in.
        """
        says = self._says_deleted(cells)
        if says:
            return self.deleted(position, cells, text, order=order)
        row = self._mapper.map(position, cells, text)
        if says is None:
            unclear = self.reject(position, UNCLEAR, _UNCLEAR_STEP, text())
            row = replace(unclear, record_id=row.record_id, cells=kept_cells(cells))
        if isinstance(row, Rejection):
            return row if order is load is None else replace(row, order=order, load=load)
        return row if order is load is None else replace(row, order=order, load=load)

    def deleted(
        self,
        position: int,
        cells: Mapping[str, Cell],
        text: Callable[[], str],
        *,
        order: int | None = None,
    ) -> Deleted | Rejection:
        """The deletion of the record that these cells name."""
        row = self._mapper.map(position, cells, text)
        if row.record_id is None:
            return self.reject(
                position, "record_id_missing", "Give the id of the deleted record.", text()
            )
        day = row.day if isinstance(row, Record) else None
        return Deleted(self._name, position, row.record_id, order, day)

    def reject(self, position: int, rule: str, next_step: str, text: str) -> Rejection:
        """The rejection of a whole row."""
        return self._mapper.reject(position, rule, next_step, text)

    def _says_deleted(self, cells: Mapping[str, Cell]) -> bool | None:
        """Whether the row says that its record is deleted; None: that is not clear."""
        cell = cells.get(self._deleted.column) if self._deleted else None
        if self._deleted is None or cell is None:
            return False
        return self._deleted.says(trim(cell)) if isinstance(cell, str) else None


def order_of(value: object) -> int | None:
    """The order that a cursor's value gives; None: it gives none.

    A number is its own; a time counts microseconds since 1970 in UTC, one without a zone as if
    it were UTC; text is read as a whole number or as ISO 8601.
    """
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, str):
        return _of_text(value.strip())
    if isinstance(value, int | Decimal | float):
        return _of_number(value)
    if isinstance(value, dt.datetime):
        return _of_time(value)
    if isinstance(value, dt.date):
        return _of_time(dt.datetime.combine(value, dt.time.min))
    return None


def time_of(value: object) -> dt.datetime | None:
    """The time that a cursor's value is, in UTC; None: it is none."""
    if isinstance(value, str) and not _WHOLE.fullmatch(value.strip()):
        value = _parsed(value.strip())
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC) if value.tzinfo else value.replace(tzinfo=dt.UTC)
    if isinstance(value, dt.date):
        return dt.datetime.combine(value, dt.time.min, dt.UTC)
    return None


def _of_text(text: str) -> int | None:
    if _WHOLE.fullmatch(text):
        digits = text.lstrip("+-0")
        if len(digits) > _MOST_DIGITS:
            return None
        return _of_number(int(digits or "0") * (-1 if text[0] == "-" else 1))
    time = _parsed(text)
    return None if time is None else _of_time(time)


def _parsed(text: str) -> dt.datetime | None:
    try:
        return dt.datetime.fromisoformat(text)
    except ValueError:
        return None


def _of_number(value: float | Decimal) -> int | None:
    if value != value or value in (float("inf"), float("-inf")):  # noqa: PLR0124 - not a number
        return None
    whole = int(value)
    return whole if whole == value and abs(whole) <= LARGEST else None


def _of_time(time: dt.datetime) -> int:
    aware = time if time.tzinfo else time.replace(tzinfo=dt.UTC)
    return (aware - _EPOCH) // dt.timedelta(microseconds=1)
