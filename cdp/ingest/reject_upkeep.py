"""How long rejected rows are kept: counted, and removed when their time is over.

Of all sources alike: rows of a file that was delivered once, of a feed, of webhooks. A value set
aside is its record's and goes with it. A row that is delivered again is judged again, and its time
begins anew.

Invariants, each named by a test in ``tests/integration/running/test_rejects_expire.py``:

1. A rejected row is removed once it has been kept for longer than its source says; those of a
   source that nobody declares any more as if it had said nothing.
2. A deletion that waits for a person stays: nobody will tell of it again.
3. The audit event of a removal stands before it. One that was broken off is gone on with by the
   next; of workers one at a time removes.
"""

import datetime as dt
from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import sqlalchemy as sa

from cdp.audit import log
from cdp.audit.event import AuditEvent
from cdp.declaration import Declaration
from cdp.ingest.feed_sync import FROZEN
from cdp.storage.locks import only_one
from cdp.storage.schema import reject
from cdp.workspace import Workspace
from connectors.declaration import KEEP_REJECTED

EXPIRED: Final = "rejects.expire"
AT_ONCE: Final = 2_000  # rows removed in one transaction; one is at most 128 KiB


@dataclass(frozen=True, slots=True)
class Held:
    """The rejected rows of one source.

    Attributes:
        source: its name.
        kept_for: days.
        rows: how many there are, of any content that was read.
        oldest: when the oldest was rejected.
        over: how many are over their time.
    """

    source: str
    kept_for: int
    rows: int
    oldest: dt.datetime | None
    over: int

    def to_dict(self) -> dict[str, Any]:
        """A plain object for ``--json``."""
        return asdict(self) | {"oldest": self.oldest and self.oldest.isoformat()}


def kept_for(declared: Declaration, source: str) -> int:
    """Return for how many days rejected rows of a source are kept."""
    found = declared.sources.get(source)
    return KEEP_REJECTED if found is None else found.keep_rejected


def held(
    connection: sa.Connection, declared: Declaration, sources: Sequence[str], now: dt.datetime
) -> list[Held]:
    """Count the rejected rows of sources, in their order; those without any are left out."""
    whole = reject.c.record_id.is_(None)
    found = []
    for source in sources:
        over = sa.and_(*_over(source, horizon(declared, source, now)))
        numbers = (
            sa.func.count(),
            sa.func.min(reject.c.at),
            sa.func.count().filter(over),
        )
        rows, oldest, late = connection.execute(
            sa.select(*numbers).where(reject.c.source == source, whole)
        ).one()
        if rows:
            found.append(Held(source, kept_for(declared, source), rows, oldest, late))
    return found


def sources(connection: sa.Connection) -> list[str]:
    """Return the sources that rejected rows are kept of, declared or not."""
    whole = sa.select(reject.c.source).where(reject.c.record_id.is_(None)).distinct()
    return list(connection.scalars(whole.order_by(reject.c.source)))


def horizon(declared: Declaration, source: str, now: dt.datetime) -> dt.datetime:
    """Return the time before which a row must have been rejected to be over its time."""
    return now - dt.timedelta(days=kept_for(declared, source))


def expire(workspace: Workspace, source: str) -> int:
    """Remove what is over of one source; return how many rows."""
    before = horizon(workspace.declaration, source, workspace.now())
    return sum(_removed(workspace, source, before))


def expire_alone(workspace: Workspace, declared: Declaration) -> Generator[int, None, None]:
    """Remove what is over of every source by a declaration; say how many, a transaction at a time.

    Raises:
        Refused: another does so.
    """
    with only_one(workspace.engine, "expire rejected rows", "wait until it has ended"):
        with workspace.engine.connect() as connection:
            chosen = sources(connection)
        for source in chosen:
            yield from _removed(workspace, source, horizon(declared, source, workspace.now()))


def _removed(workspace: Workspace, source: str, before: dt.datetime) -> Iterator[int]:
    """Remove what is over, a transaction at a time; without any, nothing is written down."""
    over = _over(source, before)
    with workspace.engine.begin() as connection:
        if not connection.scalar(sa.select(sa.exists().where(*over))):
            return
        log.append(connection, _event(workspace, source))
    some = sa.select(reject.c.id).where(*over).limit(AT_ONCE)
    while True:
        with workspace.engine.begin() as connection:
            gone = connection.execute(sa.delete(reject).where(reject.c.id.in_(some))).rowcount
        if not gone:
            return
        yield gone


def _over(source: str, before: dt.datetime) -> tuple[sa.ColumnElement[bool], ...]:
    columns = reject.c
    return (
        columns.source == source,
        columns.record_id.is_(None),
        columns.at < before,
        columns.rule != FROZEN,
    )


def _event(workspace: Workspace, source: str) -> AuditEvent:
    return AuditEvent(
        actor=f"source:{source}",
        role="source",
        action=EXPIRED,
        purpose="legal",
        decision="allow",
        reason="time_is_over",
        policy_version=workspace.policy.version,
        at=workspace.now(),
    )
