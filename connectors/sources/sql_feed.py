"""Rows of a table or a query of somebody else's database.

In full mode all rows come, in the order of the record id. In incremental mode those come whose
cursor is not below the last one less the declared overlap, in the order of (cursor, record id).
A row without a cursor comes each time, and a row without a record id is rejected each time.

A state has the last cursor and, in the middle of a run, the last record id::

    {"version": 1, "cursor": ["time", "2026-03-01T08:00:00"], "key": [["whole", "17"]]}

Invariants, each named by a test in ``tests/integration/feeds/test_sql_feed.py``:

1. Rows of one cursor are not lost, wherever a page or a run ends.
2. A row that appears late, by no more than the overlap, is read.
3. A cursor that went back stops the reading: the database may be an old copy.
4. A page is one short transaction; of a query in full mode, the whole reading is.
5. A row whose cursor is a time to come never moves the state there: what changes until then
   would not be read. Such a row comes each time.
"""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from itertools import islice
from typing import Any, Final

from connectors.base import Delivery, Finding, Level, Mark, State
from connectors.credentials import Credentials
from connectors.declaration import SourceDeclaration
from connectors.errors import ConnectorError, Retry, Stop
from connectors.feed_rows import FeedRows, order_of, time_of
from connectors.glimpse import SEEN
from connectors.record import Record, Rejection
from connectors.rewinding import like
from connectors.sources.sql_cells import cell_of, place_of, shown, value_at
from connectors.sources.sql_engine import After, Database, Reading
from connectors.table import MOST_COLUMNS, MOST_ROWS, Table, table_of

FORM: Final = 1  # version of a state
PAGE: Final = 10_000  # rows of one transaction
LOOKING: Final = 30  # seconds for rows that are only looked at
_DSN: Final = "dsn"
_RESET: Final = "Run cdp source reset NAME: the next sync reads everything."
_WENT_BACK: Final = (
    "Nothing is as new as what was read before. If the database is an old copy, wait for the "
    "right one, or run cdp source reset NAME. If the newest rows were deleted, declare an overlap."
)
_AHEAD: Final = dt.timedelta(days=1)  # clocks and zones may differ by less
_RETYPED: Final = (
    "The cursor's column has another type than before: see that it still grows with each change, "
    "then run cdp source reset NAME."
)
_ENDLESS: Final = (
    "Rows have infinity for a cursor, and no place in the order: correct them, or write a query "
    "that leaves such cursors empty."
)
_HOUR: Final = 3600  # seconds that clocks are put back by
_IN_FUTURE: Final = (
    "What was read last has a time to come, and what changes until then would not be read. "
    "Correct the row or the clock, then run cdp source reset NAME."
)
_Start = tuple[Any, tuple[Any, ...]]  # cursor and key of the last row; () between runs


