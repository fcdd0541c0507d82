"""Personal data in columns that nobody declared: told, kept until it is over, never a value.

What a check sees of a source is looked at, and so is what a sync of a feed reads: the first rows
that come anyway; of a table, some rows once a day, as only declared columns are read otherwise.

Invariants, each named by a test in ``tests/integration/feeds/test_detecting.py``:
    1. A column is told once when it is found, and stands until it is declared, or shown to hold
       something else.
    2. A finding holds heading, kind and share. A heading that looks like a value itself, as keys
       of objects may be, is not shown.
    3. Looking costs a bounded number of rows, and no sync fails because of it.
"""

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import sqlalchemy as sa

from cdp.ingest import findings
from cdp.ingest.findings import ContractFinding
from cdp.ingest.guessing import undeclared
from cdp.ingest.values import Reading
from cdp.storage.schema import sync_run
from connectors.base import Feed, Finding
from connectors.declaration import SourceDeclaration
from connectors.errors import ConnectorError
from connectors.glimpse import SEEN, Glimpsed
from connectors.table import Table, Tabular

RULE: Final = "personal_data_undeclared"
ENOUGH: Final = 20  # values that show that a column holds something else
HIDDEN: Final = "(a heading that may be a value)"
_LIKE_A_VALUE: Final = re.compile(r"[0-9０-９]{6,}|@|.{65,}", re.DOTALL)


def personal(table: Table, declaration: SourceDeclaration, reading: Reading) -> list[Finding]:
    """A warning for each column that seems personal and that no field is read from. Pure."""
    found = undeclared(table, mapped(declaration), reading)
    shown = {
        replace(one, subject=HIDDEN) if _LIKE_A_VALUE.search(one.subject) else one: None
        for one in found
    }
    return list(shown)


def mapped(declaration: SourceDeclaration) -> set[str]:
    """The columns that are read, and not as attributes alone: those are stored as they are."""
    attributes = {spec.column for spec in declaration.attributes.values()}
    fields = {c for specs in declaration.fields.values() for spec in specs for c in spec.columns}
    return set(declaration.columns()) - (attributes - fields)


def look(
    engine: sa.Engine,
    declaration: SourceDeclaration,
    feed: Feed,
    reading: Reading,
    now: dt.datetime,
) -> list[ContractFinding]:
    """Look at what a sync read; return what is found for the first time."""
    table = _given(engine, declaration, feed, now)
    found = personal(table, declaration, reading) if table.rows else []
    with engine.begin() as connection:
        return _kept(connection, declaration, found, table, now)


def _given(
    engine: sa.Engine, declaration: SourceDeclaration, feed: Feed, now: dt.datetime
) -> Table:
    """Rows with all their columns, where they cost little."""
    if isinstance(feed, Glimpsed):
        return feed.glimpsed()
    if isinstance(feed, Tabular) and not _synced_on(engine, declaration.name, now.date()):
        try:
            return feed.table(SEEN)
        except ConnectorError:  # it was read a moment ago: another day
            pass
    return Table((), ())


def _synced_on(engine: sa.Engine, source: str, day: dt.date) -> bool:
    """Whether another sync than the one at hand ended on a day, in UTC."""
    ended = (
        sa.select(sync_run.c.finished_at)
        .where(sync_run.c.source == source, sync_run.c.finished_at.is_not(None))
        .order_by(sync_run.c.id.desc())
        .limit(2)
    )
    with engine.connect() as connection:
        times: list[dt.datetime] = [row.finished_at for row in connection.execute(ended)]
    return any(one.astimezone(dt.UTC).date() == day for one in times[1:])


def _kept(
    connection: sa.Connection,
    declaration: SourceDeclaration,
    found: Sequence[Finding],
    table: Table,
    now: dt.datetime,
) -> list[ContractFinding]:
    """Keep what is found; forget columns that are declared now, or hold something else."""
    there = {
        one.found.subject: one.found
        for one in findings.kept(connection, [declaration.name])
        if one.found.rule == RULE
    }
    columns = set(table.columns)
    other = {one for one in there if one in columns and len(table.texts(one)) >= ENOUGH}
    gone = mapped(declaration) | other
    stay = {name: one for name, one in there.items() if name not in gone}
    for one in found:
        told = ContractFinding(RULE, one.subject, "warn", 0, one.next_step)
        stay[one.subject] = there.get(one.subject, told)
    return findings.renew(connection, declaration.name, {RULE}, list(stay.values()), now)
