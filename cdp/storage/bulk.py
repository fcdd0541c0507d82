"""Rows in and out: COPY for many, one prepared statement for few, server-side cursor out."""

import datetime as dt
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from cdp.storage.statements import Statement, flush, send

FEW = 40  # rows that travel with the next statement; COPY needs a message of its own


def insert(connection: sa.Connection, table: sa.Table, rows: Iterable[Sequence[Any]]) -> None:
    """Append ``rows``, given as ``copy_in`` takes them, in the cheapest way for how many."""
    held = list(rows)
    if len(held) > FEW:
        copy_in(connection, table, held)
    elif held:
        send(connection, _insertion(table), _document(table, held))


def copy_in(connection: sa.Connection, table: sa.Table, rows: Iterable[Sequence[Any]]) -> int:
    """Append ``rows`` (values in the order of the table's columns) with COPY; return how many.

    What the database fills in by itself (an identity, a default) is left out.

    Values: None, bool, int, float, str, bytes, ISO-formatted dates as str, and lists of
    str, bytes, int or float for array columns.
    """
    buffer = io.StringIO()
    count = 0
    for row in rows:
        buffer.write("\t".join(map(_text, row)))
        buffer.write("\n")
        count += 1
    if count:
        buffer.seek(0)
        columns = ", ".join(_given(table))
        flush(connection)
        driver: Any = connection.connection.driver_connection
        with driver.cursor() as cursor:
            cursor.copy_expert(f"COPY {table.fullname} ({columns}) FROM STDIN", buffer)
    return count


def stream(
    connection: sa.Connection, statement: sa.Executable, size: int = 5000
) -> Iterator[Sequence[sa.Row[Any]]]:
    """Yield the rows of ``statement`` in parts of ``size``, never holding them all."""
    result = connection.execute(statement, execution_options={"yield_per": size})
    yield from result.partitions(size)


def _given(table: sa.Table) -> tuple[str, ...]:
    """The columns that a row has a value for: not those that the database fills in itself."""
    return tuple(one.name for one in table.columns if not (one.identity or one.server_default))


@cache
def _insertion(table: sa.Table) -> Statement:
    columns = ", ".join(_given(table))
    return Statement(
        f"insert_{table.name}",
        ("json",),
        f"INSERT INTO {table.fullname} ({columns}) SELECT {columns} "
        f"FROM json_populate_recordset(NULL::{table.fullname}, $1)",
    )


def _document(table: sa.Table, rows: Iterable[Sequence[Any]]) -> str:
    """The rows as one JSON array of objects."""
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


_SPECIAL = re.compile(r'[\\\\\t\n\r"]')
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_QUOTES = str.maketrans({"\\": "\\\\", '"': '\\"'})


def _text(value: Any) -> str:
    """One value in COPY's text format (PostgreSQL manual, COPY, "Text Format")."""
    if value is None:
        return r"\N"
    if isinstance(value, bytes):
        return "\\\\x" + value.hex()
    if isinstance(value, str):
        return value.translate(_ESCAPES) if _SPECIAL.search(value) else value
    if isinstance(value, bool):
        return "t" if value else "f"
    if isinstance(value, list | tuple):
        return "{" + ",".join(map(_element, value)) + "}"
    return str(value)


def _element(value: Any) -> str:
    """One element of an array literal, with COPY's own escapes over those of the literal."""
    if isinstance(value, bytes):
        return '"\\\\\\\\x' + value.hex() + '"'
    if isinstance(value, str):
        if not _SPECIAL.search(value):
            return '"' + value + '"'
        return '"' + value.translate(_QUOTES).translate(_ESCAPES) + '"'
    return str(value)
