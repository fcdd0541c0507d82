"""Bring one feed up to date: what came since its state, batch by batch.

Invariants, each named by a test in ``tests/integration/feeds``:
    1. Rows up to a mark are committed together with its state: after a kill the same command
       goes on from the last committed state, with the same result.
    2. Delivered again, nothing changes: exactly one effect by (source, record id, content).
    3. Every row ends as added, changed, unchanged, rejected, shredded, deleted or superseded,
       and is counted once.
    4. What is left equals a full load of what is left at the source, in whatever order rows and
       deletions came, where the source gives an order: see ``cdp/ingest/orders.py``.
    5. A record that its source deleted is destroyed, and may come again as a new one. One that
       a person froze stays, and the deletion stands among the rejected rows.
    6. Two syncs of one source never run at once.
    7. A state is handed on only after the rows before it are committed.
"""

import datetime as dt
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol

import sqlalchemy as sa

from cdp.errors import Stop
from cdp.ingest import feed_state
from cdp.ingest.contract import Watch, read_under, require_rows_only
from cdp.ingest.destroyed import hold_ledger
from cdp.ingest.orders import Named, newest, not_late, outdated, remember
from cdp.ingest.reports import COUNTS, Progress, SyncReport, quiet
from cdp.ingest.storing import Place, Storing, committed
from cdp.ingest.writing import SetAside
from cdp.storage.locks import Hold, only_one
from cdp.storage.schema import reject, sync_run
from cdp.workspace import Workspace
from connectors.base import Deleted, Delivery, Feed, Mark, Outdated, State
from connectors.declaration import SourceDeclaration
from connectors.digests import sha256_hex
from connectors.record import Record, Rejection

FED = "fed"  # stands where a sync of a file names its content
PATIENCE = dt.timedelta(seconds=5)  # that rows wait for a batch to fill, once a mark has come
MOST_BATCHES = 2  # rows without a mark that are committed without one, in batches
FROZEN = "its source deleted the record, which is frozen"
FROZEN_STEP = "unfreeze it, then destroy it: cdp vault shred SOURCE:RECORD_ID"
REASON = "keep what was set aside, sealed"
_Item = Record | Rejection | Deleted | Outdated


class Departures(Protocol):
    """Destroys records that their source deleted, in the transaction of the sync."""

    def begin(self, connection: sa.Connection) -> None:
        """Keep others from resolving and destroying until the transaction ends. Comes first."""
        ...

    def end(
        self, connection: sa.Connection, workspace: Workspace, source: str, keys: Collection[bytes]
    ) -> tuple[int, set[bytes]]:
        """Destroy the records of these keys: how many there were, and which stay, frozen."""
        ...


class _NoDepartures:
    """Of a caller who is not prepared for deletions."""

    def begin(self, connection: sa.Connection) -> None:
        del connection
        raise Stop("deletions_not_expected", "sync the source with: cdp source sync")

    def end(
        self, connection: sa.Connection, workspace: Workspace, source: str, keys: Collection[bytes]
    ) -> tuple[int, set[bytes]]:
        del workspace, source, keys
        self.begin(connection)
        return 0, set()


NO_DEPARTURES: Departures = _NoDepartures()


def _unheard(state: State) -> None:
    del state


@dataclass(frozen=True, slots=True)
class Following:
    """How a feed is followed.

    Attributes:
        progress: told rows done and rows expected.
        departures: destroys what the source deleted.
        hear: told each state, once it is committed.
        resumes: whether the feed reads on from the state that is kept; one on standard input
            begins where its sender says.
    """

    progress: Progress = quiet
    departures: Departures = NO_DEPARTURES
    hear: Callable[[State], None] = _unheard
    resumes: bool = True


def sync_feed(
    workspace: Workspace, declaration: SourceDeclaration, feed: Feed, how: Following
) -> SyncReport:
    """Read what came since the last state of the feed, and store what is new or changed.

    Raises:
        connectors.errors.Stop: the feed cannot be read; what was committed stays.
        cdp.errors.Stop: a row breaks a demand that pauses the source, or its state is unreadable.
        cdp.errors.Refused: another sync of this source runs, or a resolve while deletions came.
    """
    require_rows_only(declaration)
    step = "wait until it has ended; it goes on by itself"
    with only_one(workspace.engine, f"sync {declaration.name}", step) as hold:
        return _FeedSync(workspace, declaration, feed, (how, hold)).run()