class SqlFeed:
    """Follows one table or query."""

    def __init__(
        self, declaration: SourceDeclaration, credentials: Credentials, *, page: int = PAGE
    ) -> None:
        credentials.require_known(frozenset({_DSN}))
        self._declaration, self._spec = declaration, declaration.feed
        self._credentials = credentials
        self._rows = FeedRows(declaration)
        self._key = declaration.record_id
        self._page = page
        self._incremental = self._spec.mode == "incremental"
        cursor = self._spec.cursor
        self._order = (cursor, *self._key) if self._incremental and cursor else self._key
        self._columns = tuple(
            dict.fromkeys((*declaration.columns(), *self._spec.columns(), *self._key))
        )

    @property
    def name(self) -> str:
        """The name the declaration gives the source."""
        return self._declaration.name

    def check(self) -> list[Finding]:
        """Look at the columns and the cursor. A reason to stop comes as an ERROR finding."""
        findings: list[Finding] = []
        try:
            findings.extend(self._inspect())
        except (Stop, Retry) as stop:
            subject = stop.field or self.name
            findings.append(Finding(Level.ERROR, stop.rule, subject, stop.next_step))
        return findings

    def table(self, most: int = MOST_ROWS) -> Table:
        """Some rows with all columns there are; none where the login may not read all of them."""
        try:
            with self._looking().reading() as reading:
                columns = (reading.columns() or ())[:MOST_COLUMNS]
                rows = reading.sample(columns, most)
        except Stop as stop:
            if stop.rule != "not_allowed":
                raise
            columns, rows = (), []  # nothing beyond the declared columns can come here
        return table_of(columns, ([cell_of(value) for value in row] for row in rows), most)

    def first(self, most: int) -> list[Record | Rejection]:
        """Some rows, mapped, in no order."""
        with self._looking().reading() as reading:
            rows = [dict(zip(self._columns, values, strict=True))
                    for values in reading.sample(self._columns, max(most, SEEN))]  # fmt: skip
        given = (self._row(position, row) for position, row in enumerate(rows, start=1))
        return list(islice((one for one in given if isinstance(one, Record | Rejection)), most))

    def count(self, state: State | None) -> int | None:
        """How many rows came since the state; None where the database does not say."""
        if self._spec.query is not None and not self._incremental:
            return None  # counting would cost the whole query once more
        try:
            cursor, key = self._start(state)
            least = cursor if key else _earlier(cursor, self._spec.overlap)
            with self._open().reading() as reading:
                column = self._spec.cursor if self._incremental else None
                return reading.count(column, least)
        except ConnectorError:
            return None

    def read(self, state: State | None) -> Iterator[Delivery]:
        """Give the rows since the state, with a mark after each page."""
        start = self._start(state)
        database = self._open()
        with database.reading() as reading:
            self._require_columns(reading)
            latest = self._latest(reading)
            if self._incremental:
                self._require_forward(reading, start, latest)
        return self._read(database, start, latest)

    def state_since(self, text: str) -> State:
        """The state from which rows with a cursor of ``text`` or more are read.

        Raises:
            Stop: rows are read whole, there are none, or it is no cursor of theirs.
        """
        if not self._incremental or self._spec.cursor is None:
            raise Stop(self.name, "no_cursor", "Backfill all of it: leave --since out.")
        with self._open().reading() as reading:
            newest = reading.greatest(self._spec.cursor)
        if newest is None:
            raise Stop(self.name, "no_rows", "There is nothing to read.", field="cursor")
        try:
            return self._mark((like(newest, text), ()), None).state
        except (ValueError, ArithmeticError):
            step = "Write it as the column has it: a number, or a time such as 2026-03-01T08:00."
        raise Stop(self.name, "since_form", step, field="cursor")

    # ── reading ─────────────────────────────────────────────────────────────

    def _read(
        self, database: Database, start: _Start, latest: dt.datetime | None
    ) -> Iterator[Delivery]:
        position, last = 0, start
        stands = start  # where the state stands: at the last row that is not of a time to come
        after = self._first(start)
        while True:
            here = position
            with database.reading() as reading:
                for values in reading.rows(self._columns, after, self._limit):
                    position += 1
                    row = dict(zip(self._columns, values, strict=True))
                    yield self._row(position, row)
                    last = self._place(row)
                    stands = stands if _is_ahead(last[0], latest) else last
                    if (position - here) % self._page == 0 and self._limit is None:
                        yield self._mark(stands, stands[0])
            if self._limit is None or position - here < self._limit:
                break
            further = After(self._order, self._behind(last))
            if further == after:  # a value that the driver gives as less than it is
                raise Stop(self.name, "cursor_not_finite", _ENDLESS, field="cursor")
            after = further
            yield self._mark(stands, stands[0])
        with database.reading() as reading:
            for values in reading.rows_outside(self._columns, self._order):
                position += 1
                yield self._row(position, dict(zip(self._columns, values, strict=True)))
        yield self._mark((_later(stands[0], start[0]), ()), stands[0])

    @property
    def _limit(self) -> int | None:
        """Rows of a page. A query that is read whole is asked once: each page would cost it all."""
        return None if self._spec.query is not None and not self._incremental else self._page

    def _row(self, position: int, row: Mapping[str, Any]) -> Delivery:
        cells = {column: cell_of(value) for column, value in row.items()}
        order = order_of(row[self._spec.cursor]) if self._spec.cursor else None
        return self._rows.row(
            position, cells, lambda: "\t".join(map(shown, cells.values())), order=order
        )

    def _place(self, row: Mapping[str, Any]) -> _Start:
        cursor = row[self._spec.cursor] if self._incremental and self._spec.cursor else None
        if self._incremental and _sorts_as(cursor) is None:
            raise self._cursor_form()
        return cursor, tuple(row[column] for column in self._key)

    def _first(self, start: _Start) -> After:
        cursor, key = start
        if key:
            return After(self._order, self._behind(start))
        if cursor is None:
            return After(self._order)
        least = _earlier(cursor, self._spec.overlap)
        return After(self._order) if least is None else After(self._order, (least,))

    def _behind(self, place: _Start) -> tuple[Any, ...]:
        cursor, key = place
        return (cursor, *key) if self._incremental else key

    # ── states ──────────────────────────────────────────────────────────────

    def _mark(self, place: _Start, newest: Any) -> Mark:
        cursor, key = place
        try:
            value = {
                "version": FORM,
                "cursor": place_of(cursor),
                "key": [place_of(one) for one in key],
            }
        except TypeError:
            step = "Name columns of text, numbers or times."
            raise Stop(self.name, "key_form", step, field="record_id") from None
        return Mark(State(value), time_of(newest))

    def _start(self, state: State | None) -> _Start:
        if state is None:
            return None, ()
        try:
            if state.version == FORM:
                value = state.value
                return value_at(value["cursor"]), tuple(value_at(one) for one in value["key"])
        except (KeyError, TypeError, ValueError, ArithmeticError):
            pass  # its text quotes the state
        raise Stop(self.name, "state_unknown", _RESET)

    def _latest(self, reading: Reading) -> dt.datetime | None:
        """The latest time that a row may have been changed at; None where there is no cursor."""
        now = time_of(reading.now()) if self._incremental else None
        return None if now is None else now + _AHEAD

    def _require_forward(self, reading: Reading, start: _Start, latest: dt.datetime | None) -> None:
        cursor, key = start
        if cursor is None or self._spec.cursor is None:
            return
        found = reading.greatest(self._spec.cursor)
        if found is not None and _kind(found) is not _kind(cursor):
            raise Stop(self.name, "cursor_retyped", _RETYPED, field="cursor")
        if key:
            return  # in the middle of a run
        if _is_ahead(cursor, latest):
            raise Stop(self.name, "cursor_in_future", _IN_FUTURE, field="cursor")
        newest = _sorts_as(found)
        least = _sorts_as(_earlier(cursor, self._spec.overlap))
        if newest is not None and least is not None and newest < least:
            raise Stop(self.name, "cursor_went_back", _WENT_BACK, field="cursor")

    # ── looking ─────────────────────────────────────────────────────────────

    def _open(self) -> Database:
        return Database(self.name, self._credentials.require(_DSN), self._spec)

    def _looking(self) -> Database:
        """The database for somebody who waits: a statement ends sooner."""
        spec = replace(self._spec, time_limit=min(self._spec.time_limit, LOOKING))
        return Database(self.name, self._credentials.require(_DSN), spec)

    def _inspect(self) -> Iterator[Finding]:
        database = self._open()
        with database.reading() as reading:
            yield from self._missing(reading)
        if not database.is_guarded:
            step = "Give it a login that may only SELECT, with a time limit of its own."
            yield Finding(Level.WARNING, "not_guarded", "credentials.dsn", step)
        cursor = self._spec.cursor
        if cursor is None:
            return
        with database.reading() as reading:
            newest = reading.greatest(cursor)
            if newest is not None and _sorts_as(newest) is None:
                raise self._cursor_form()
            if _is_ahead(newest, self._latest(reading)):
                step = "Rows of a time to come are read each time: correct their time."
                yield Finding(Level.WARNING, "cursor_in_future", cursor, step)
            if _is_zoneless(newest) and self._spec.overlap < _HOUR:
                step = "Its times name no zone. Where clocks are put back, an hour comes twice: "
                step += f"declare an overlap of {_HOUR} seconds, unless they are in UTC."
                yield Finding(Level.NOTE, "cursor_without_zone", cursor, step)
            after = After((cursor,))
            if next(reading.rows_outside((cursor,), after.columns), None) is not None:
                step = "Rows without a cursor are read each time: fill the column."
                yield Finding(Level.WARNING, "cursor_empty", cursor, step)

    def _missing(self, reading: Reading) -> Iterator[Finding]:
        there = reading.columns()
        if there is None:
            raise Stop(self.name, "table_missing", _NO_TABLE, field="table")
        missing = [column for column in self._columns if column not in there]
        for column in missing:
            called = self._declaration.called(column)
            yield Finding(Level.ERROR, "column_missing", called, _columns_step(there))
        if not missing:
            reading.probe(self._columns)

    def _require_columns(self, reading: Reading) -> None:
        for finding in self._missing(reading):
            raise Stop(self.name, finding.rule, finding.next_step, field=finding.subject)

    def _cursor_form(self) -> Stop:
        step = "Choose a column of numbers or times: of text, only times in ISO 8601 have an order."
        return Stop(self.name, "cursor_form", step, field="cursor")

    def __repr__(self) -> str:
        return f"<feed {self.name}>"


