"""Rows of an HTTP JSON API, page by page, as declared.

In full mode everything comes each time. In incremental mode the API is asked for what changed
since the newest cursor that was read, less the overlap; which rows that are is its own answer.

A state has the lower bound of the run, the newest cursor that came so far and, in the middle of
a run, the spot of the next page; ``asked`` says of which declaration it is::

    {"version": 1, "asked": "9f…", "since": 1772352000000000, "newest": 1772355600000000,
     "most": 1772359200000000, "rises": true, "spot": "b2Zm"}

What changes while pages are read may be on a page that was read already, beside rows that are
newer still. So the next run begins no later than this one did (``most``): by the clock where the
cursor is a time; where it is a number, at the newest row of the first page, unless rows came in
the order of their numbers, where a changed row comes again at the end.

Invariants, each named by a test in ``tests/integration/http_source/test_feed.py``:

1. Every item of every page is one delivery, in the order of the API, whatever was tried again.
2. A mark stands behind a page where reading on from it loses nothing; where it would not, there
   is one mark, at the end.
3. A page that comes twice stops the reading; so does the end of the declared number of pages.
4. The cursor never goes back, and never ahead of the moment when the run began.
5. A state holds no secret.
"""

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from itertools import islice
from typing import Any, Final

from connectors.base import Delivery, Finding, Level, Mark, State
from connectors.cells import trim
from connectors.credentials import Credentials
from connectors.declaration import SourceDeclaration
from connectors.digests import sha256_hex
from connectors.errors import Retry, Stop
from connectors.feed_rows import FeedRows, order_of
from connectors.glimpse import Glimpse
from connectors.http_declaration import HttpSpec
from connectors.record import Raw, Record, Rejection
from connectors.sources.http_cells import RowCells
from connectors.sources.http_check import findings_of
from connectors.sources.http_pages import Page, PageRefused, text_of
from connectors.sources.http_paging import Paging, Repeats, Spot
from connectors.sources.http_session import Forgotten, Session
from connectors.sources.http_since import Cursor
from connectors.sources.http_trying import Ways
from connectors.sources.json_lines import LineRefused, cell_at, paths_of
from connectors.table import MOST_ROWS, Table, table_of

FORM: Final = 1  # version of a state
_RESET: Final = "Run cdp source reset NAME: the next sync reads everything."
_REPEATS: Final = (
    "The same page came twice: declare paging.more, or the parameter that the API looks at."
)
_WENT_BACK: Final = (
    "Nothing is as new as what was read before. If the API answers from an old copy, wait for the "
    "right one, or run cdp source reset NAME. If it does not look at cursor.since, correct it."
)
_EMPTY: Final = (
    "Page after page has no row, and the API says that more comes: correct paging.more, or ask "
    "for what has rows."
)
MOST_EMPTY: Final = 100  # pages without a row, one behind the other, where we count them
LOOKING: Final = 60.0  # seconds for the page that a check asks for, with all tries
TRIES: Final = 2  # for that page
WAYS: Final = Ways()


@dataclass(slots=True, repr=False, eq=False)
class _Run(Raw):
    """Where a reading is."""

    since: int | None = None
    newest: int | None = None
    spot: Spot | None = None
    most: int | None = None  # what the next one may begin at
    rises: bool = True  # every row was as new as the one before it

    def go_on(self, cursor: int | None) -> None:
        """A row with this cursor came."""
        if cursor is None:
            return
        if self.newest is None or cursor >= self.newest:
            self.newest = cursor
        else:
            self.rises = False


