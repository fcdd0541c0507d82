"""How each source stands: when it ran, what came, how old it is, whether it is what is usual.

Names, times and counts alone. What a role that serves clerks may not read is left out where it
serves: what SDKs sent stands among the events of people.
"""

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from statistics import median
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from cdp.declaration import Declaration
from cdp.ingest import feed_state, remembered
from cdp.ingest.feed_contract import stands
from cdp.ingest.feed_state import Standing
from cdp.ingest.findings import KeptFinding
from cdp.running import jobs
from cdp.storage.schema import job

OUTCOMES: Final = (
    "added", "changed", "unchanged", "rejected", "shredded", "deleted", "superseded",
)  # fmt: skip
SENT: Final = "sent"
STATES: Final = ("no schedule", SENT, "waiting", "due", "running", "failing", "paused")
LATE: Final = frozenset({"due", "failing"})  # states in which a worker may take it
SOON: Final = 120.0  # seconds within which a worker with a free place takes what is due
LOOKED_AT: Final = 10  # earlier runs; their median is what is usual
FEWEST: Final = 3  # earlier runs, before anything is usual
SENT_WITHIN: Final = dt.timedelta(days=1)
_Arrived = tuple[int, dt.datetime | None]  # how many, and when the newest came


@dataclass(frozen=True, slots=True)
class SourceStanding:
    """How one source stands.

    Attributes:
        state: one of ``STATES``.
        read: how it stands by its runs.
        succeeded_at: when a run ended well last; of what is sent, when the newest came.
        due_at: when a worker takes it.
        failures: in a row.
        rule: of the last failure, or why it is paused.
        next_step: what to do about it.
        outcomes: rows of all its runs by how they ended; of what is sent, of the last day.
        rows: of the last run that ended.
        usual: median of the runs before it; None: too few, or nothing is usual.
        state_age: seconds since its state was kept.
        findings: what is wrong with what it gives.
    """

    state: str
    read: Standing
    succeeded_at: dt.datetime | None = None
    due_at: dt.datetime | None = None
    failures: int = 0
    rule: str | None = None
    next_step: str | None = None
    outcomes: Mapping[str, int] = field(default_factory=dict)
    rows: int | None = None
    usual: float | None = None
    state_age: float | None = None
    findings: tuple[KeptFinding, ...] = ()

    @property
    def source(self) -> str:
        """Its name."""
        return self.read.source

    @property
    def due_again(self) -> dt.datetime | None:
        """When a worker takes it; None also while it is paused."""
        return None if self.state == "paused" else self.due_at

    @property
    def volume(self) -> float | None:
        """Rows of the last run against what is usual."""
        return self.rows / self.usual if self.rows is not None and self.usual else None

    def to_dict(self) -> dict[str, Any]:
        """A plain object for ``--json``: what there was before, and what the worker knows."""
        known = asdict(self)
        del known["read"]
        for name in ("succeeded_at", "due_at"):
            known[name] = known[name] and known[name].isoformat()
        found = [one.to_dict() for one in self.findings]
        return self.read.to_dict() | known | {"volume": self.volume, "findings": found}


@dataclass(frozen=True, slots=True)
class Resolving:
    """How resolving stands, as far as workers do it.

    Attributes:
        succeeded_at: when one ended well last.
        failures: in a row.
        waiting: records that changed since it ran.
        state: waiting (for something to do), due, running, failing or paused.
        due_at: when a worker takes it.
        rule: of the last failure.
        next_step: what to do about it.
        overdue: seconds for which it has been due and nobody has it.
    """

    succeeded_at: dt.datetime | None = None
    failures: int = 0
    waiting: int = 0
    state: str = "waiting"
    due_at: dt.datetime | None = None
    rule: str | None = None
    next_step: str | None = None
    overdue: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """A plain object for ``--json``."""
        known = asdict(self)
        for name in ("succeeded_at", "due_at"):
            known[name] = known[name] and known[name].isoformat()
        return known


