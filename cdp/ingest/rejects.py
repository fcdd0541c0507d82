"""What was not taken in: list it, count it, never show it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import sqlalchemy as sa

from cdp.storage.schema import reject, sync_run

OF_NO_FILE: Final = ("fed ", "hook ")
"""How the fingerprint begins of rows of feeds and webhooks: no later content replaces them."""


@dataclass(frozen=True, slots=True)
class RejectRow:
    """One rejected row (``field`` empty) or one value set aside."""

    source: str
    position: int
    field: str
    rule: str
    next_step: str

    def to_dict(self) -> dict[str, Any]:
        """A plain object for ``--json``."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class RejectCount:
    """How often one rule was broken in one field of one source."""

    source: str
    field: str
    rule: str
    next_step: str
    count: int
    first: int  # the first row it happened in

    def to_dict(self) -> dict[str, Any]:
        """A plain object for ``--json``."""
        return asdict(self)


def _current() -> sa.ColumnElement[bool]:
    """Rows of the content read last, or of no file, and values that a record goes on without."""
    newest = (
        sa.select(sync_run.c.fingerprint)
        .where(sync_run.c.source == reject.c.source)
        .order_by(sync_run.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    return sa.or_(
        reject.c.record_id.is_not(None),
        reject.c.fingerprint == newest,
        *(reject.c.fingerprint.startswith(one) for one in OF_NO_FILE),
    )


def count_rejects(connection: sa.Connection, source: str | None = None) -> list[RejectCount]:
    """Count by source, field and rule; the most frequent first."""
    columns = (reject.c.source, reject.c.field, reject.c.rule, reject.c.next_step)
    count = sa.func.count()
    statement = (
        sa.select(*columns, count, sa.func.min(reject.c.position))
        .where(_current())
        .group_by(*columns)
        .order_by(reject.c.source, reject.c.field != "", count.desc(), *columns)
    )
    if source:
        statement = statement.where(reject.c.source == source)
    return [RejectCount(*row) for row in connection.execute(statement)]


def list_rejects(
    connection: sa.Connection, source: str | None, rule: str | None, limit: int
) -> Sequence[RejectRow]:
    """List rows and values set aside, in the order of the source."""
    statement = (
        sa.select(
            reject.c.source, reject.c.position, reject.c.field, reject.c.rule, reject.c.next_step
        )
        .where(_current())
        .order_by(reject.c.source, reject.c.position, reject.c.field)
        .limit(limit)
    )
    if source:
        statement = statement.where(reject.c.source == source)
    if rule:
        statement = statement.where(reject.c.rule == rule)
    return [RejectRow(*row) for row in connection.execute(statement)]
