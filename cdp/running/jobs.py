"""Which source is due, who has it, and how it ended: one table, and nothing else.

Invariants, each named by a test in ``tests/integration/running/test_jobs.py``:

1. Of workers that ask at once each gets other jobs, and none waits for another (SKIP LOCKED).
2. A lease ends by itself, by the clock of the database: the clocks of machines differ, and whoever
   judges a lease has to be the one who gave it. It is longer than several heartbeats.
3. Who lost a lease can end nothing: each lease has a number, and only the newest may end the job.
4. What is overdue longest comes first.
5. What changed since the last resolve is known from the runs themselves, whoever made them and
   whether or not their worker lived to tell.
6. A clock that was set back holds up no source and no lease: see `plan`.
7. No row holds a value.

A lease says who should work. That two syncs of one source never run at once does not hang on it:
the lock that a sync holds keeps that (``cdp/storage/locks.py``).
"""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, insert

from cdp.declaration import Declaration
from cdp.running.due import furthest, next_due
from cdp.running.ending import Ending, How, Sequel
from cdp.storage.running_schema import job
from connectors.declaration import SourceDeclaration
from connectors.feed_declaration import PIPED
from connectors.schedule import Schedule

SYNC: Final = "sync"
RESOLVE: Final = "resolve"
EVERYBODY: Final = ""  # stands for the source of a resolve
BY_HAND: Final = "paused_by_hand"
MOST_WAITING: Final = 250_000
"""Changed records that may wait for a resolve before further syncs begin. So many are found among
a million in minutes; letting more pile up ends in a full run."""
LONGEST_LEASE: Final = dt.timedelta(minutes=10)
LONGEST_RETRY: Final = dt.timedelta(hours=1)
ROUND: Final = dt.timedelta(minutes=1)
"""How long a resolve lets the sources of a round come first."""

_J = job.c


@dataclass(frozen=True, slots=True)
class Lease:
    """A job that a worker has.

    Attributes:
        kind: sync or resolve.
        source: of a sync.
        number: of the lease.
        due: when it was due.
        failures: in a row, before this run.
        waiting: of a resolve: how many records changed since the last one.
        taken_over: whether whoever had it before never ended it.
        rule: of the last failure.
    """

    kind: str
    source: str
    number: int
    due: dt.datetime
    failures: int
    waiting: int
    taken_over: bool
    rule: str | None = None


def database_clock(connection: sa.Connection) -> dt.datetime:
    """The time, by the database."""
    now: dt.datetime = connection.execute(sa.text("SELECT clock_timestamp()")).scalar_one()
    return now


def scheduled(declared: Declaration) -> dict[str, Schedule]:
    """The sources that workers run, with their schedules. What is sent to us has no schedule."""
    return {
        name: one.schedule
        for name, one in declared.sources.items()
        if one.schedule is not None and not is_sent(one) and one.connector != PIPED
    }


def is_sent(source: SourceDeclaration) -> bool:
    """Whether rows are sent to us, so that nothing is to be fetched."""
    return source.inbound is not None or source.hook is not None


def text_of(schedule: Schedule) -> str:
    """A schedule as it stands in the table: another one is planned anew."""
    return (
        f"every {schedule.minutes} minutes"
        if schedule.minutes
        else f"daily {schedule.daily} {schedule.time_zone}"
    )


# ── planning ────────────────────────────────────────────────────────────────


def plan(connection: sa.Connection, schedules: Mapping[str, Schedule], now: dt.datetime) -> None:
    """Give every source with a schedule its due time; change only what has to change.

    What lies further ahead than it can by its schedule was planned by a clock that has been set
    back since: it is planned anew. A lease is cut to the longest that is given.
    """
    found = connection.execute(sa.select(job).where(_J.kind == SYNC))
    rows = {row.source: row for row in found}
    for source, schedule in sorted(schedules.items()):
        row = rows.get(source)
        due = _planned(schedule, row, now)
        text = text_of(schedule)
        if row is None or (row.due_at, row.schedule) != (due, text):
            _put(connection, source, due, text, row)
    connection.execute(
        sa.update(job)
        .where(_J.leased_until > now + LONGEST_LEASE)
        .values(leased_until=now + LONGEST_LEASE)
    )
    connection.execute(
        sa.update(job).where(_J.kind == RESOLVE, _J.due_at > now + LONGEST_RETRY).values(due_at=now)
    )


def _planned(schedule: Schedule, row: sa.Row[Any] | None, now: dt.datetime) -> dt.datetime:
    if row is None:
        return next_due(schedule, None, None, now)
    due: dt.datetime | None = row.due_at
    ahead = LONGEST_RETRY if row.failures else furthest(schedule)
    known = due is not None and row.schedule == text_of(schedule)
    if due is not None and due <= now + ahead and (known or row.failures):
        return due
    if due is not None and row.failures:
        return now  # a clock that was set back: it was to be tried again within the hour
    return next_due(schedule, row.last_due_at, row.ended_at, now)


