"""Overwrite what PostgreSQL keeps of deleted rows, table by table.

A deleted row stays in its page until that is written anew, its values stay in the planner's
statistics, and the log of changes (WAL) keeps what was written. Scrubbing rewrites every
table that can hold something of a record, one after the other, then the statistics, and
then has the server drop the old log.

Invariants, each named by a test in ``tests/integration/erasure/test_scrubbing.py``:

1. A table counts as scrubbed only once it was rewritten after every transaction that could
   still see the deleted rows had ended.
2. Killed at any moment, it goes on with what is left.
3. What the server does not allow, or keeps all the same, is said and stays pending.

Each table is locked against everybody while it is rewritten. Freed blocks of the disk, a
standby's and an archive's copies are beyond it: see ``docs/howto/erase-a-person.md``.
"""

import datetime as dt
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from cdp.errors import Refused
from cdp.storage.locks import only_one
from cdp.storage.schema import metadata, scrub, shred
from cdp.vault.shreds import Kind
from cdp.workspace import Workspace

# Tables that hold nothing of any record; one that is not named here is rewritten.
_WITHOUT: Final = frozenset(
    {"api_key", "audit_checkpoint", "audit_event", "epoch", "event_tally", "job", "principal",
     "scrub", "shred", "sync_run", "workspace"}
)  # fmt: skip
STATISTICS: Final = "pg_catalog.pg_statistic"
WAL: Final = "wal"
TABLES: Final = tuple(one.fullname for one in metadata.sorted_tables if one.name not in _WITHOUT)
RELATIONS: Final = (*TABLES, STATISTICS, WAL)

PATIENCE: Final = 10.0  # seconds to wait for older transactions, and for each table
MOST_SEGMENTS: Final = 256  # of the log that are written over; 4 GB
_LOOK: Final = 0.1  # seconds between two looks
_CLEARS: Final = 180000  # PostgreSQL 18 can clear statistics without a superuser
_NOT_ALLOWED: Final = frozenset({"42501", "55P03"})  # PostgreSQL manual, appendix A
_GRANTS: Final = (
    "have a superuser run it, or grant what docs/howto/erase-a-person.md lists, then: "
    "cdp vault scrub"
)

Progress = Callable[[str], None]


def quiet(step: str) -> None:
    """Say nothing."""
    del step


@dataclass(frozen=True, slots=True)
class Rewritten:
    """One table that was rewritten, and how long nobody else could use it."""

    relation: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Pending:
    """What is not scrubbed yet: relations, and since when the oldest shred waits."""

    relations: tuple[str, ...]
    since: dt.datetime | None


@dataclass(frozen=True, slots=True)
class Scrubbed:
    """What a scrub did, and what the server keeps all the same (empty: nothing)."""

    rewritten: tuple[Rewritten, ...]
    kept: str


def pending(connection: sa.Connection) -> Pending:
    """Say what still may hold bytes of a shredded record."""
    columns = shred.c
    last = _last_shred(connection)
    done = {row.relation: row.through for row in connection.execute(sa.select(scrub))}
    left = tuple(one for one in RELATIONS if done.get(one, 0) < last)
    if not left:
        return Pending((), None)
    first = sa.select(sa.func.min(columns.at)).where(
        columns.sequence > min(done.get(one, 0) for one in left), columns.kind == Kind.SHRED.value
    )
    return Pending(left, connection.scalar(first))


def run(workspace: Workspace, progress: Progress = quiet) -> Scrubbed:
    """Rewrite what is pending, one table at a time.

    Raises:
        Refused: another scrub runs; somebody still reads from before the shred or holds a
            table; or the server does not allow it. What is done stays done.
    """
    step = "wait until it has ended"
    with (
        only_one(workspace.engine, "scrub", step),
        workspace.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection,
    ):
        left, through = pending(connection).relations, _last_shred(connection)
        if not left:
            return Scrubbed((), "")
        _wait_for_readers(connection)
        connection.execute(sa.text(f"SET lock_timeout = '{int(PATIENCE)}s'"))
        work = _Scrub(connection, workspace, through, progress)
        try:
            rewritten = tuple(work.rewrite(left))
            kept = work.drop_log()
        except sa.exc.DBAPIError as error:
            raise _refused(error) from None
        finally:
            if not connection.invalidated:
                connection.execute(sa.text("RESET lock_timeout"))
    return Scrubbed(rewritten, kept)


