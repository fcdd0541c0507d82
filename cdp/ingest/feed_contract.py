"""The contract of a feed as a whole: how new its rows are, and how many came.

A feed brings what changed since the last sync and is never whole. So what it lacks cannot be held
back: its rows are kept and its state moves on, and what is broken is told, or pauses the source,
at the end of each sync. That is also said of a sync that brought nothing, which is the case that
matters: the system behind it went quiet.

Two kinds of volume:

* A feed that is *followed* has deliveries of so many hours: records that were added, changed or
  deleted in the last such span that is over, against the spans before. Rows that come again, as
  those of an overlap do, are none. A span counts if the source was read in it and in the one
  before: else it would stand for our own absence. What a reading from the beginning changes does
  not count, nor does a backfill.
* A table, query or API in full mode is *whole* in each reading: its rows count as those of a file.
  Where the source counts them beforehand (a table does) an unusual reading is held back.

Invariants, each named by a test in ``tests/integration/feeds``:
    1. What is noted is committed together with the rows that it is of.
    2. A day to come makes nothing fresh; an older row makes nothing stale.
    3. What came is kept, whatever is found; where rows are counted before they are read, nothing
       of an unusual reading is stored.
    4. A source that a person resumed is not paused again for the same breach.
    5. Another freshness or volume reads nothing again.
"""

import datetime as dt
from collections.abc import Iterable, Sequence
from statistics import median
from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from cdp.ingest import findings
from cdp.ingest.contract import (
    FEWEST_RUNS,
    FRESHNESS,
    VOLUME,
    Delivery,
    Watch,
    as_known,
    judged,
)
from cdp.ingest.feed_batches import Batch, Clock
from cdp.ingest.findings import ContractFinding, KeptFinding
from cdp.ingest.reports import SyncReport
from cdp.storage.source_schema import source_arrival, source_watch
from connectors.base import Deleted
from connectors.contract_terms import Contract, Volume
from connectors.declaration import SourceDeclaration
from connectors.feed_declaration import SQL
from connectors.http_declaration import HTTP
from connectors.record import Record

HOUR: Final = dt.timedelta(hours=1)
EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
KEPT: Final = 200  # whole readings of which the number of rows is kept
_NOTHING: Final = Contract()
_A = source_arrival.c


def is_whole(source: SourceDeclaration) -> bool:
    """Whether each reading of a feed gives all there is."""
    return source.connector in {SQL, HTTP} and source.feed.mode == "full"


