"""Somebody else's database, read and never written: the one module here that imports SQLAlchemy.

Any dialect of which the driver is installed. Each statement is of ours: identifiers are quoted
by SQLAlchemy, values are bound, and a declared query stands as a subquery.

Invariants, each named by a test in ``tests/integration/feeds/test_sql_hostile.py``:

1. No error shows the address, the user, the password or a value.
2. Where the dialect can, the transaction is read-only and a statement ends at the time limit.
3. A reading that is closed leaves no connection behind.
"""

import contextlib
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from connectors.errors import ConnectorError, Retry, Stop
from connectors.feed_declaration import FeedSpec
from connectors.record import Raw, Sensitive
from connectors.sources.sql_faults import Unreadable, fault_of

AT_ONCE: Final = 1000  # rows that the driver fetches together
_DSN: Final = "credentials.dsn"
# Schemas that belong to the server, as PostgreSQL, MySQL, Oracle and SQL Server name them.
_OF_THE_SERVER: Final = ("information_schema", "pg_", "mysql", "performance_schema", "sys")
_SECRET: Final = ("password", "passwd", "pwd", "secret", "token")  # in parameters of an address
_TICKS: Final = 10_000  # steps of SQLite between two looks at the clock
# What makes a transaction read-only and a statement end, by dialect; {ms} and {s} are the limit.
_GUARDS: Final[Mapping[str, tuple[str, ...]]] = {
    "postgresql": ("SET TRANSACTION READ ONLY", "SET LOCAL statement_timeout = {ms}"),
    "mysql": ("SET SESSION max_execution_time = {ms}", "SET SESSION TRANSACTION READ ONLY"),
    "mariadb": ("SET SESSION max_statement_time = {s}", "SET SESSION TRANSACTION READ ONLY"),
    "sqlite": ("PRAGMA query_only = ON",),
}


@dataclass(frozen=True, slots=True)
class After(Raw):
    """From where on rows are wanted, in the order of ``columns``; as values of the driver.

    Attributes:
        columns: that rows are ordered by.
        values: of the row before, as many; of fewer, the first is a bound that counts too.
    """

    columns: tuple[str, ...]
    values: tuple[Any, ...] = field(default=(), repr=False)  # a key may be a number of a person


class Database:
    """One database, by its address."""

    def __init__(self, source: str, dsn: Sensitive, spec: FeedSpec) -> None:
        """Read the address; nothing is opened.

        Raises:
            Stop: it is none, or its driver is not installed.
        """
        self._source, self._spec = source, spec
        self._engine = self._made(dsn)

    @property
    def is_guarded(self) -> bool:
        """Whether reading is kept from writing, and from taking too long, by the database."""
        return self._engine.dialect.name in _GUARDS

    @contextlib.contextmanager
    def reading(self) -> Iterator["Reading"]:
        """A connection in a read-only transaction; whatever goes wrong becomes Stop or Retry."""
        try:
            with self._engine.connect() as connection:
                self._guard(connection)
                yield Reading(connection, self._spec)
                connection.rollback()
        except (sa.exc.SQLAlchemyError, UnicodeError, Unreadable) as error:
            problem = self._problem(error)
        else:
            return
        raise problem

    def _made(self, dsn: Sensitive) -> sa.Engine:
        rule, step = "dsn_form", "Write dialect://user:password@host/database."
        try:
            url = sa.make_url(dsn.reveal(reason="open the database of a source"))
            if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
                rule, step = "database_missing", "Name a database file that is there."
            else:
                return sa.create_engine(url, poolclass=NullPool, hide_parameters=True)
        except ModuleNotFoundError as error:
            rule, step = "driver_missing", f"Install the driver: {error.name}."
        except sa.exc.NoSuchModuleError:
            rule, step = "driver_missing", "Install the package of the dialect the DSN names."
        except (sa.exc.ArgumentError, ValueError, TypeError):
            pass  # their text quotes the address
        raise Stop(self._source, rule, step, field=_DSN)

    def _guard(self, connection: sa.Connection) -> None:
        limit = self._spec.time_limit
        name = self._engine.dialect.name
        if name == "sqlite":
            end = time.monotonic() + limit
            driver: Any = connection.connection.driver_connection
            driver.set_progress_handler(lambda: time.monotonic() > end, _TICKS)
        for text in _GUARDS.get(name, ()):
            connection.execute(sa.text(text.format(ms=limit * 1000, s=limit)))

    def _problem(self, error: Exception) -> ConnectorError:
        fault = fault_of(error)
        if fault.again:
            return Retry(self._source, fault.rule, fault.next_step)
        return Stop(self._source, fault.rule, fault.next_step, field=fault.field)

    def __repr__(self) -> str:
        return f"<database of {self._source}>"


def shows_a_secret(dsn: str) -> bool:
    """Whether an address holds a password; one that cannot be read may."""
    try:
        url = sa.make_url(dsn)
    except (sa.exc.ArgumentError, ValueError, TypeError):
        return True
    return bool(url.password) or any(word in name.lower() for name in url.query for word in _SECRET)


