"""Rows in and out: COPY for many, one prepared statement for few, server-side cursor out."""

import datetime as dt
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from cdp.storage import columns_format, copy_format
from cdp.storage.columns_format import Column, Ints, Numbers
from cdp.storage.key_schema import refuse_retired
from cdp.storage.statements import Statement, flush, send

_AT_ONCE = 1 << 20  # bytes of one message of COPY
_BOUND = "kith.bound"
_BESIDE = (
    "CREATE TEMPORARY TABLE copied ON COMMIT DROP AS SELECT {columns} FROM {table} WITH NO DATA"
)
_OVER = "INSERT INTO {table} ({columns}) SELECT {columns} FROM copied; DROP TABLE copied"
FEW = 40  # rows that travel with the next statement; COPY needs a message of its own


def insert(connection: sa.Connection, table: sa.Table, rows: Iterable[Sequence[Any]]) -> None:
    """Append ``rows``, given as ``copy_in`` takes them, in the cheapest way for how many.

    Raises:
        SealedUnderRetiredKey: as ``copy_in``; of few rows, where the next statement is made.
    """
    held = list(rows)
    if len(held) > FEW:
        copy_in(connection, table, held)
    elif held:
        send(connection, _insertion(table), document(table, held))


def copy_in(connection: sa.Connection, table: sa.Table, rows: Iterable[Sequence[Any]]) -> int:
    """Append ``rows`` (values in the order of the table's columns) with COPY; return how many.

    What the database fills in by itself (an identity, a default) is left out.

    Values: None, bool, int, float, str, bytes, times as datetime or in ISO form, documents as
    JSON text, and lists of str, bytes, int or float for array columns.

    Raises:
        SealedUnderRetiredKey: a key version was retired after the rows were sealed.
    """
    count, content, options = copy_format.written(_columns(table), rows)
    if count:
        _copy(connection, table, content, options)
    return count


def copy_columns(
    connection: sa.Connection, table: sa.Table, columns: Sequence[Column], rows: int
) -> None:
    """Append ``rows`` rows, given as columns of numbers in the order of the table's, with COPY."""
    for part in columns_format.parts(columns, rows):
        _copy(connection, table, io.BytesIO(part), copy_format.BINARY)


def copy_lists(
    connection: sa.Connection, table: sa.Table, keys: Ints, starts: Ints, columns: Sequence[Numbers]
) -> None:
    """Append rows of a number and arrays, as ``columns_format.lists`` takes them, with COPY."""
    for part in columns_format.lists(keys, starts, columns):
        _copy(connection, table, io.BytesIO(part), copy_format.BINARY)


def _copy(connection: sa.Connection, table: sa.Table, content: io.BytesIO, options: str) -> None:
    columns = ", ".join(_given(table))
    flush(connection)
    driver: Any = connection.connection.driver_connection
    bound = _bound(connection, table)
    target = "copied" if bound else table.fullname
    with driver.cursor() as cursor:
        try:
            if bound:
                cursor.execute(_BESIDE.format(table=table.fullname, columns=columns))
            cursor.copy_expert(f"COPY {target} ({columns}) FROM STDIN {options}", content, _AT_ONCE)
            if bound:
                cursor.execute(_OVER.format(table=table.fullname, columns=columns))
        except connection.dialect.loaded_dbapi.Error as error:
            refuse_retired(error)
            raise


def _bound(connection: sa.Connection, table: sa.Table) -> bool:
    """Say whether row policies bind this login: PostgreSQL then takes no COPY into the table."""
    known: dict[str, bool] = connection.info.setdefault(_BOUND, {})
    if table.fullname not in known:
        asked = sa.select(sa.func.row_security_active(table.fullname))
        known[table.fullname] = bool(connection.scalar(asked))
    return known[table.fullname]


def stream(
    connection: sa.Connection, statement: sa.Executable, size: int = 5000
) -> Iterator[Sequence[sa.Row[Any]]]:
    """Yield the rows of ``statement`` in parts of ``size``, never holding them all."""
    result = connection.execute(statement, execution_options={"yield_per": size})
    yield from result.partitions(size)


@cache
def _columns(table: sa.Table) -> tuple[sa.Column[Any], ...]:
    """The columns that a row has a value for: not those that the database fills in itself."""
    return tuple(one for one in table.columns if not (one.identity or one.server_default))


def _given(table: sa.Table) -> tuple[str, ...]:
    return tuple(one.name for one in _columns(table))


@cache
def _insertion(table: sa.Table) -> Statement:
    columns = ", ".join(_given(table))
    return Statement(
        f"insert_{table.name}",
        ("json",),
        f"INSERT INTO {table.fullname} ({columns}) SELECT {columns} "
        f"FROM json_populate_recordset(NULL::{table.fullname}, $1)",
    )


def document(table: sa.Table, rows: Iterable[Sequence[Any]]) -> str:
    """The rows as one JSON array of objects, for ``json_populate_recordset``."""
    names = _given(table)
    documents = {column.name for column in table.columns if isinstance(column.type, JSONB)}
    return json.dumps(
        [
            {
                name: json.loads(value) if name in documents else value
                for name, value in zip(names, row, strict=True)
            }
            for row in rows
        ],
        default=_plain,
        ensure_ascii=False,
    )


def _plain(value: Any) -> str:
    """What JSON has no word for, as PostgreSQL reads it."""
    if isinstance(value, bytes):
        return "\\x" + value.hex()
    if isinstance(value, dt.datetime):
        return value.isoformat()
    raise TypeError(f"a value of type {type(value).__name__} is not stored")