def _put(
    connection: sa.Connection, source: str, due: dt.datetime, text: str, row: sa.Row[Any] | None
) -> None:
    if row is None:
        fresh = insert(job).values(kind=SYNC, source=source, due_at=due, schedule=text)
        connection.execute(fresh.on_conflict_do_nothing())  # another worker was faster
        return
    connection.execute(
        sa.update(job)
        .where(
            _J.kind == SYNC,
            _J.source == source,
            # Unless another worker planned, took or ended it meanwhile.
            _J.due_at.is_not_distinct_from(row.due_at),
            _J.lease == row.lease,
        )
        .values(due_at=due, schedule=text)
    )


# ── taking ──────────────────────────────────────────────────────────────────

_IS_FREE: Final = "paused_at IS NULL AND (leased_until IS NULL OR leased_until <= :now)"
_TAKE: Final = """
    WITH due AS (
        SELECT kind, source, worker IS NOT NULL AS taken_over FROM kith.job
         WHERE {which} AND due_at <= :now AND {free}
         ORDER BY due_at, source LIMIT :most FOR UPDATE SKIP LOCKED
    )
    UPDATE kith.job j
       SET worker = :worker, leased_until = :until, lease = j.lease + 1, started_at = :now
      FROM due WHERE (j.kind, j.source) = (due.kind, due.source)
    RETURNING j.kind, j.source, j.lease, j.due_at, j.failures, j.waiting, due.taken_over, j.rule
"""
_SYNCS: Final = sa.text(
    _TAKE.format(which="kind = 'sync' AND source = ANY(:sources)", free=_IS_FREE)
)
# A resolve comes after the round of syncs that it is for, unless that takes too long or too
# much waits.
_RESOLVE: Final = sa.text(
    _TAKE.format(
        which="""
            kind = 'resolve' AND (due_at <= :patient OR waiting >= :full OR NOT EXISTS (
                SELECT FROM kith.job s
                 WHERE s.kind = 'sync' AND s.source = ANY(:sources) AND s.paused_at IS NULL
                   AND (s.due_at <= :now AND s.failures = 0 OR s.leased_until > :now)))""",
        free=_IS_FREE,
    )
)


@dataclass(frozen=True, slots=True)
class Taking:
    """Who takes jobs, by name, and for how long they are its own unless it renews them."""

    worker: str
    lease: dt.timedelta


def take_syncs(
    connection: sa.Connection, taking: Taking, sources: Iterable[str], most: int, now: dt.datetime
) -> list[Lease]:
    """Take due sources, those first that are overdue longest."""
    return _taken(connection, _SYNCS, taking, now, {"sources": sorted(sources), "most": most})


def take_resolve(
    connection: sa.Connection, taking: Taking, sources: Iterable[str], now: dt.datetime
) -> list[Lease]:
    """Take the resolve, if it is due and its round of syncs is over."""
    more = {"sources": sorted(sources), "patient": now - ROUND, "full": MOST_WAITING, "most": 1}
    return _taken(connection, _RESOLVE, taking, now, more)


def _taken(
    connection: sa.Connection,
    statement: sa.TextClause,
    taking: Taking,
    now: dt.datetime,
    more: Mapping[str, object],
) -> list[Lease]:
    given = {"worker": taking.worker, "now": now, "until": now + taking.lease, **more}
    typed = statement.bindparams(sa.bindparam("sources", type_=ARRAY(sa.Text)))
    rows = [Lease(*row) for row in connection.execute(typed, given)]
    return sorted(rows, key=lambda one: (one.due, one.source))


def is_full(connection: sa.Connection) -> bool:
    """Whether so much waits for a resolve that no sync may begin.

    A resolve that fails or is paused holds nobody up: records are stored all the same.
    """
    found = sa.select(_J.waiting).where(
        _J.kind == RESOLVE, _J.failures == 0, _J.paused_at.is_(None), _J.due_at.is_not(None)
    )
    return int(connection.scalar(found) or 0) >= MOST_WAITING


def renew(
    connection: sa.Connection, taking: Taking, leases: Sequence[Lease], now: dt.datetime
) -> list[Lease]:
    """Keep leases; return those that are lost, because they ended and somebody else took them."""
    lost = []
    # In the order of `plan`: workers that lock rows in two orders end each other's turns.
    for one in sorted(leases, key=lambda one: (one.kind == RESOLVE, one.source)):
        kept = sa.update(job).where(_is(one, taking)).values(leased_until=now + taking.lease)
        if not connection.execute(kept).rowcount:
            lost.append(one)
    return lost


# ── ending ──────────────────────────────────────────────────────────────────


