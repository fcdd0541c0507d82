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

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

import sqlalchemy as sa

from cdp.credentials import lookup_of
from cdp.ingest.collecting import collecting_seldom
from cdp.ingest.contract import Watch, read_under
from cdp.ingest.destroyed import destroyed_among, hold_ledger
from cdp.ingest.feed_sync import NO_DEPARTURES, Departures, Following, sync_feed
from cdp.ingest.parking import committed_but, forget_parked, named_again
from cdp.ingest.prepare import as_text
from cdp.ingest.removed import require_not_removed
from cdp.ingest.reports import COUNTS, Progress, SyncReport, quiet
from cdp.ingest.seen import Seen
from cdp.ingest.storing import Place, Row, Storing
from cdp.ingest.writing import SetAside, forget_rejected_rows
from cdp.storage.locks import Hold, only_one
from cdp.storage.schema import sync_run
from cdp.workspace import Workspace
from connectors.base import Source
from connectors.declaration import SourceDeclaration
from connectors.record import Record, Rejection
from connectors.registry import open_source

SAME_ID = "the record id stands on an earlier row with other content"
SAME_ID_STEP = "give every row of the source its own record id, or remove one of the two"


def sync(
    workspace: Workspace,
    name: str,
    progress: Progress = quiet,
    departures: Departures = NO_DEPARTURES,
) -> SyncReport:
    """Read the source ``name`` and store what is new or changed.

    Args:
        workspace: whose source.
        name: of the source.
        progress: told rows done and rows expected.
        departures: destroys what a feed says was deleted at its source.

    Raises:
        connectors.errors.Stop: the source cannot be read; nothing more is stored.
        cdp.errors.Stop: the rows break a demand of the contract that pauses the source.
        cdp.errors.Refused: another sync of this source runs.
    """
    declaration = workspace.declaration.source(name)
    source = open_source(declaration, workspace.declaration.folder, lookup_of(workspace))
    if not isinstance(source, Source):
        with collecting_seldom():
            return sync_feed(workspace, declaration, source, Following(progress, departures))
    step = "wait until it has ended; it goes on by itself"
    with only_one(workspace.engine, f"sync {name}", step) as hold, collecting_seldom():
        return _Sync(workspace, declaration, source, progress, hold).run()


class _Sync:
    """One run over one source."""

    def __init__(
        self,
        workspace: Workspace,
        declaration: SourceDeclaration,
        source: Source,
        progress: Progress,
        hold: Hold,
    ) -> None:
        self._workspace = workspace
        self._hold = hold
        self._declaration = declaration
        self._source = source
        self._progress = progress
        self._fingerprint = source.fingerprint()
        self._started = workspace.now()
        self._storing = Storing(workspace, declaration, self._started)
        self._preparer = self._storing.preparer
        self._place = Place(self._fingerprint)
        self._seen = Seen()  # record keys and contents of this content's rows
        self._report = SyncReport(declaration.name)
        self._watch = Watch(declaration)

    def run(self) -> SyncReport:
        engine = self._workspace.engine
        self._watch.look_ahead(engine, self._source, self._fingerprint, self._started)
        run_id, position = self._begin()
        expected = self._source.count()
        rows = self._source.read()
        if position:
            rows = self._pass_over(rows, position)
        self._progress(self._report.read, expected)
        while batch := list(islice(rows, self._workspace.settings.batch_rows)):
            self._watch.look(batch)
            self._commit(batch, run_id)
            self._progress(self._report.read, expected)
        with engine.begin() as connection:
            connection.execute(
                sa.update(sync_run)
                .where(sync_run.c.id == run_id)
                .values(finished_at=self._workspace.now())
            )
            self._watch.keep(connection, self._workspace.now(), came=bool(self._report.read))
        return replace(self._report, findings=self._watch.findings)

    def _commit(self, batch: Sequence[Record | Rejection], run_id: int) -> None:
        """Store one batch."""
        before = self._report

        def store(
            connection: sa.Connection, rows: Sequence[Record | Rejection]
        ) -> dict[bytes, bytes]:
            self._report = before
            seen: dict[bytes, bytes] = {}
            self._store(connection, rows, seen)
            self._remember(connection, run_id, batch[-1].position)
            self._hold.require(connection)  # it is lost with its connection, which lies idle
            return seen

        self._seen.add(committed_but(self._workspace.engine, batch, store))

    def _begin(self) -> tuple[int, int]:
        """Go on with an interrupted run over the same content, or begin a new one."""
        run = sync_run
        read_as = read_under(self._preparer.read_as, self._declaration.contract)
        with self._workspace.engine.begin() as connection:
            require_not_removed(connection, self._declaration.name)
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
                    **{name: getattr(newest, name) for name in COUNTS},
                    resumed_at=newest.position,
                )
                return newest.id, newest.position
            forget_rejected_rows(connection, self._declaration.name, self._fingerprint, read_as)
            forget_parked(connection, self._declaration.name, self._fingerprint)
            run_id = connection.scalar(
                run.insert()
                .values(
                    source=self._declaration.name,
                    fingerprint=self._fingerprint,
                    declaration=read_as,
                    position=0,
                    started_at=self._started,
                    **dict.fromkeys(COUNTS, 0),
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
                if (known := named_again(self._preparer, row)) is not None:
                    passed.setdefault(known.key, known.content)
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
        rejected = self._storing.rows_to_keep(connection, refused)
        differ, gone = self._differing(connection, others, seen)
        aside = [
            SetAside(row.position, "", row.rule, row.next_step, row.raw, None) for row in rejected
        ]
        counts = self._storing.store(connection, fresh, aside + differ, self._place)
        self._count(read=len(batch), **counts)
        self._count(
            unchanged=len(others) - len(differ) - gone,
            shredded=gone + len(refused) - len(rejected),
        )

    def _sorted_out(
        self, batch: Sequence[Record | Rejection], seen: dict[bytes, bytes]
    ) -> tuple[list[Row], list[Row]]:
        """The first rows of their record ids in this content, and further ones."""
        rows = [(row, self._preparer.recognise(row)) for row in batch if isinstance(row, Record)]
        earlier = self._seen.known(recognised.key for _, recognised in rows)
        fresh: list[Row] = []
        others: list[Row] = []
        for row, recognised in rows:
            first = recognised.key not in earlier and (
                # Put there just now: the first row of this id.
                seen.setdefault(recognised.key, recognised.content) is recognised.content
            )
            (fresh if first else others).append((row, recognised))
        seen |= earlier
        return fresh, others

    def _differing(
        self, connection: sa.Connection, others: Sequence[Row], seen: dict[bytes, bytes]
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
        self._report = self._report.plus(**more)

    def _remember(self, connection: sa.Connection, run_id: int, position: int) -> None:
        connection.execute(
            sa.update(sync_run)
            .where(sync_run.c.id == run_id)
            .values(position=position, **{name: getattr(self._report, name) for name in COUNTS})
        )
