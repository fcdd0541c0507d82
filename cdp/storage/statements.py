"""Statements that a session plans once, and writes that travel with the next read.

psycopg2 sends every statement as new text, and PostgreSQL plans it anew: for a statement
over a few rows that costs more than the work itself. A ``Statement`` is prepared once for
each connection and then only executed; one with much to say is sent whole, because then
the right plan depends on how much.

``send`` puts a write behind those that wait already. All of them go out, in their order,
with the next statement of the transaction, whoever makes it, and before a commit at the
latest: so several writes and a read are one message to the server and one answer.

Invariants, each named by a test in ``tests/integration/test_statements.py``:
    1. Statements take effect in the order in which they were made, those of SQLAlchemy
       and COPY included.
    2. What waits is committed with its transaction or rolled back with it.
    3. An error of the database arrives as SQLAlchemy's, without the values; what the
       database refuses by a rule of ours arrives as the error of that rule.
"""

import datetime as dt
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import sqlalchemy as sa

from cdp.storage.key_schema import refuse_retired

LONG = 50_000  # characters of the values; above, a statement is planned for them
_WAITING, _PREPARED = "kith.waiting", "kith.prepared"
_PLACE = re.compile(r"\$(\d+)")

Value = int | float | str | bytes | dt.datetime | None
Row = tuple[Any, ...]


@dataclass(frozen=True)
class Statement:
    """One statement with ``$1``, ``$2`` and so on for its values.

    Attributes:
        name: of the prepared statement; no other has it.
        types: of the values, as PostgreSQL names them.
        sql: without a semicolon and without a percent sign.
    """

    name: str
    types: tuple[str, ...]
    sql: str

    @cached_property
    def prepare(self) -> str:
        """The text that prepares it."""
        given = f"({', '.join(self.types)})" if self.types else ""
        return f"PREPARE kith_{self.name}{given} AS {self.sql}"

    @cached_property
    def execute(self) -> str:
        """The text that executes it once it is prepared."""
        places = f"({', '.join(['%s'] * len(self.types))})" if self.types else ""
        return f"EXECUTE kith_{self.name}{places}"

    def whole(self, values: tuple[Value, ...]) -> tuple[str, tuple[Value, ...]]:
        """The text that does without preparing, and its values in the order of their places."""
        order = [int(place) - 1 for place in _PLACE.findall(self.sql)]
        text = _PLACE.sub(lambda found: f"CAST(%s AS {self.types[int(found[1]) - 1]})", self.sql)
        return text, tuple(values[place] for place in order)


@dataclass(slots=True)
class _Waiting:
    texts: list[str] = field(default_factory=list, repr=False)
    values: list[Value] = field(default_factory=list, repr=False)


def send(connection: sa.Connection, statement: Statement, *values: Value) -> None:
    """Make a write whose answer nobody needs; it travels with the next statement."""
    _add(connection, statement, values)


def ask(connection: sa.Connection, statement: Statement, *values: Value) -> list[Row]:
    """Make a statement now, after what waits, and return its rows."""
    _add(connection, statement, values)
    return _go(connection, answer=True)


def flush(connection: sa.Connection) -> None:
    """Make what waits now. Needed only by who talks to the driver directly."""
    if connection.info.get(_WAITING):
        _go(connection, answer=False)


def array(values: Iterable[int] | Iterable[str]) -> str:
    """An array of numbers or of texts: one value."""
    told = (_quoted(one) if isinstance(one, str) else str(one) for one in values)
    return "{" + ",".join(told) + "}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def bytes_array(values: Iterable[bytes]) -> str:
    """An array of ``bytea``."""
    return "{" + ",".join(f'"\\\\x{value.hex()}"' for value in values) + "}"


def follow(engine: sa.Engine) -> None:
    """See to it that what waits on connections of this engine goes before all that follows."""
    sa.event.listen(engine, "before_cursor_execute", _before_execute)
    sa.event.listen(engine, "commit", flush)
    sa.event.listen(engine, "savepoint", _before_savepoint)
    sa.event.listen(engine, "rollback", _forget)
    sa.event.listen(engine, "rollback_savepoint", _forget_since)


def _add(connection: sa.Connection, statement: Statement, values: tuple[Value, ...]) -> None:
    if not connection.in_transaction():
        connection.begin()  # as SQLAlchemy does of itself before a statement of its own
    info = connection.info
    if _WAITING not in info and flush not in tuple(connection.dispatch.commit):
        raise RuntimeError("nobody follows this engine: what waits would never go")
    waiting: _Waiting = info.get(_WAITING) or info.setdefault(_WAITING, _Waiting())
    if sum(len(value) for value in values if isinstance(value, str | bytes)) > LONG:
        text, values = statement.whole(values)
    else:
        prepared: set[str] = info.setdefault(_PREPARED, set())
        if statement.name not in prepared:
            _run(connection, statement.prepare, (), answer=False)
            prepared.add(statement.name)
        text = statement.execute
    waiting.texts.append(text)
    waiting.values.extend(values)


def _go(connection: sa.Connection, *, answer: bool) -> list[Row]:
    waiting: _Waiting = connection.info.pop(_WAITING)
    return _run(connection, ";".join(waiting.texts), waiting.values, answer=answer)


def _run(
    connection: sa.Connection, text: str, values: Iterable[Value], *, answer: bool
) -> list[Row]:
    driver: Any = connection.connection.driver_connection
    dialect = connection.dialect
    with driver.cursor() as cursor:
        try:
            cursor.execute(text, tuple(values) or None)
            return cursor.fetchall() if answer and cursor.description else []
        except dialect.loaded_dbapi.Error as error:
            refuse_retired(error)
            lost = dialect.is_disconnect(error, driver, cursor)
            if lost:
                connection.invalidate(error)
            raise sa.exc.DBAPIError.instance(
                "", None, error, dialect.loaded_dbapi.Error,
                hide_parameters=True, connection_invalidated=lost, dialect=dialect,
            ) from None  # fmt: skip


def _before_execute(connection: sa.Connection, *_: object) -> None:
    flush(connection)


def _before_savepoint(connection: sa.Connection, _: str) -> None:
    flush(connection)


def _forget(connection: sa.Connection) -> None:
    if not connection.invalidated:
        connection.info.pop(_WAITING, None)


def _forget_since(connection: sa.Connection, *_: object) -> None:
    _forget(connection)