@dataclass(frozen=True, slots=True)
class Work:
    """What workers have before them.

    Attributes:
        resolve: how resolving stands.
        states: how many sources are in which state.
        running: the sources that run now.
        overdue: what has been due longest and nobody has, with seconds; empty stands for the
            resolve. None: nothing is.
    """

    resolve: Resolving
    states: Mapping[str, int]
    running: tuple[str, ...]
    overdue: tuple[str, float] | None

    @property
    def is_left(self) -> bool:
        """Whether something is due for so long that a worker would have taken it."""
        return self.overdue is not None and self.overdue[1] > SOON

    @property
    def nobody(self) -> bool:
        """Whether it is left, and nothing runs: there may be no worker."""
        return self.is_left and not self.running and self.resolve.state != "running"

    def to_dict(self) -> dict[str, Any]:
        """A plain object for ``--json``."""
        source, seconds = self.overdue or (None, None)
        return {
            "resolve": self.resolve.to_dict(),
            "sources": dict(self.states),
            "running": list(self.running),
            "overdue": {"source": source, "seconds": seconds} if self.overdue else None,
            "nobody_works": self.nobody,
        }


_NAMED: Final = sa.bindparam("sources", type_=ARRAY(sa.Text))
_TOTALS: Final = sa.text(
    f"""
    SELECT source, max(finished_at) AS succeeded_at,
           {", ".join(f"sum({one}) AS {one}" for one in OUTCOMES)}
      FROM kith.sync_run WHERE source = ANY(:sources) GROUP BY source
    """
).bindparams(_NAMED)
_NEWEST: Final = sa.text(
    """
    SELECT one.source, run.read FROM unnest(:sources) AS one(source) CROSS JOIN LATERAL (
        SELECT r.id, r.read FROM kith.sync_run r
         WHERE r.source = one.source AND r.finished_at IS NOT NULL
         ORDER BY r.id DESC LIMIT :most) run
     ORDER BY one.source, run.id DESC
    """
).bindparams(_NAMED)
_MAY_SEE: Final = sa.text("SELECT has_table_privilege(:name, 'SELECT')")
_SENT: Final = sa.text(
    """
    SELECT source, count(*) AS added, max(received_at) AS newest FROM kith.event
     WHERE received_at > :since AND source = ANY(:sources) GROUP BY source
    """
).bindparams(_NAMED)
_LEFT_OUT: Final = sa.text(
    """
    SELECT source, sum(count) AS rejected FROM kith.event_tally
     WHERE day >= :since AND source = ANY(:sources) GROUP BY source
    """
).bindparams(_NAMED)


_REJECTED: Final = sa.text(
    """
    SELECT source, count(*) AS rejected FROM kith.reject
     WHERE at > :since AND source = ANY(:sources) AND record_id IS NULL GROUP BY source
    """
).bindparams(_NAMED)


def standings(
    connection: sa.Connection, declared: Declaration, sources: Sequence[str], now: dt.datetime
) -> list[SourceStanding]:
    """How sources stand, in their order."""
    names = list(sources)
    sent = [one for one in names if jobs.is_sent(declared.sources[one])]
    given = {"sources": names}
    totals = {row.source: row for row in connection.execute(_TOTALS, given)}
    rows: dict[str, list[int]] = {}
    for row in connection.execute(_NEWEST, given | {"most": LOOKED_AT + 1}):
        rows.setdefault(row.source, []).append(row.read)
    known = connection.execute(sa.select(job).where(job.c.kind == jobs.SYNC))
    planned = {row.source: row for row in known}
    scheduled = jobs.scheduled(declared)
    arrived = _arrived(connection, declared, sent, now) if sent else {}
    found = stands(connection, [declared.sources[one] for one in names], now)
    told = [
        arrived.get(read.source)
        or _standing(
            read,
            totals.get(read.source),
            rows.get(read.source, []),
            planned.get(read.source) if read.source in scheduled else None,
            now,
        )
        for read in feed_state.standings(connection, names, now)
    ]
    return [
        replace(one, findings=tuple(f for f in found if f.source == one.source)) for one in told
    ]