@dataclass(slots=True)
class _Batch:
    """What was read and is not committed."""

    rows: list[_Item] = field(default_factory=list, repr=False)
    mark: Mark | None = None
    since: dt.datetime | None = None  # when its first mark came


class _FeedSync:
    """One run over one feed."""

    def __init__(
        self,
        workspace: Workspace,
        declaration: SourceDeclaration,
        feed: Feed,
        ways: tuple[Following, Hold],
    ) -> None:
        self._workspace = workspace
        self._declaration = declaration
        self._feed = feed
        self._how, self._hold = ways
        self._started = workspace.now()
        self._storing = Storing(workspace, declaration, self._started)
        read_as = read_under(self._storing.preparer.read_as, declaration.contract)
        how_read = (read_as, declaration.feed.place())
        self._read_as = sha256_hex([part.encode() for part in how_read])
        self._watch = Watch(declaration)
        self._place = Place(FED, lambda one: one.id)
        self._report = SyncReport(declaration.name)

    def run(self) -> SyncReport:
        run_id, state = self._begin()
        expected = self._feed.count(state)
        batch = _Batch()
        self._how.progress(0, expected)
        # Whatever ends this run ends the reading: nothing is left open at the source.
        with _reading(self._feed, state) as deliveries:
            for one in deliveries:
                self._put(batch, one)
                if self._is_due(batch):
                    self._commit(batch, run_id)
                    self._how.progress(self._report.read, expected)
                    batch = _Batch()
        self._commit(batch, run_id, last=True)
        self._how.progress(self._report.read, expected)
        return replace(self._report, findings=self._watch.findings)

    def _put(self, batch: _Batch, one: Delivery) -> None:
        if not isinstance(one, Mark):
            batch.rows.append(one)
            return
        batch.mark = one
        batch.since = batch.since or self._workspace.now()

    def _is_due(self, batch: _Batch) -> bool:
        most = self._workspace.settings.batch_rows
        if batch.since is None:
            return len(batch.rows) >= MOST_BATCHES * most
        waited = self._workspace.now() - batch.since
        return len(batch.rows) >= most or waited >= PATIENCE

    def _begin(self) -> tuple[int, State | None]:
        with self._workspace.engine.begin() as connection:
            name = self._declaration.name
            state = (
                feed_state.kept(connection, self._workspace, name, self._read_as)
                if self._how.resumes
                else None
            )
            run = sync_run.insert().values(
                source=name,
                fingerprint=FED,
                declaration=self._read_as,
                position=0,
                started_at=self._started,
                **dict.fromkeys(COUNTS, 0),
            )
            run_id = connection.scalar(run.returning(sync_run.c.id))
        return int(run_id or 0), state

    def _commit(self, batch: _Batch, run_id: int, *, last: bool = False) -> None:
        """Store what was read, and the state behind it."""
        self._watch.look(batch.rows)
        before = self._report

        def store(connection: sa.Connection) -> None:
            self._report = before
            if any(isinstance(row, Deleted | Outdated) for row in batch.rows):
                self._how.departures.begin(connection)
            hold_ledger(connection)  # before anything that a shred may wait for
            for rows in _parts(batch.rows):
                self._store(connection, rows)
            if batch.mark is not None:
                feed_state.keep(
                    connection, self._workspace, self._declaration.name, self._read_as, batch.mark
                )
            self._remember(connection, run_id, last=last)
            self._hold.require(connection)

        committed(self._workspace.engine, store)
        if batch.mark is not None:
            self._how.hear(batch.mark.state)

    def _store(self, connection: sa.Connection, rows: Sequence[_Item]) -> None:
        name = self._declaration.name
        for row in rows:
            if isinstance(row, Outdated):  # alone: see _parts
                self._end(connection, outdated(connection, name, row.load))
                return
        given = [self._named(row) for row in rows if isinstance(row, Record | Deleted)]
        counting = not_late(connection, newest(given))
        gone = {one.key: one for one in counting if isinstance(one.row, Deleted)}
        ended, stay = self._end(connection, sorted(gone))
        refused = [row for row in rows if isinstance(row, Rejection)]
        rejected = self._storing.rows_to_keep(connection, refused)
        aside = [_frozen(gone[key]) for key in sorted(stay)] + [
            SetAside(row.position, "", row.rule, row.next_step, row.raw, None) for row in rejected
        ]
        kept = [
            (one.row, one.recognised)
            for one in counting
            if isinstance(one.row, Record) and one.recognised
        ]
        fresh = self._not_kept(connection, aside)
        counts = self._storing.store(connection, kept, fresh, self._place)
        remember(connection, name, counting)
        self._count(**(counts | {"read": len(rows), "rejected": len(aside)}))
        self._count(
            superseded=len(given) - len(counting),
            shredded=len(refused) - len(rejected),
            unchanged=len(gone) - ended - len(stay),  # deletions of what is not here
        )

    def _end(self, connection: sa.Connection, keys: Sequence[bytes]) -> tuple[int, set[bytes]]:
        """Destroy the records of these keys: how many there were, and which stay, frozen."""
        if not keys:
            return 0, set()
        name = self._declaration.name
        ended, stay = self._how.departures.end(connection, self._workspace, name, keys)
        self._count(deleted=ended)
        return ended, stay

    def _not_kept(self, connection: sa.Connection, aside: Sequence[SetAside]) -> list[SetAside]:
        """Those of the rejected rows that are not kept already: a feed may give them again."""
        name = self._declaration.name
        named: dict[str, SetAside] = {}
        for one in aside:
            content = f"{one.rule}\0{one.raw.reveal(reason=REASON)}".encode(errors="replace")
            digest = self._storing.record_keys.content_digest(name, content).hex()
            fingerprint = f"{FED} {digest}"
            named.setdefault(fingerprint, replace(one, fingerprint=fingerprint))
        stored = sa.select(reject.c.fingerprint).where(
            reject.c.source == name, reject.c.fingerprint.in_(list(named))
        )
        known = set(connection.scalars(stored)) if named else set()
        return [one for fingerprint, one in named.items() if fingerprint not in known]

    def _named(self, row: Record | Deleted) -> Named:
        if isinstance(row, Record):
            recognised = self._storing.preparer.recognise(row)
            return Named(recognised.key, row, recognised)
        record_id = row.record_id.reveal(reason="name the record that its source deleted")
        return Named(self._storing.record_keys.record_key(self._declaration.name, record_id), row)

    def _count(self, **more: int) -> None:
        self._report = self._report.plus(**more)

    def _remember(self, connection: sa.Connection, run_id: int, *, last: bool) -> None:
        counts = {name: getattr(self._report, name) for name in COUNTS}
        ended = {"finished_at": self._workspace.now()} if last else {}
        connection.execute(
            sa.update(sync_run)
            .where(sync_run.c.id == run_id)
            .values(position=self._report.read, **counts, **ended)
        )


@contextmanager
def _reading(feed: Feed, state: State | None) -> Iterator[Iterator[Delivery]]:
    deliveries = feed.read(state)
    try:
        yield deliveries
    finally:
        if isinstance(deliveries, Generator):
            deliveries.close()


def _parts(rows: Sequence[_Item]) -> Iterator[Sequence[_Item]]:
    """The rows in their order, what is outdated apart: it is about all that came before."""
    begin = 0
    for place, row in enumerate(rows):
        if isinstance(row, Outdated):
            if place > begin:
                yield rows[begin:place]
            yield rows[place : place + 1]
            begin = place + 1
    if begin < len(rows):
        yield rows[begin:]


def _frozen(one: Named) -> SetAside:
    record_id = one.row.record_id
    return SetAside(one.row.position, "", FROZEN, FROZEN_STEP, record_id, None)
