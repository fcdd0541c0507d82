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

What a load that replaces the one before may end: see ``cdp/ingest/loads.py``.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import sqlalchemy as sa

from cdp.errors import Stop
from cdp.ingest import detecting, feed_state, loads
from cdp.ingest.contract import Watch, read_under
from cdp.ingest.destroyed import hold_ledger, possible_keys
from cdp.ingest.feed_batches import Batch, Item, parts, reading
from cdp.ingest.feed_contract import FeedWatch
from cdp.ingest.orders import Named, newest, not_late, outdated, remember
from cdp.ingest.parking import committed_but
from cdp.ingest.removed import require_not_removed
from cdp.ingest.reports import COUNTS, Progress, SyncReport, quiet
from cdp.ingest.storing import Place, Storing, reading_of
from cdp.ingest.writing import SetAside
from cdp.storage.locks import Hold, only_one
from cdp.storage.schema import reject, sync_run
from cdp.vault.errors import NotKeyable
from cdp.workspace import Workspace
from connectors.base import Deleted, Feed, Outdated, State
from connectors.declaration import SourceDeclaration
from connectors.digests import sha256_hex
from connectors.record import Record, Rejection, Sensitive

FED = "fed"  # stands where a sync of a file names its content
FROZEN = "its source deleted the record, which is frozen"
FROZEN_STEP = "unfreeze it, then destroy it: cdp vault shred SOURCE:RECORD_ID"
REASON = "keep what was set aside, sealed"


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
        all_may_go: whether a load may end more than half of the records before it.
        backfill: read from an earlier place, with a state of its own; where the feed stands
            stays as it is.
    """

    progress: Progress = quiet
    departures: Departures = NO_DEPARTURES
    hear: Callable[[State], None] = _unheard
    resumes: bool = True
    all_may_go: bool = False
    backfill: feed_state.Backfill | None = None


def sync_feed(
    workspace: Workspace, declaration: SourceDeclaration, feed: Feed, how: Following
) -> SyncReport:
    """Read what came since the last state of the feed, and store what is new or changed.

    Raises:
        connectors.errors.Stop: the feed cannot be read; what was committed stays.
        cdp.errors.Stop: a row breaks a demand that pauses the source, or its state is unreadable.
        cdp.errors.Refused: another sync of this source runs, or a resolve while deletions came.
    """
    step = "wait until it has ended; it goes on by itself"
    with only_one(workspace.engine, f"sync {declaration.name}", step) as hold:
        return _FeedSync(workspace, declaration, feed, (how, hold)).run()


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
        how_read: tuple[str, ...] = (read_as, declaration.feed.place())
        self._stands = declaration.name  # under which its state is kept
        if self._how.backfill is not None:
            how_read = (*how_read, self._how.backfill.since_text)
            self._stands = feed_state.beside(declaration.name)
        self._read_as = sha256_hex([part.encode() for part in how_read])
        self._watch = Watch(declaration)
        again = self._how.backfill is not None
        self._whole = FeedWatch(declaration, self._watch, workspace.now, again=again)
        self._place = Place(FED, lambda one: one.id)
        self._report = SyncReport(declaration.name)
        self._unread = 0  # rejected rows of which nobody can tell whose they are
        self._begun: tuple[Outdated, ...] = ()  # loads that were said to replace without a row

    def run(self) -> SyncReport:
        run_id, state = self._begin()
        engine, now = self._workspace.engine, self._workspace.now
        expected = self._feed.count(state)
        self._whole.look_ahead(engine, expected)
        batch, most = Batch(), self._workspace.settings.batch_rows
        self._how.progress(0, expected)
        # Whatever ends this run ends the reading: nothing is left open at the source.
        with reading(self._feed, state) as deliveries:
            for one in deliveries:
                batch.put(one, now)
                if batch.is_due(most, now):
                    self._commit(batch, run_id)
                    self._how.progress(self._report.read, expected)
                    batch = Batch()
        self._commit(batch, run_id, last=True)
        self._how.progress(self._report.read, expected)
        reads = reading_of(self._workspace, self._started.date())
        new = detecting.look(engine, self._declaration, self._feed, reads, now())
        self._whole.end(engine)
        return replace(self._report, findings=(*self._watch.findings, *new))

    def _begin(self) -> tuple[int, State | None]:
        with self._workspace.engine.begin() as connection:
            name = self._declaration.name
            require_not_removed(connection, name)
            state = (
                feed_state.kept(connection, self._workspace, self._stands, self._read_as)
                if self._how.resumes
                else None
            )
            if state is None and self._how.backfill is not None:
                state = self._how.backfill.since
            run = sync_run.insert().values(
                source=name,
                fingerprint=FED,
                declaration=self._read_as,
                position=0,
                started_at=self._started,
                **dict.fromkeys(COUNTS, 0),
            )
            run_id = int(connection.scalar(run.returning(sync_run.c.id)) or 0)
            self._unread = loads.unread_before(connection, name, run_id)
            self._whole.begin(connection, anew=state is None and self._how.resumes)
        return run_id, state

    def _commit(self, batch: Batch, run_id: int, *, last: bool = False) -> None:
        """Store what was read, and the state behind it."""
        self._watch.look(batch.rows)
        self._whole.look(batch.rows)
        before = (self._report, self._unread, self._begun)

        def store(connection: sa.Connection, given: Sequence[Item]) -> None:
            self._report, self._unread, self._begun = before
            if any(isinstance(row, Deleted | Outdated) for row in (*given, *self._begun)):
                self._how.departures.begin(connection)
            hold_ledger(connection)  # before anything that a shred may wait for
            for rows in parts(given):
                self._store(connection, rows)
            for row in self._begun if last else ():
                self._follow(connection, row, ended=True)
            if batch.mark is not None:
                feed_state.keep(
                    connection, self._workspace, self._stands, self._read_as, batch.mark
                )
            if last and self._how.backfill is not None:
                feed_state.end_backfill(connection, self._declaration.name)
            self._whole.note(connection, (before[0], self._report), batch, ended=last)
            self._remember(connection, run_id, last=last)
            self._hold.require(connection)

        committed_but(self._workspace.engine, batch.rows, store)
        if batch.mark is not None:
            self._how.hear(batch.mark.state)

    def _store(self, connection: sa.Connection, rows: Sequence[Item]) -> None:
        name = self._declaration.name
        for row in rows:
            if isinstance(row, Outdated):  # alone: see _parts
                self._follow(connection, row)
                return
        given = [self._named(row) for row in rows if isinstance(row, Record | Deleted)]
        counting = not_late(connection, newest(given))
        gone = {one.key: one for one in counting if isinstance(one.row, Deleted)}
        ended, stay = self._end(connection, sorted(gone))
        refused = [row for row in rows if isinstance(row, Rejection)]
        rejected = self._storing.rows_to_keep(connection, refused)
        aside = [frozen(gone[key]) for key in sorted(stay)] + [
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
        self._note(connection, refused)
        self._count(**(counts | {"read": len(rows), "rejected": len(aside)}))
        self._count(
            superseded=len(given) - len(counting),
            shredded=len(refused) - len(rejected),
            unchanged=len(gone) - ended - len(stay),  # deletions of what is not here
        )

    def _note(self, connection: sa.Connection, refused: Sequence[Rejection]) -> None:
        """Note whose rejected rows are: a load that has them does not lack those records."""
        there: list[tuple[bytes, int]] = []
        for row in refused:
            try:
                key = self._key(row.record_id) if row.record_id else None
            except NotKeyable:
                key = None
            self._unread += key is None
            there += [(key, row.load)] if key is not None and row.load is not None else []
        loads.still_there(connection, there)

    def _follow(self, connection: sa.Connection, row: Outdated, *, ended: bool = False) -> None:
        """Destroy what a load lacks that the one before had, if that can be believed."""
        name = self._declaration.name
        came, older = loads.counted(connection, name, row.load)
        if ended and came:
            return  # it only began then, and nothing was said of its end
        load = loads.Load(came, older, self._unread, ended, self._how.all_may_go)
        rule = loads.refusal(load)
        if rule is None:
            self._end(connection, outdated(connection, name, row.load))
        elif rule == loads.EMPTY and not ended:
            self._begun = (*self._begun, row)
        else:
            fresh = self._not_kept(connection, [loads.kept(row, rule)])
            self._storing.store(connection, [], fresh, self._place)
            self._count(read=1, rejected=1)

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
        return [self._looked_into(one) for key, one in named.items() if key not in known]

    def _looked_into(self, one: SetAside) -> SetAside:
        """A rejected row, with the keys of the records that it may be of.

        So that who goes finds the rows of theirs without opening all others.
        """
        if one.keys is not None:
            return one
        text, record_keys = one.raw.reveal(reason=REASON), self._storing.record_keys
        keys = possible_keys(record_keys, self._declaration.name, self._declaration, text)
        return one if keys is None else replace(one, keys=tuple(sorted(keys)))

    def _named(self, row: Record | Deleted) -> Named:
        if isinstance(row, Record):
            recognised = self._storing.preparer.recognise(row)
            return Named(recognised.key, row, recognised)
        return Named(self._key(row.record_id), row)

    def _key(self, record_id: Sensitive) -> bytes:
        name = record_id.reveal(reason="name the record of a row that is none")
        return self._storing.record_keys.record_key(self._declaration.name, name)

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


def frozen(one: Named) -> SetAside:
    """What is kept of a deletion of a record that stays."""
    record_id = one.row.record_id
    return SetAside(one.row.position, "", FROZEN, FROZEN_STEP, record_id, None, keys=(one.key,))
