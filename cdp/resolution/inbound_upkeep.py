"""What is kept of events: counted without a person, and removed when its time is over.

Invariants, each named by a test in ``tests/integration/inbound/test_upkeep.py``:

1. An event is removed once it has been here for longer than its source keeps events; those of a
   source that nobody declares any more as if it had said nothing.
2. What is removed is counted, and its audit event stands before.
3. A removal that was broken off is gone on with by the next; a second one changes nothing.
4. What is counted names no person: events by their declared names, and rules.
5. Of workers one at a time removes.
"""

import datetime as dt
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from cdp.audit import log
from cdp.audit.event import AuditEvent
from cdp.declaration import Declaration
from cdp.storage.locks import only_one
from cdp.storage.schema import audit_event, event, event_tally
from cdp.workspace import Workspace
from connectors.events.declaration import KEEP_EVENTS

RECEIVED, EXPIRED = "events.receive", "events.expire"
ROLE: Final = "source"
AT_ONCE: Final = 10_000  # events removed in one transaction
HOURS: Final = 48  # of use that are shown
_E = event.c
_WHAT: Final = sa.func.coalesce(_E.name, "").label("name")
_DAY: Final = sa.cast(sa.func.timezone("UTC", _E.occurred_at), sa.Date).label("day")


@dataclass(frozen=True, slots=True)
class Line:
    """So many events of one name; ``name`` is empty for what only says who somebody is.

    ``day`` None: of all days.
    """

    kind: str
    name: str
    day: dt.date | None
    count: int
    of_somebody: int  # whose record is known


@dataclass(frozen=True, slots=True)
class Tally:
    """What there is of the events of one source, and no person.

    Attributes:
        source: its name.
        kept_for: days.
        events: by kind and name, and by day where that was asked for.
        left_out: what was left out, by day and rule.
        used: hours in which its key was used, newest first.
        over: events whose time is over.
    """

    source: str
    kept_for: int
    events: tuple[Line, ...]
    left_out: tuple[tuple[dt.date, str, int], ...]
    used: tuple[dt.datetime, ...]
    over: int


@dataclass(frozen=True, slots=True)
class Expired:
    """What was removed of the events of one source, or would be."""

    source: str
    kept_for: int
    before: dt.datetime  # received before it
    events: tuple[tuple[str, str, int], ...]  # kind, name, count

    @property
    def count(self) -> int:
        """How many in all."""
        return sum(count for _, _, count in self.events)


def received(source: str, reason: str, policy_version: str, at: dt.datetime) -> AuditEvent:
    """Return the event of the first messages that a source's secret let in within an hour."""
    return _event(RECEIVED, source, reason, policy_version, at)


def tally(
    connection: sa.Connection, workspace: Workspace, source: str, *, by_day: bool = False
) -> Tally:
    """Count the events of a source."""
    day = _DAY if by_day else sa.cast(sa.null(), sa.Date).label("day")
    groups = _E.kind, _WHAT, *([_DAY] if by_day else ())
    numbers = sa.func.count(), sa.func.count(_E.record_id)
    found = connection.execute(
        sa.select(_E.kind, _WHAT, day, *numbers)
        .where(_E.source == source)
        .group_by(*groups)
        .order_by(*groups)
    )
    lines = [Line(*row) for row in found]
    out, used = event_tally.c, audit_event.c
    left_out = connection.execute(
        sa.select(out.day, out.rule, out.count)
        .where(out.source == source)
        .order_by(out.day, out.rule)
    )
    hours = connection.scalars(
        sa.select(used.at)
        .where(used.actor == _actor(source), used.action == RECEIVED)
        .order_by(used.at.desc())
        .limit(HOURS)
    )
    declared = workspace.declaration
    days = kept_for(declared, source)
    horizon = _horizon(declared, source, workspace.now())
    over = connection.scalar(sa.select(sa.func.count()).where(*_over(source, horizon)))
    rows = tuple((day, rule, int(count)) for day, rule, count in left_out)
    return Tally(source, days, tuple(lines), rows, tuple(hours), over or 0)


def kept_for(declared: Declaration, source: str) -> int:
    """Return for how many days events of a source are kept."""
    found = declared.sources.get(source)
    return KEEP_EVENTS if found is None else found.keep_events


