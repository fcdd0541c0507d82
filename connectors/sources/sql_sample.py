"""A database that nobody has declared yet: its tables, and the first rows of one."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, Literal

from connectors.errors import Stop
from connectors.feed_declaration import FeedSpec
from connectors.record import Raw, Sensitive
from connectors.sources.sql_cells import cell_of
from connectors.sources.sql_engine import Database
from connectors.table import MOST_COLUMNS, MOST_ROWS, Table, table_of

Kind = Literal["time", "number", "truth", "text"]
_KINDS: Final[tuple[tuple[Any, Kind], ...]] = (
    (bool, "truth"),
    (dt.date, "time"),  # a datetime is one too
    (int | Decimal, "number"),
)


@dataclass(frozen=True, slots=True)
class Sample(Raw):
    """Some rows of a table.

    Attributes:
        table: its columns and rows, as cells.
        key: the columns of the primary key.
        kinds: of each column, what all its values are that are there; none there: text.
        filled: the columns without an empty value.
    """

    table: Table
    key: tuple[str, ...]
    kinds: Mapping[str, Kind] = field(repr=False)
    filled: frozenset[str] = field(repr=False)


def tables_of(source: str, dsn: Sensitive) -> tuple[str, ...]:
    """The tables and views that the login may see. Raises ``Stop``, ``Retry``."""
    with Database(source, dsn, FeedSpec()).reading() as reading:
        return reading.tables()


def sample_of(source: str, dsn: Sensitive, named: str) -> Sample:
    """Some rows of a table, in no order. Raises ``Stop``, ``Retry``."""
    with Database(source, dsn, FeedSpec(table=named)).reading() as reading:
        there = reading.columns()
        if there is None:
            step = "Name one of those that: cdp source init --dsn REFERENCE lists."
            raise Stop(source, "table_missing", step, field="table")
        columns, key = there[:MOST_COLUMNS], reading.primary_key()
        rows = reading.sample(columns, MOST_ROWS)
    kinds: dict[str, Kind] = {}
    filled = set()
    for place, column in enumerate(columns):
        values = [row[place] for row in rows]
        kinds[column] = _kind([one for one in values if one is not None])
        if None not in values:
            filled.add(column)
    cells = ([cell_of(value) for value in row] for row in rows)
    table = table_of(columns, cells, MOST_ROWS, beyond=len(there) - len(columns))
    return Sample(table, key, kinds, frozenset(filled))


def _kind(values: list[Any]) -> Kind:
    for types, kind in _KINDS:
        if values and all(isinstance(one, types) for one in values):
            return kind
    return "text"