class FeedWatch:
    """Notes what one reading of a feed tells of its contract, and judges it."""

    def __init__(
        self, source: SourceDeclaration, watch: Watch, now: Clock, *, again: bool = False
    ) -> None:
        """Make it for one sync.

        Args:
            source: that is synced.
            watch: looks at its rows one by one.
            now: the clock.
            again: whether it is a backfill, which says nothing of how the feed goes.
        """
        contract = _NOTHING if again or source.contract is None else source.contract
        self._source, self._watch, self._again = source.name, watch, again
        self._contract = contract
        self._whole = is_whole(source)
        self._now = now
        self._today = now().date()
        fresh = contract.freshness
        self._asked = repr((fresh.column, fresh.formats)) if fresh else ""
        self._newest: dt.date | None = None
        self._since = self._today
        self._before = 0  # rows of this reading that earlier runs committed
        self._read = 0  # rows of this run up to its last mark
        self._first = False
        self._came = False
        self._held = False  # the number of rows was judged beforehand

    def begin(self, connection: sa.Connection, *, anew: bool) -> None:
        """Take up what earlier syncs noted; ``anew``: everything is read from the beginning."""
        self._first = anew
        row = connection.execute(
            sa.select(source_watch).where(source_watch.c.source == self._source)
        ).one_or_none()
        if row is None:
            return
        self._before = 0 if anew else row.rows
        if row.asked == self._asked:
            self._newest, self._since = row.newest, row.since

    def look_ahead(self, engine: sa.Engine, expected: int | None) -> None:
        """Hold a whole reading back that is of an unusual size, where that is known before.

        Raises:
            Stop: the source pauses, and nothing is read.
        """
        volume = self._contract.volume
        if volume is None or not self._whole or expected is None:
            return
        with engine.connect() as connection:
            found = self._of_readings(connection, volume, expected)
        self._held = True
        self._watch.hold(engine, found, self._now(), rules=frozenset({VOLUME}))

    def look(self, rows: Iterable[object]) -> None:
        """Note the days of a batch."""
        for row in rows:
            self._came = True
            if self._contract.freshness is None:
                return
            day = row.day if isinstance(row, Record | Deleted) else None
            # a clock a little ahead, or a zone where it is tomorrow
            if day is not None and day <= (self._today + dt.timedelta(days=1)).isoformat():
                newest = dt.date.fromisoformat(day)
                self._newest = max(self._newest or newest, newest)

    def note(
        self,
        connection: sa.Connection,
        counted: tuple[SyncReport, SyncReport],
        batch: Batch,
        *,
        ended: bool,
    ) -> None:
        """Keep what is known by now, in the transaction of a batch.

        Args:
            connection: of the batch.
            counted: what the run did before the batch, and with it.
            batch: that is stored.
            ended: whether it is the last one.
        """
        terms = self._contract
        if batch.mark is not None:
            self._read = counted[0].read + batch.marked
        if terms.freshness is not None or (terms.volume is not None and self._whole):
            self._put(connection, 0 if ended else self._before + self._read)
        if terms.volume is None:
            return
        now = self._now()
        if not self._whole:
            hour = now.astimezone(dt.UTC).replace(minute=0, second=0, microsecond=0)
            before, after = (self._gained(one) for one in counted)
            self._count(connection, "hour", hour, after - before)
        elif ended:
            self._count(connection, "whole", now, self._before + counted[1].read)
        if ended:
            self._forget(connection, terms.volume, now)

    def _gained(self, report: SyncReport) -> int:
        # Read from the beginning, rows may be changed only because they are read in another way.
        changed = 0 if self._first else report.changed
        return report.added + report.deleted + changed

    def end(self, engine: sa.Engine) -> None:
        """Say what is broken at the end of a sync, and keep it.

        Raises:
            Stop: the source pauses; what came is kept.
        """
        if self._again:
            return
        now = self._now()
        with engine.connect() as connection:
            found = self._judged(connection, now)
        self._watch.hold(engine, found, now, came=self._came)

    def _judged(self, connection: sa.Connection, now: dt.datetime) -> list[ContractFinding]:
        terms = self._contract
        found: list[ContractFinding] = []
        known = findings.accepted(connection, self._source)
        if terms.freshness is not None:
            newest = self._newest
            if newest is None and not self._came:
                newest = self._since  # nothing came yet: it is as old as our looking
            only = Contract(freshness=terms.freshness)
            stale = judged(only, Delivery(0, newest), [], now.date())
            found += findings.unless_accepted(stale, known)
        if terms.volume is not None and self._held:
            found += [one for one in self._watch.findings if one.rule == VOLUME]
        elif terms.volume is not None and self._whole:
            found += self._of_readings(connection, terms.volume, None)
        elif terms.volume is not None:
            found += findings.unless_accepted(self._of_spans(connection, terms.volume, now), known)
        return found

    # ── volume ──────────────────────────────────────────────────────────────

    def _of_readings(
        self, connection: sa.Connection, volume: Volume, rows: int | None
    ) -> list[ContractFinding]:
        """Whether a whole reading is unusual: one that begins, or the last that ended."""
        chosen = (
            sa.select(_A.rows)
            .where(_A.source == self._source, _A.kind == "whole")
            .order_by(_A.at.desc())
            .limit(volume.runs + 1)
        )
        sizes = list(connection.scalars(chosen))
        if rows is None:
            rows, sizes = sizes[0], sizes[1:]
        only = Contract(volume=volume)
        found = judged(only, Delivery(rows, None), sizes[: volume.runs], self._today)
        return as_known(found, findings.accepted(connection, self._source), volume, rows)

    def _of_spans(
        self, connection: sa.Connection, volume: Volume, now: dt.datetime
    ) -> list[ContractFinding]:
        """Whether the last span that is over is unusual."""
        chosen = sa.select(_A.at, _A.rows).where(_A.source == self._source, _A.kind == "hour")
        hours = {row.at: row.rows for row in connection.execute(chosen)}
        counts = spans(hours, volume.hours * HOUR, now)
        last, *earlier = [*counts, None] if counts else [None]
        usual = [one[1] for one in earlier if one is not None][: volume.runs]
        if last is None or last[0] != span_before(volume.hours * HOUR, now):
            return []
        if len(usual) < min(FEWEST_RUNS, volume.runs):
            return []
        began, rows = last
        return [
            ContractFinding(
                VOLUME,
                one.subject,
                one.action,
                0,
                f"{rows} records were new or changed in the {volume.hours} hours before "
                f"{began + volume.hours * HOUR:%Y-%m-%d %H:%M} UTC, where {median(usual):g} are "
                "usual: look whether the source gives all, or correct contract.volume.",
                began.isoformat(),
            )
            for one in judged(Contract(volume=volume), Delivery(rows, None), usual, now.date())
        ]

    # ── the tables ──────────────────────────────────────────────────────────

    def _put(self, connection: sa.Connection, rows: int) -> None:
        fresh = insert(source_watch).values(
            source=self._source,
            asked=self._asked,
            newest=self._newest,
            since=self._since,
            rows=rows,
        )
        names = ("asked", "newest", "since", "rows")
        differs = sa.tuple_(*(source_watch.c[name] for name in names)).is_distinct_from(
            sa.tuple_(*(fresh.excluded[name] for name in names))
        )
        connection.execute(
            fresh.on_conflict_do_update(
                index_elements=["source"],
                set_={name: fresh.excluded[name] for name in names},
                where=differs,
            )
        )

    def _count(self, connection: sa.Connection, kind: str, at: dt.datetime, rows: int) -> None:
        fresh = insert(source_arrival).values(source=self._source, kind=kind, at=at, rows=rows)
        connection.execute(
            fresh.on_conflict_do_update(
                index_elements=["source", "kind", "at"],
                set_={"rows": source_arrival.c.rows + fresh.excluded.rows},
            )
        )

    def _forget(self, connection: sa.Connection, volume: Volume, now: dt.datetime) -> None:
        """Forget counts that nothing is compared with any more."""
        oldest = now - (volume.runs + 3) * volume.hours * HOUR
        newest = (
            sa.select(_A.at)
            .where(_A.source == self._source, _A.kind == "whole")
            .order_by(_A.at.desc())
            .offset(KEPT)
            .limit(1)
            .scalar_subquery()
        )
        connection.execute(
            sa.delete(source_arrival).where(
                _A.source == self._source,
                sa.or_(
                    sa.and_(_A.kind == "hour", _A.at < oldest),
                    sa.and_(_A.kind == "whole", _A.at <= newest),
                ),
            )
        )