def resolving(connection: sa.Connection) -> Resolving:
    """How resolving stands, by the clock of the database, which gave the lease."""
    row = connection.execute(sa.select(job).where(job.c.kind == jobs.RESOLVE)).one_or_none()
    if row is None:
        return Resolving()
    now = jobs.database_clock(connection)
    state = _state(row, now)
    late = state in LATE and row.due_at is not None and row.due_at <= now
    return Resolving(
        row.succeeded_at,
        row.failures,
        row.waiting,
        state,
        row.due_at,
        row.rule,
        row.next_step,
        overdue=(now - row.due_at).total_seconds() if late else None,
    )


def work(found: Sequence[SourceStanding], resolve: Resolving, now: dt.datetime) -> Work:
    """Say what workers have before them, of these sources. Pure."""
    late = {
        one.source: (now - one.due_again).total_seconds()
        for one in found
        if one.state in LATE and one.due_again is not None and one.due_again <= now
    }
    if resolve.overdue is not None:
        late[jobs.EVERYBODY] = resolve.overdue
    return Work(
        resolve,
        dict(sorted(Counter(one.state for one in found).items())),
        tuple(one.source for one in found if one.state == "running"),
        max(late.items(), key=lambda one: one[1], default=None),
    )


def _standing(
    read: Standing,
    total: sa.Row[Any] | None,
    rows: Sequence[int],
    planned: sa.Row[Any] | None,
    now: dt.datetime,
) -> SourceStanding:
    last, *earlier = rows or (None,)
    usual = median(earlier) if len(earlier) >= FEWEST else 0
    return SourceStanding(
        state=_state(planned, now),
        read=read,
        succeeded_at=total.succeeded_at if total else None,
        due_at=planned.due_at if planned else None,
        failures=planned.failures if planned else 0,
        rule=planned.rule if planned else None,
        next_step=planned.next_step if planned else None,
        outcomes={name: int(getattr(total, name)) for name in OUTCOMES} if total else {},
        rows=last,
        usual=usual or None,
        state_age=_since(read.state_at, now),
    )


def _state(planned: sa.Row[Any] | None, now: dt.datetime) -> str:
    if planned is None:
        return "no schedule"
    if planned.leased_until is not None and planned.leased_until > now:
        return "running"
    if planned.paused_at is not None:
        return "paused"
    if planned.failures:
        return "failing"
    return "due" if planned.due_at is not None and planned.due_at <= now else "waiting"


def _since(moment: dt.datetime | None, now: dt.datetime) -> float | None:
    return (now - moment).total_seconds() if moment is not None else None


def _arrived(
    connection: sa.Connection, declared: Declaration, sources: Sequence[str], now: dt.datetime
) -> dict[str, SourceStanding]:
    """How sources stand that are sent to us, by the events or the webhooks of the last day."""
    since = now - SENT_WITHIN
    hooks = {one: spec.signature for one in sources if (spec := declared.sources[one].hook)}
    found: dict[str, _Arrived] = {}
    left_out: Counter[str] = Counter()
    given = {"sources": list(sources), "since": since}
    if _may_see(connection, "event"):
        for row in connection.execute(_SENT, given):
            found[row.source] = row.added, row.newest
        for row in connection.execute(_LEFT_OUT, given | {"since": since.date()}):
            left_out[row.source] += int(row.rejected)
    if hooks and _may_see(connection, "hook_message") and _may_see(connection, "reject"):
        for source, signature in hooks.items():
            span = signature.remembered
            count, newest = remembered.counted(connection, source, since + span)
            found[source] = count, newest and newest - span
        for row in connection.execute(_REJECTED, given | {"sources": list(hooks)}):
            left_out[row.source] += row.rejected
    return {one: _of_sent(one, found.get(one, (0, None)), left_out[one], now) for one in sources}


def _may_see(connection: sa.Connection, table: str) -> bool:
    return bool(connection.scalar(_MAY_SEE, {"name": f"kith.{table}"}))


def _of_sent(source: str, arrived: _Arrived, left_out: int, now: dt.datetime) -> SourceStanding:
    added, newest = arrived
    lag = _since(newest, now)
    read = Standing(source, None, None, added, None, None, newest, lag)
    return SourceStanding(SENT, read, newest, outcomes={"added": added, "rejected": left_out})