@dataclass(frozen=True, slots=True)
class _Scrub:
    connection: sa.Connection
    workspace: Workspace
    through: int  # the line of the ledger that this scrub covers
    progress: Progress

    def rewrite(self, left: tuple[str, ...]) -> Iterator[Rewritten]:
        for relation in left:
            if relation == WAL:
                continue
            self.progress(relation)
            started = time.monotonic()
            self._vacuum(relation)
            seconds = time.monotonic() - started
            if relation != STATISTICS:
                self._analyse(relation)
            self._done(relation)
            yield Rewritten(relation, round(seconds, 3))

    def drop_log(self) -> str:
        """Have the server drop its old log; return why it does not, if so."""
        self.progress(WAL)
        # Segments that stand ready for later are old ones, with what was in them.
        ready = self.connection.scalar(_READY) or 0
        for _ in range(min(ready, MOST_SEGMENTS) + 1):
            self.connection.execute(_SWITCH)
        self.connection.execute(sa.text("CHECKPOINT"))
        if self.connection.scalar(sa.text("SHOW wal_recycle")) == "on":
            return "wal_recycle is on: old log files are kept under new names"
        older = self.connection.scalar(_OLDER) or 0
        if older:
            return f"{older} old log files: a replication slot, wal_keep_size or an archive"
        self._done(WAL)
        return ""

    def _vacuum(self, relation: str) -> None:
        node = sa.text("SELECT pg_relation_filenode(CAST(:relation AS regclass))")
        before = self.connection.scalar(node, {"relation": relation})
        self.connection.execute(sa.text(f"VACUUM (FULL) {relation}"))
        # Without the right to it, PostgreSQL warns, passes it over and calls it success.
        if self.connection.scalar(node, {"relation": relation}) == before:
            raise Refused("scrub_not_permitted", _GRANTS, relation=relation)

    def _analyse(self, relation: str) -> None:
        """Learn the planner's figures anew: they quote frequent values."""
        schema, _, table = relation.partition(".")
        # ANALYZE leaves the figures of a table that became empty as they are.
        version = int(self.connection.scalar(sa.text("SHOW server_version_num")) or 0)
        if version >= _CLEARS:
            self.connection.execute(_CLEAR, {"schema": schema, "table": table})
        elif not self.connection.scalar(sa.text(f"SELECT EXISTS (SELECT FROM {relation})")):
            self.connection.execute(_FORGET, {"relation": relation})
        self.connection.execute(sa.text(f"ANALYZE {relation}"))

    def _done(self, relation: str) -> None:
        values = {"relation": relation, "through": self.through, "at": self.workspace.now()}
        self.connection.execute(_DONE, values)


def _wait_for_readers(connection: sa.Connection) -> None:
    """Wait until nobody is left who could still see what was deleted before now."""
    now: Any = connection.scalar(sa.text("SELECT pg_current_xact_id()::text"))
    until = time.monotonic() + PATIENCE
    while connection.scalar(_OLDER_READERS, {"now": now}):
        if time.monotonic() > until:
            raise Refused(
                "still_being_read",
                "end what began before the shred (long queries, prepared transactions, "
                "replication slots), then: cdp vault scrub",
            )
        time.sleep(_LOOK)


def _last_shred(connection: sa.Connection) -> int:
    last = sa.select(sa.func.max(shred.c.sequence)).where(shred.c.kind == Kind.SHRED.value)
    return connection.scalar(last) or 0


def _refused(error: sa.exc.DBAPIError) -> Exception:
    code = getattr(error.orig, "pgcode", None)
    if code == "55P03":
        return Refused("table_in_use", "try again when less is going on: cdp vault scrub")
    if code in _NOT_ALLOWED:
        return Refused("scrub_not_permitted", _GRANTS)
    return error


_DONE: Final = sa.text(
    """
    INSERT INTO kith.scrub (relation, through, at) VALUES (:relation, :through, :at)
    ON CONFLICT (relation) DO UPDATE SET through = excluded.through, at = excluded.at
    """
)
_OLDER_READERS: Final = sa.text(
    """
    SELECT count(*) FROM (
        SELECT unnest(ARRAY[backend_xmin, backend_xid]) FROM pg_stat_activity
         WHERE pid <> pg_backend_pid()
           AND (datname = current_database() OR backend_type = 'walsender')
        UNION ALL SELECT transaction FROM pg_prepared_xacts WHERE database = current_database()
        UNION ALL SELECT unnest(ARRAY[xmin, catalog_xmin]) FROM pg_replication_slots
    ) AS held(x)
    WHERE x IS NOT NULL AND age(x) > age(CAST(CAST(:now AS text) AS xid))
    """
)
_CLEAR: Final = sa.text(
    """
    SELECT pg_clear_attribute_stats(:schema, :table, a.attname, FALSE) FROM pg_attribute a
     WHERE a.attrelid = CAST(CAST(:schema AS text) || '.' || :table AS regclass) AND a.attnum > 0
       AND NOT a.attisdropped
    """
)
_FORGET: Final = sa.text("DELETE FROM pg_statistic WHERE starelid = CAST(:relation AS regclass)")
_SEGMENTS: Final = "SELECT count(*) FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$' AND"
_READY: Final = sa.text(f"{_SEGMENTS} name > pg_walfile_name(pg_current_wal_insert_lsn())")
_OLDER: Final = sa.text(
    f"{_SEGMENTS} name < pg_walfile_name((SELECT redo_lsn FROM pg_control_checkpoint()))"
)
# A switch does nothing in a file that nothing was written to.
_SWITCH: Final = sa.text(
    "SELECT pg_switch_wal() FROM (SELECT pg_logical_emit_message(FALSE, 'kith', 'scrub')) AS said"
)
