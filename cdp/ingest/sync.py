"""Bring one source up to date: read, prepare, store, batch by batch.

Invariants:
    1. A batch and the position behind it are committed together: after a kill the same
       command goes on where the last commit ended, with the same result.
    2. Every row read ends as added, changed, unchanged, rejected or shredded, and is counted
       once.
    3. Reading the same content twice changes nothing.
    4. One record id has one row in a file: a second, different one is rejected, so that
       the result does not depend on where a batch ends.
    5. Two syncs of one source never run at once.
"""

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import Any

import sqlalchemy as sa

from cdp.ingest.destroyed import destroyed_among, hold_ledger, rows_to_keep
from cdp.ingest.prepare import Preparer, Recognised, as_text
from cdp.ingest.seen import Seen
from cdp.ingest.values import Reading
from cdp.ingest.writing import (
    SetAside,
    by_field,
    forget_rejected_rows,
    incoming_of,
    write_records,
    write_set_aside,
)
from cdp.storage.key_schema import SealedUnderRetiredKey
from cdp.storage.locks import is_collision, only_one
from cdp.storage.schema import sync_run
from cdp.vault.keyed import RecordKeys
from cdp.workspace import Workspace
from connectors.base import Source
from connectors.declaration import SourceDeclaration
from connectors.record import Record, Rejection
from connectors.registry import open_source
from policies.vocabulary import NodeKind

Progress = Callable[[int, int | None], None]  # rows done, rows expected
_Row = tuple[Record, Recognised]


def quiet(done: int, expected: int | None) -> None:
    """Say nothing."""
    del done, expected