_NO_TABLE: Final = (
    "Correct the table, name its schema before a dot, or allow the user to use the schema."
)
_SHOWN_COLUMNS: Final = 30


def _columns_step(there: Sequence[str]) -> str:
    names = ", ".join(there[:_SHOWN_COLUMNS])
    return f"Correct the mapping. There are: {names}{', …' if len(there) > _SHOWN_COLUMNS else ''}."


def _sorts_as(value: Any) -> int | float | None:
    """A number that grows as the database orders cursors; None: it may not."""
    if isinstance(value, str) and time_of(value) is None:
        return None  # text: "10" stands before "9"
    if isinstance(value, float):
        return value
    return order_of(value)


def _is_ahead(cursor: Any, latest: dt.datetime | None) -> bool:
    """Whether a cursor is a time to come."""
    time = time_of(cursor)
    return time is not None and latest is not None and time > latest


def _kind(cursor: Any) -> type:
    """What a cursor is compared as: a time, a number, or text."""
    return next((kind for kind in (dt.date, str) if isinstance(cursor, kind)), Decimal)


def _is_zoneless(cursor: Any) -> bool:
    return isinstance(cursor, dt.datetime) and cursor.tzinfo is None


def _earlier(cursor: Any, overlap: int) -> Any:
    """The cursor less the overlap: seconds of a time, units of a number; None: from the first."""
    try:
        return cursor if not overlap or cursor is None else _less(cursor, overlap)
    except OverflowError:
        return None  # no time is earlier than the year 1


def _less(cursor: Any, overlap: int) -> Any:
    if isinstance(cursor, str):
        time = dt.datetime.fromisoformat(cursor) - dt.timedelta(seconds=overlap)
        # To the second and without a zone: it sorts before every spelling of the same time.
        return time.replace(tzinfo=None, microsecond=0).isoformat("T" if "T" in cursor else " ")
    if isinstance(cursor, dt.datetime):
        return cursor - dt.timedelta(seconds=overlap)
    if isinstance(cursor, dt.date):
        return cursor - dt.timedelta(days=-(-overlap // 86_400))
    return cursor - overlap


def _later(one: Any, other: Any) -> Any:
    first, second = _sorts_as(one), _sorts_as(other)
    if first is None or second is None:
        return other if first is None else one
    return one if first >= second else other