def end(
    connection: sa.Connection,
    taking: Taking,
    lease: Lease,
    ended: tuple[Ending, Sequel],
    due: dt.datetime | None,
    now: dt.datetime,
) -> bool:
    """Write down how a run ended, and give the job back.

    Args:
        connection: in a transaction, in which `tell_resolve` is called too.
        taking: whose it is.
        lease: of the job.
        ended: how, and what follows.
        due: when it is due next; None: when something changes.
        now: the time.

    Returns:
        Whether the lease was still held; else nothing is written.
    """
    ending, follows = ended
    good = ending.how is How.DONE
    values: dict[str, Any] = {
        "worker": None,
        "leased_until": None,
        "ended_at": now,
        "due_at": due,
        "failures": follows.failures,
    }
    if good or ending.failed or ending.how is How.BUSY:
        values |= {
            name: sa.case((_J.paused_at.is_not(None), _J[name]), else_=text or None)
            for name, text in (("rule", ending.rule), ("next_step", ending.next_step))
        }
    if good:
        # What was tried again after a failure was due beside its slot, which is kept.
        values |= {"succeeded_at": now, "waiting": sa.func.greatest(_J.waiting - lease.waiting, 0)}
        if lease.failures:
            values["last_due_at"] = sa.func.coalesce(_J.last_due_at, lease.due)
        else:
            values["last_due_at"] = lease.due
    if follows.paused:
        values["paused_at"] = now
    return bool(
        connection.execute(sa.update(job).where(_is(lease, taking)).values(values)).rowcount
    )


def was_resumed(connection: sa.Connection, lease: Lease) -> bool:
    """Whether somebody resumed the job while it ran; nobody can until the transaction ends."""
    known = sa.select(_J.failures).where(_J.kind == lease.kind, _J.source == lease.source)
    failures = connection.scalar(known.with_for_update())
    return failures is not None and failures < lease.failures


def give_back(connection: sa.Connection, taking: Taking, lease: Lease) -> None:
    """Give back a job that was not begun."""
    free = {"worker": None, "leased_until": None}
    connection.execute(sa.update(job).where(_is(lease, taking)).values(free))


def _is(one: Lease, taking: Taking) -> sa.ColumnElement[bool]:
    return sa.and_(
        _J.kind == one.kind,
        _J.source == one.source,
        _J.lease == one.number,
        _J.worker == taking.worker,
    )


# Changes of the runs from the one on that was told last, without what was told of that one.
_CHANGES: Final = sa.text(
    """
    SELECT max(r.id) AS newest, sum(r.added + r.changed + r.deleted) AS changes,
           (array_agg(r.added + r.changed + r.deleted ORDER BY r.id DESC))[1] AS of_newest
      FROM kith.sync_run r WHERE r.source = :source AND r.id >= :run_id
    """
)


def tell_resolve(connection: sa.Connection, source: str, now: dt.datetime) -> int:
    """Have the records resolved that changed in a source; return how many did."""
    told = connection.execute(
        sa.select(_J.run_id, _J.changes).where(_J.kind == SYNC, _J.source == source)
    ).one_or_none()
    run_id, changes = (told.run_id, told.changes) if told else (0, 0)
    found = connection.execute(_CHANGES, {"source": source, "run_id": run_id}).one()
    if found.newest is None:
        return 0
    fresh = int(found.changes - changes)
    connection.execute(
        sa.update(job)
        .where(_J.kind == SYNC, _J.source == source)
        .values(run_id=found.newest, changes=found.of_newest)
    )
    if fresh > 0:
        ask = insert(job).values(kind=RESOLVE, source=EVERYBODY, due_at=now, waiting=fresh)
        connection.execute(
            ask.on_conflict_do_update(
                index_elements=["kind", "source"],
                set_={
                    "due_at": sa.func.coalesce(_J.due_at, ask.excluded.due_at),
                    "waiting": _J.waiting + ask.excluded.waiting,
                },
            )
        )
    return fresh


def still_waiting(connection: sa.Connection, lease: Lease) -> bool:
    """Whether records changed while a resolve ran."""
    waiting = sa.select(_J.waiting).where(_J.kind == lease.kind, _J.source == lease.source)
    return int(connection.scalar(waiting) or 0) > lease.waiting


# ── by hand ─────────────────────────────────────────────────────────────────


def pause(connection: sa.Connection, source: str, now: dt.datetime) -> bool:
    """Have no worker begin a source; return whether one has it now, which it goes on with."""
    values = {
        "paused_at": now,
        "rule": BY_HAND,
        "next_step": "cdp source resume NAME lets it run again",
    }
    fresh = insert(job).values(kind=SYNC, source=source, **values)
    put = fresh.on_conflict_do_update(index_elements=["kind", "source"], set_=values)
    found = connection.execute(put.returning(_J.leased_until)).scalar_one()
    return found is not None and found > now


def resume(connection: sa.Connection, kind: str, source: str, now: dt.datetime) -> bool:
    """Forget failures and pause, and have it run at once; return whether there was any."""
    again = (
        sa.update(job)
        .where(_J.kind == kind, _J.source == source)
        .where(sa.or_(_J.paused_at.is_not(None), _J.failures > 0))
        .values(paused_at=None, failures=0, rule=None, next_step=None, due_at=now)
    )
    return bool(connection.execute(again).rowcount)