ATTEMPTS = 5  # to store a batch
SAME_ID = "the record id stands on an earlier row with other content"
SAME_ID_STEP = "give every row of the source its own record id, or remove one of the two"


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What one sync did, in rows. ``set_aside`` counts single values, not rows.

    ``shredded`` are rows of records that were destroyed, and may not come in again.
    """

    source: str
    read: int = 0
    added: int = 0
    changed: int = 0
    unchanged: int = 0
    rejected: int = 0
    set_aside: int = 0
    resumed_at: int = 0
    shredded: int = 0

    @property
    def accepted(self) -> int:
        """Rows that are a record now."""
        return self.added + self.changed + self.unchanged

    @property
    def nothing_new(self) -> bool:
        """Whether the database is as it was before."""
        return self.added == self.changed == 0

    def to_dict(self) -> dict[str, Any]:
        """A plain object for ``--json``."""
        return asdict(self) | {"accepted": self.accepted}


def sync(workspace: Workspace, name: str, progress: Progress = quiet) -> SyncReport:
    """Read the source ``name`` and store what is new or changed.

    Raises:
        connectors.errors.Stop: the source cannot be read; nothing more is stored.
        cdp.errors.Refused: another sync of this source runs.
    """
    declaration = workspace.declaration.source(name)
    source = open_source(declaration, workspace.declaration.folder)
    step = "wait until it has ended; it goes on by itself"
    with only_one(workspace.engine, f"sync {name}", step):
        return _Sync(workspace, declaration, source, progress).run()


def reading_of(workspace: Workspace, today: dt.date) -> Reading:
    """How the sources of a workspace are read on a day."""
    nodes = workspace.declaration.organisation.nodes.values()
    return Reading(
        today,
        labels=tuple(node.name for node in nodes),
        stores=frozenset(node.id for node in nodes if node.kind is NodeKind.STORE),
        identifiers=workspace.declaration.identifiers,
        indexes=tuple(workspace.declaration.indexes.values()),
    )


class _Sync:
    """One run over one source."""

    def __init__(
        self,
        workspace: Workspace,
        declaration: SourceDeclaration,
        source: Source,
        progress: Progress,
    ) -> None:
        self._workspace = workspace
        self._declaration = declaration
        self._source = source
        self._progress = progress
        self._fingerprint = source.fingerprint()
        self._started = workspace.now()
        reading = reading_of(workspace, self._started.date())
        self._preparer = Preparer(
            workspace.keyring,
            workspace.vault,
            declaration,
            reading,
            forms=workspace.forms,
        )
        self._record_keys = RecordKeys(workspace.keyring)
        self._seen = Seen()  # record keys and contents of this content's rows
        self._report = SyncReport(declaration.name)

    def run(self) -> SyncReport:
        run_id, position = self._begin()
        expected = self._source.count()
        rows = self._source.read()
        if position:
            rows = self._pass_over(rows, position)
        self._progress(self._report.read, expected)
        while batch := list(islice(rows, self._workspace.settings.batch_rows)):
            self._commit(batch, run_id)
            self._progress(self._report.read, expected)
        with self._workspace.engine.begin() as connection:
            connection.execute(
                sa.update(sync_run)
                .where(sync_run.c.id == run_id)
                .values(finished_at=self._workspace.now())
            )
        return self._report

    def _commit(self, batch: Sequence[Record | Rejection], run_id: int) -> None:
        """Store one batch, anew where somebody else stored a record of it or retired a key."""
        before = self._report
        for attempt in range(ATTEMPTS):
            seen: dict[bytes, bytes] = {}
            try:
                with self._workspace.engine.begin() as connection:
                    self._store(connection, batch, seen)
                    self._remember(connection, run_id, batch[-1].position)
            except (sa.exc.DBAPIError, SealedUnderRetiredKey) as error:
                self._report = before
                again = isinstance(error, SealedUnderRetiredKey) or is_collision(error)
                if not again or attempt == ATTEMPTS - 1:
                    raise
                continue
            self._seen.add(seen)
            return

    def _begin(self) -> tuple[int, int]:
        """Go on with an interrupted run over the same content, or begin a new one."""
        run = sync_run
        read_as = self._preparer.read_as
        with self._workspace.engine.begin() as connection:
            # Only the newest run can be gone on with: what another content changed since an
            # older one broke off has to be read again from its first row.
            newest = connection.execute(
                sa.select(run)
                .where(run.c.source == self._declaration.name)
                .order_by(run.c.id.desc())
                .limit(1)
            ).one_or_none()
            this = (self._fingerprint, read_as, None)
            if newest and (newest.fingerprint, newest.declaration, newest.finished_at) == this:
                self._report = replace(
                    self._report,
                    **{name: getattr(newest, name) for name in _COUNTS},
                    resumed_at=newest.position,
                )
                return newest.id, newest.position
            forget_rejected_rows(connection, self._declaration.name, self._fingerprint, read_as)
            run_id = connection.scalar(
                run.insert()
                .values(
                    source=self._declaration.name,
                    fingerprint=self._fingerprint,
                    declaration=read_as,
                    position=0,
                    started_at=self._started,
                    **dict.fromkeys(_COUNTS, 0),
                )
                .returning(run.c.id)
            )
        return int(run_id or 0), 0

    def _pass_over(
        self, rows: Iterator[Record | Rejection], position: int
    ) -> Iterator[Record | Rejection]:
        """Skip what is committed, remembering its record ids (invariant 4)."""
        passed: dict[bytes, bytes] = {}
        for row in rows:
            if row.position > position:
                self._seen.add(passed)
                passed = {}
                yield row
            elif isinstance(row, Record):
                recognised = self._preparer.recognise(row)
                passed.setdefault(recognised.key, recognised.content)
                if len(passed) >= self._workspace.settings.batch_rows:
                    self._seen.add(passed)
                    passed = {}
        self._seen.add(passed)

    def _store(
        self,
        connection: sa.Connection,
        batch: Sequence[Record | Rejection],
        seen: dict[bytes, bytes],
    ) -> None:
        fresh, others = self._sorted_out(batch, seen)
        if len(fresh) < len(batch):
            hold_ledger(connection)  # before anything that a shred may wait for
        refused = [row for row in batch if isinstance(row, Rejection)]
        rejected = rows_to_keep(connection, self._record_keys, self._declaration, refused)
        incoming, _, gone = incoming_of(connection, self._preparer, fresh)
        differ, gone_too = self._differing(connection, others, seen)
        aside = [
            SetAside(row.position, "", row.rule, row.next_step, row.raw, None) for row in rejected
        ] + differ
        write_records(connection, self._declaration, incoming, self._started)
        fields = [
            SetAside(one.record.position, p.field, p.rule, p.next_step, p.raw, one.id)
            for one in incoming
            for p in by_field(one.prepared.problems)
        ]
        write_set_aside(
            connection,
            self._workspace.vault,
            self._declaration.name,
            self._fingerprint,
            aside + fields,
            self._started,
        )
        added = sum(one.is_new for one in incoming)
        self._count(
            read=len(batch),
            added=added,
            changed=len(incoming) - added,
            unchanged=len(fresh) + len(others) - len(incoming) - len(differ) - gone - gone_too,
            rejected=len(aside),
            set_aside=len(fields),
            shredded=gone + gone_too + len(refused) - len(rejected),
        )

    def _sorted_out(
        self, batch: Sequence[Record | Rejection], seen: dict[bytes, bytes]
    ) -> tuple[list[_Row], list[_Row]]:
        """The first rows of their record ids in this content, and further ones."""
        rows = [(row, self._preparer.recognise(row)) for row in batch if isinstance(row, Record)]
        earlier = self._seen.known(recognised.key for _, recognised in rows)
        fresh: list[_Row] = []
        others: list[_Row] = []
        for row, recognised in rows:
            first = recognised.key not in earlier and (
                # Put there just now: the first row of this id.
                seen.setdefault(recognised.key, recognised.content) is recognised.content
            )
            (fresh if first else others).append((row, recognised))
        seen |= earlier
        return fresh, others

    def _differing(
        self, connection: sa.Connection, others: Sequence[_Row], seen: dict[bytes, bytes]
    ) -> tuple[list[SetAside], int]:
        """The further rows that say something else, and how many are of destroyed records."""
        # Nothing of a destroyed record is kept, not even sealed among the rejected rows.
        gone = destroyed_among(connection, [recognised.key for _, recognised in others])
        differ = [
            SetAside(row.position, "", SAME_ID, SAME_ID_STEP, as_text(row), None)
            for row, recognised in others
            if recognised.key not in gone and seen[recognised.key] != recognised.content
        ]
        return differ, sum(recognised.key in gone for _, recognised in others)

    def _count(self, **more: int) -> None:
        totals = {name: getattr(self._report, name) + count for name, count in more.items()}
        self._report = replace(self._report, **totals)

    def _remember(self, connection: sa.Connection, run_id: int, position: int) -> None:
        connection.execute(
            sa.update(sync_run)
            .where(sync_run.c.id == run_id)
            .values(position=position, **{name: getattr(self._report, name) for name in _COUNTS})
        )


_COUNTS = ("read", "added", "changed", "unchanged", "rejected", "set_aside", "shredded")


def last_runs(connection: sa.Connection) -> Sequence[sa.Row[Any]]:
    """The newest run of each source."""
    return connection.execute(
        sa.select(sync_run)
        .distinct(sync_run.c.source)
        .order_by(sync_run.c.source, sync_run.c.id.desc())
    ).all()