class HttpFeed:
    """Follows one API."""

    def __init__(
        self, declaration: SourceDeclaration, credentials: Credentials, ways: Ways = WAYS
    ) -> None:
        """Prepare; nothing is asked, and no secret is fetched.

        Raises:
            Stop: the declaration is of another connector.
        """
        if declaration.http is None:
            step = "Declare connector: http."
            raise Stop(declaration.name, "unknown_connector", step, field="connector")
        self._declaration, self._credentials, self._ways = declaration, credentials, ways
        self._spec: HttpSpec = declaration.http
        self._rows = FeedRows(declaration)
        self._cells = RowCells(declaration)
        self._column = declaration.feed.cursor
        since = self._spec.since
        self._cursor = Cursor(since, declaration.feed.overlap) if since else None
        self._asked = sha256_hex([self._spec.asked().encode()])
        self._looked_at: Page | None = None
        self._glimpse = Glimpse()

    @property
    def name(self) -> str:
        """The name the declaration gives the source."""
        return self._declaration.name

    def check(self) -> list[Finding]:
        """Ask for one page and look at it. A reason to stop comes as an ERROR finding."""
        try:
            with self._looking() as session:
                paging = session.paging()
                page = session.page(paging.place(self._sent(None), None))
                self._looked_at = page
                try:
                    is_last = paging.after(page, None) is None
                except PageRefused as refused:
                    raise self._refused(refused) from None
            return findings_of(self._declaration, page, self._cursor, is_last=is_last)
        except (Stop, Retry) as stop:
            return [Finding(Level.ERROR, stop.rule, stop.field or self.name, stop.next_step)]

    def count(self, state: State | None) -> int | None:
        """Nobody knows: an API says how many there are in its own words, if at all."""
        del state
        return None

    def first(self, most: int) -> list[Record | Rejection]:
        """The rows of the first page, mapped. Raises ``Stop``, ``Retry``."""
        page = self._first_page()
        given = (self._row(n, page, item)[0] for n, item in enumerate(page.rows, start=1))
        return list(islice((one for one in given if isinstance(one, Record | Rejection)), most))

    def table(self, most: int = MOST_ROWS) -> Table:
        """The rows of the first page, their paths as columns. Raises ``Stop``, ``Retry``."""
        page = self._first_page()
        self._looked_at = None
        rows = [_readable(page, item) for item in page.rows[:most]]
        columns = paths_of(row for row in rows if row)
        cells = ([cell_at(row, one) for one in columns] if row else None for row in rows)
        return table_of(columns, cells, most)

    def glimpsed(self) -> Table:
        """The first rows that the last reading gave, unmapped."""
        return self._glimpse.table()

    def _first_page(self) -> Page:
        """The first page; one that was just asked for is not asked for again."""
        page = self._looked_at
        if page is None:
            with self._looking() as session:
                page = session.page(session.paging().place(self._sent(None), None))
        self._looked_at = page
        return page

    def _looking(self) -> Session:
        """A session for one page, with less patience: somebody waits for it."""
        limits = self._spec.limits
        short = replace(
            limits,
            total=min(limits.total, LOOKING),
            tries=min(limits.tries, TRIES),
            patience=min(limits.patience, LOOKING),
        )
        spec = replace(self._spec, limits=short)
        return Session(self.name, spec, self._credentials, self._ways)

    def read(self, state: State | None) -> Iterator[Delivery]:
        """Give the rows since the state, page by page."""
        run = self._begin(state)
        self._glimpse = Glimpse()
        return self._read(self._session(), run)

    def state_since(self, text: str) -> State:
        """The state from which what changed at ``text`` or later is asked for.

        Raises:
            Stop: everything is read each time, or it is no cursor of this API.
        """
        if self._cursor is None:
            raise Stop(self.name, "no_cursor", "Backfill all of it: leave --since out.")
        cursor = self._cursor.named(text)
        if cursor is None:
            step = "Write a number where the API counts, else a time such as 2026-03-01T08:00."
            raise Stop(self.name, "since_form", step, field="cursor")
        return self._mark(_Run(since=cursor)).state

    # ── reading ─────────────────────────────────────────────────────────────

    def _session(self) -> Session:
        return Session(self.name, self._spec, self._credentials, self._ways)

    def _read(self, session: Session, run: _Run) -> Iterator[Delivery]:
        began = self._ways.wall()
        position = count = empty = 0
        rows, spots = Repeats(), Repeats()
        with closing(session):
            paging = session.paging()
            is_resumed = run.spot is not None and paging.may_expire
            while True:
                page = self._page(session, paging, run, is_resumed=is_resumed)
                is_resumed = False
                if page.rows:
                    self._require_new(rows, page.content())
                if run.most is run.spot is None:
                    run.most = self._most(page, began)
                for item in page.rows:
                    position += 1
                    delivery, cursor = self._row(position, page, item)
                    yield delivery
                    run.go_on(cursor)
                try:
                    spot = paging.after(page, run.spot)
                except PageRefused as refused:
                    raise self._refused(refused) from None
                if spot is None:
                    break
                run.spot, count = spot, count + 1
                empty = 0 if page.rows else empty + 1
                self._require_new(spots, str(spot).encode(errors="replace"))
                self._require_few(count, empty)
                if paging.resumes:
                    yield self._mark(run)
        yield self._mark(self._ended(run))

    def _page(self, session: Session, paging: Paging, run: _Run, *, is_resumed: bool) -> Page:
        """The page of a run; the first one again, where the API forgot a page of long ago."""
        try:
            place = paging.place(self._sent(run.since), run.spot)
            page = session.page(place, may_be_forgotten=is_resumed)
            # Some say nothing of a page that they forgot, as if it were the last one.
            if page.rows or not is_resumed:
                return page
        except Forgotten:
            pass
        run.spot = None
        return session.page(paging.place(self._sent(run.since), None))

    def _row(self, position: int, page: Page, item: Any) -> tuple[Delivery, int | None]:
        """A row, and its cursor."""
        try:
            found = page.row(item)
            self._glimpse.see(found)
            cells = self._cells.of(found, is_rough=page.is_rough)
        except LineRefused as refused:
            text = text_of(item)
            return self._rows.reject(position, refused.rule, refused.next_step, text), None
        cursor, order = self._cursor_of(cells)
        row = self._rows.row(position, cells, lambda: text_of(item), order=order)
        return row, cursor

    def _cursor_of(self, cells: Mapping[str, Any]) -> tuple[int | None, int | None]:
        cell = cells.get(self._column) if self._column else None
        if not isinstance(cell, str):
            return None, None
        if self._cursor is None:
            return None, order_of(trim(cell))
        cursor = self._cursor.read(trim(cell))
        return cursor, cursor

    def _require_new(self, before: Repeats, content: bytes) -> None:
        """Refuse what came on an earlier page: the API goes round, and would for ever."""
        if before.has(sha256_hex([content])):
            raise Stop(self.name, "page_repeats", _REPEATS, field="paging")

    def _require_few(self, pages: int, empty: int) -> None:
        if empty >= MOST_EMPTY and self._spec.paging.type == "page":
            raise Stop(self.name, "more_but_empty", _EMPTY, field="paging.more")
        if pages >= self._spec.limits.pages:
            step = "Raise limits.pages if there are more, or ask for more rows a page."
            raise Stop(self.name, "too_many_pages", step, field="limits.pages")

    # ── states ──────────────────────────────────────────────────────────────

    def _sent(self, since: int | None) -> str | None:
        return None if self._cursor is None else self._cursor.sent(since)

    def _most(self, page: Page, began: float) -> int | None:
        """What the run behind this one may begin at, told by the first page of this one."""
        if self._cursor is None:
            return None
        if self._cursor.is_time:
            return self._cursor.present(min(began, served_at(page.headers) or began))
        cells = (cell_at(_readable(page, item), self._column or "") for item in page.rows)
        found = [self._cursor.read(trim(cell)) for cell in cells if isinstance(cell, str)]
        return max((one for one in found if one is not None), default=None)

    def _ended(self, run: _Run) -> _Run:
        """Where the next run begins.

        Raises:
            Stop: everything that came is older than what was asked for.
        """
        if self._cursor is None:
            return _Run()
        newest, least = run.newest, run.since
        if newest is not None and least is not None and newest < self._cursor.floor(least):
            raise Stop(self.name, "cursor_went_back", _WENT_BACK, field="cursor")
        if self._column is None:
            newest = run.most
        elif newest is not None and run.most is not None:
            bounded = self._cursor.is_time or not run.rises
            newest = min(newest, run.most) if bounded else newest
        elif not run.rises:
            newest = None
        return _Run(since=_later(newest, run.since))

    def _mark(self, run: _Run) -> Mark:
        value = {
            "version": FORM,
            "asked": self._asked,
            "since": run.since,
            "newest": run.newest,
            "most": run.most,
            "rises": run.rises,
            "spot": run.spot,
        }
        newest = _later(run.newest, run.since)
        if newest is not None and run.most is not None:
            newest = min(newest, run.most)
        at = self._cursor.moment(newest) if self._cursor else None
        return Mark(State(value), at)

    def _begin(self, state: State | None) -> _Run:
        if state is None:
            return _Run()
        value = state.value
        run = _run_of(value) if state.version == FORM else None
        if run is None:
            raise Stop(self.name, "state_unknown", _RESET)
        # Of another declaration: everything is read anew.
        return run if value["asked"] == self._asked else _Run()

    def _refused(self, refused: PageRefused) -> Stop:
        return Stop(self.name, refused.rule, refused.next_step, field=refused.field)

    def __repr__(self) -> str:
        return f"<feed {self.name}>"


def _run_of(value: Mapping[str, Any]) -> _Run | None:
    """The run that a state is of; None: it is no state of this form."""
    numbers = [value.get(name) for name in ("since", "newest", "most")]
    spot, rises = value.get("spot"), value.get("rises")
    known = isinstance(value.get("asked"), str) and isinstance(rises, bool)
    known = known and all(one is None or isinstance(one, int) for one in numbers)
    if not known or not isinstance(spot, int | str | None):
        return None
    since, newest, most = numbers
    return _Run(since, newest, spot, most, bool(rises))


def served_at(headers: Mapping[str, str]) -> float | None:
    """Seconds since 1970, by the clock of the server (RFC 9110, 6.6.1); None: it does not say."""
    try:
        return parsedate_to_datetime(headers.get("date", "")).timestamp()
    except (ValueError, OverflowError, OSError):
        return None


def _readable(page: Page, item: Any) -> dict[str, Any]:
    try:
        return page.row(item)
    except LineRefused:
        return {}


def _later(one: int | None, other: int | None) -> int | None:
    return max((x for x in (one, other) if x is not None), default=None)