def span_before(span: dt.timedelta, now: dt.datetime) -> dt.datetime:
    """When the last span began that is over; spans are counted from 1970, in UTC. Pure."""
    return EPOCH + ((now - EPOCH) // span - 1) * span


def spans(
    hours: dict[dt.datetime, int], span: dt.timedelta, now: dt.datetime
) -> list[tuple[dt.datetime, int]]:
    """Rows of the spans that are over, the newest first; of those that follow on another. Pure.

    Args:
        hours: rows of each hour in which the source was read.
        span: how long one is.
        now: the time.
    """
    counts: dict[int, int] = {}
    for at, rows in hours.items():
        place = (at - EPOCH) // span
        counts[place] = counts.get(place, 0) + rows
    over = [one for one in sorted(counts, reverse=True) if one < (now - EPOCH) // span]
    return [(EPOCH + one * span, counts[one]) for one in over if one - 1 in counts]


def stands(
    connection: sa.Connection, declared: Sequence[SourceDeclaration], now: dt.datetime
) -> list[KeptFinding]:
    """What is wrong with what sources give, and which feeds became stale since their last sync."""
    found = findings.kept(connection, [one.name for one in declared])
    told = {(one.source, one.found.rule) for one in found}
    watched = sa.select(source_watch).where(
        source_watch.c.source.in_([one.name for one in declared if one.contract])
    )
    newest = {row.source: row.newest or row.since for row in connection.execute(watched)}
    for one in declared:
        fresh = one.contract.freshness if one.contract else None
        if fresh is None or one.name not in newest or (one.name, FRESHNESS) in told:
            continue
        only = Delivery(0, newest[one.name])
        stale = judged(Contract(freshness=fresh), only, [], now.date())
        found += [KeptFinding(one.name, it, now, accepted=False) for it in stale]
    return found