class Reading:
    """What can be asked in one read-only transaction."""

    def __init__(self, connection: sa.Connection, spec: FeedSpec) -> None:
        self._connection, self._spec = connection, spec

    def columns(self) -> tuple[str, ...] | None:
        """The columns there are; None: there is no such table."""
        if self._spec.query is not None:
            nothing = sa.select(sa.text("*")).select_from(self._from(())).where(sa.false())
            return tuple(self._connection.execute(nothing).keys())
        schema, table = self._named()
        inspector = sa.inspect(self._connection)
        if not inspector.has_table(table, schema):
            return None
        with warnings.catch_warnings():
            # Of a type that SQLAlchemy does not know (xml, a type of an extension) it warns each
            # time. Values are read as the driver gives them, whatever the type.
            warnings.simplefilter("ignore", sa.exc.SAWarning)
            return tuple(column["name"] for column in inspector.get_columns(table, schema))

    def tables(self) -> tuple[str, ...]:
        """Tables and views, with their schema before a dot where it is not the default one."""
        inspector = sa.inspect(self._connection)
        found: list[str] = []
        for schema in inspector.get_schema_names():
            if schema.lower().startswith(_OF_THE_SERVER):
                continue
            names = [*inspector.get_table_names(schema), *inspector.get_view_names(schema)]
            with contextlib.suppress(NotImplementedError):  # a dialect without them
                names += inspector.get_materialized_view_names(schema)
            foreign = getattr(inspector, "get_foreign_table_names", None)  # of PostgreSQL alone
            names += foreign(schema) if foreign else []
            before = "" if schema == inspector.default_schema_name else f"{schema}."
            found += [f"{before}{name}" for name in sorted(names)]
        return tuple(found)

    def primary_key(self) -> tuple[str, ...]:
        """The columns of the table's primary key; none where it has none."""
        schema, table = self._named()
        inspector = sa.inspect(self._connection)
        return tuple(inspector.get_pk_constraint(table, schema)["constrained_columns"])

    def sample(self, columns: Sequence[str], most: int) -> list[tuple[Any, ...]]:
        """Some rows, in no order."""
        return list(self._given(self._select(columns, ()).limit(most)))

    def rows(
        self, columns: Sequence[str], after: After, limit: int | None = None
    ) -> Iterator[tuple[Any, ...]]:
        """Rows behind a place, in order; none of which the order has no value."""
        statement = self._select(columns, after.columns)
        ordered: list[sa.ColumnClause[Any]] = [sa.column(name) for name in after.columns]
        statement = statement.where(*(one.is_not(None) for one in ordered)).order_by(*ordered)
        if after.values:
            statement = statement.where(_behind(ordered, after.values))
        return self._given(statement.limit(limit))

    def rows_outside(
        self, columns: Sequence[str], order: Sequence[str]
    ) -> Iterator[tuple[Any, ...]]:
        """Rows that have no place in an order: one of its columns is empty."""
        missing = [sa.column(name).is_(None) for name in order]
        return self._given(self._select(columns, order).where(sa.or_(*missing)))

    def now(self) -> Any:
        """What time it is there, as the driver gives it."""
        return self._connection.scalar(sa.select(sa.func.now()))

    def greatest(self, column: str) -> Any:
        """The greatest value of a column; None: there is none."""
        with _readable():
            return self._connection.scalar(
                sa.select(sa.func.max(sa.column(column))).select_from(self._from((column,)))
            )

    def count(self, column: str | None, least: Any) -> int:
        """How many rows there are, from a value of a column on."""
        statement = sa.select(sa.func.count()).select_from(self._from((column,) if column else ()))
        if column and least is not None:
            statement = statement.where(sa.column(column) >= least)
        return self._connection.scalar(statement) or 0

    def probe(self, columns: Sequence[str]) -> None:
        """Ask for these columns and no row: an error says what is not allowed."""
        self._connection.execute(self._select(columns, ()).where(sa.false())).close()

    def _given(self, statement: sa.Select[Any]) -> Iterator[tuple[Any, ...]]:
        with (
            _readable(),
            self._connection.execute(
                statement, execution_options={"stream_results": True, "yield_per": AT_ONCE}
            ) as result,
        ):
            for row in result:
                yield tuple(row)

    def _select(self, columns: Sequence[str], more: Sequence[str]) -> sa.Select[Any]:
        there = dict.fromkeys((*columns, *more))
        chosen: list[sa.ColumnClause[Any]] = [sa.column(name) for name in columns]
        return sa.select(*chosen).select_from(self._from(tuple(there)))

    def _from(self, columns: Sequence[str]) -> sa.FromClause:
        if self._spec.query is None:
            schema, table = self._named()
            return sa.table(table, *(sa.column(name) for name in columns), schema=schema)
        text = self._spec.query.strip().rstrip(";").replace(":", "\\:")
        # on a line of its own, so that a comment at its end ends there
        return sa.text(f"{text}\n").columns(*map(sa.column, columns)).subquery("kith_query")

    def _named(self) -> tuple[str | None, str]:
        schema, dot, table = (self._spec.table or "").rpartition(".")
        return schema if dot else None, table


@contextlib.contextmanager
def _readable() -> Iterator[None]:
    """Have what a driver cannot read, such as a time of the year 10000, told as ours."""
    try:
        yield
    except UnicodeError:
        raise
    except (ValueError, OverflowError):
        raise Unreadable from None  # its text holds a part of the value


def _behind(ordered: Sequence[sa.ColumnClause[Any]], values: tuple[Any, ...]) -> Any:
    """The rows behind a place; written out, for dialects without rows as values."""
    if len(values) < len(ordered):
        return ordered[0] >= values[0]
    first, value = ordered[0], values[0]
    if len(ordered) == 1:
        return first > value
    further = _behind(ordered[1:], values[1:])
    # The first comparison says nothing new, and lets an index on the first column be used.
    return sa.and_(first >= value, sa.or_(first > value, sa.and_(first == value, further)))