def sources(connection: sa.Connection) -> list[str]:
    """Return the sources that events are stored of, declared or not."""
    return list(connection.scalars(_SOURCES))


def expire(
    workspace: Workspace, chosen: Sequence[str], *, rehearse: bool = False
) -> Iterator[Expired]:
    """Remove the events of sources whose time is over; of each source say what went.

    Args:
        workspace: whose.
        chosen: sources.
        rehearse: only count.
    """
    declared = workspace.declaration
    for source in chosen:
        horizon = _horizon(declared, source, workspace.now())
        counts = _counted(workspace, source, horizon)
        if counts and not rehearse:
            counts = sum(_removed(workspace, source, horizon), Counter())
        told = tuple((kind, name, count) for (kind, name), count in sorted(counts.items()))
        yield Expired(source, kept_for(declared, source), horizon, told)


def expire_alone(workspace: Workspace, declared: Declaration) -> Generator[int, None, None]:
    """Remove what is over of every source by a declaration; say how many, a transaction at a time.

    Raises:
        Refused: another does so.
    """
    with only_one(workspace.engine, "expire events", "wait until it has ended"):
        with workspace.engine.connect() as connection:
            chosen = sources(connection)
        for source in chosen:
            horizon = _horizon(declared, source, workspace.now())
            over = sa.select(sa.exists().where(*_over(source, horizon)))
            with workspace.engine.connect() as connection:
                found = connection.scalar(over)
            if found:
                yield from (gone.total() for gone in _removed(workspace, source, horizon))


def _counted(workspace: Workspace, source: str, horizon: dt.datetime) -> Counter[tuple[str, str]]:
    statement = sa.select(_E.kind, _WHAT, sa.func.count()).where(*_over(source, horizon))
    with workspace.engine.connect() as connection:
        found = connection.execute(statement.group_by(_E.kind, _WHAT))
        return Counter({(kind, name): count for kind, name, count in found})


def _removed(
    workspace: Workspace, source: str, horizon: dt.datetime
) -> Iterator[Counter[tuple[str, str]]]:
    """Remove what is over, a transaction at a time."""
    with workspace.engine.begin() as connection:
        at = workspace.now()
        log.append(
            connection, _event(EXPIRED, source, "time_is_over", workspace.policy.version, at)
        )
    while True:
        given = {"source": source, "before": horizon, "most": AT_ONCE}
        with workspace.engine.begin() as connection:
            gone = connection.execute(_REMOVE, given).all()
        if not gone:
            return
        yield Counter({(kind, name): count for kind, name, count in gone})


def _over(source: str, horizon: dt.datetime) -> tuple[Any, ...]:
    return _E.source == source, _E.received_at < horizon


def _horizon(declared: Declaration, source: str, now: dt.datetime) -> dt.datetime:
    return now - dt.timedelta(days=kept_for(declared, source))


def _actor(source: str) -> str:
    return f"source:{source}"


def _event(
    action: str, source: str, reason: str, policy_version: str, at: dt.datetime
) -> AuditEvent:
    return AuditEvent(
        actor=_actor(source),
        role=ROLE,
        action=action,
        purpose="service" if action == RECEIVED else "legal",
        decision="allow",
        reason=reason,
        policy_version=policy_version,
        at=at,
    )


# The names of sources are few and its key begins with them: each is jumped to.
_SOURCES: Final = sa.text(
    """
    WITH RECURSIVE found(source) AS (
        (SELECT source FROM kith.event ORDER BY source LIMIT 1)
        UNION ALL
        SELECT (SELECT e.source FROM kith.event e WHERE e.source > f.source
                 ORDER BY e.source LIMIT 1)
          FROM found f WHERE f.source IS NOT NULL)
    SELECT source FROM found WHERE source IS NOT NULL
    """
)
_REMOVE: Final = sa.text(
    """
    WITH gone AS (
        DELETE FROM kith.event WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM kith.event
             WHERE source = :source AND received_at < :before LIMIT :most))
        RETURNING kind, coalesce(name, '') AS name)
    SELECT kind, name, count(*) FROM gone GROUP BY kind, name
    """
)
