"""Many rows at once: COPY in, server-side cursor out."""

import io
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa


def copy_in(connection: sa.Connection, table: sa.Table, rows: Iterable[Sequence[Any]]) -> int:
    """Append ``rows`` (values in the order of the table's columns) with COPY; return how many.

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
        columns = ", ".join(column.name for column in table.columns if column.identity is None)
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
