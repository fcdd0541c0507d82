"""One record in, one person out, in one transaction: the way of a request.

The record is stored, its blocking keys are looked up, what it touches is opened in memory,
compared, decided and stored, and the changed people are put into the outbox of every
message destination: all of it is committed together, or nothing.

Invariants, each named by a test in ``tests/integration/test_online.py``:
    1. Writers who touch the same people end in the state that one writer would reach: who
       is not alone locks the blocking keys and the records that it depends on before
       anything is decided, in one order for all. Until then it holds no row but those of
       the records that it stores.
    2. While others resolve or decide, and where somebody whom it has to be compared with
       cannot be read, a record is stored and left for the next run, or for its next
       arrival; the answer says so.
    3. A writer that cannot get its turn changes nothing, and waits for it only so long.
    4. Features are keyed under the version that the database names in the transaction.
    5. A row that fails in a way that nobody foresaw is refused, with the number of its crash, and
       the others that came with it are stored.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import sqlalchemy as sa

from cdp.errors import Refused, Retry
from cdp.ingest import parking
from cdp.ingest.features import Deriver
from cdp.ingest.intake import Intake, Stored
from cdp.profiles.build import rebuild
from cdp.resolution.announcing import announce
from cdp.resolution.feature_keys import brought_up
from cdp.resolution.opened import UNREADABLE, Told
from cdp.resolution.readiness import Ready, shared_and_ready
from cdp.resolution.repair import Known, Repair
from cdp.storage.key_schema import SealedUnderRetiredKey
from cdp.storage.locks import alone_or_shared, is_collision, is_timed_out, wait_at_most
from cdp.storage.statements import Statement, array, ask
from cdp.workspace import Workspace
from connectors.record import Record, Rejection, Sensitive
from identity.columns import Ints

ATTEMPTS = 5
TURN = 5.0  # seconds; who waits longer for another is told to send again, and holds nothing
STRIPES = 4096  # locks; two keys on one stripe only wait for each other without need
# Lock classes: blocking keys come before records, and 11_303 of cdp.ingest.happenings before both.
_KEYS, _RECORDS = 11_301, 11_302
Lock = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Arrival:
    """What became of the rows that were sent together.

    Attributes:
        profiles: the ids of the people whose records were new or changed, ascending.
        stored: how many records were new or changed.
        unchanged: how many said what was known already.
        set_aside: how many single values were not taken in.
        refused: rows that are no record.
        waiting: how many, new or not, wait for the next ``cdp identity resolve``.
        shredded: how many stand as destroyed and were not taken in.
    """

    profiles: tuple[str, ...]
    stored: int
    unchanged: int
    set_aside: int
    refused: tuple[Rejection, ...]
    waiting: int
    shredded: int = 0

    @property
    def resolved(self) -> bool:
        """Whether everybody is where they belong now."""
        return not self.waiting


class Delivery(Protocol):
    """What a sender delivered, to be stored in a transaction that may be begun anew."""

    def read(self, connection: sa.Connection) -> tuple[Sequence[Record], tuple[Rejection, ...]]:
        """Return the records, each once, and the rows that are none."""
        ...

    def stored(self, connection: sa.Connection, stored: Stored) -> None:
        """Store what goes with the records; they are there, and not resolved yet."""
        ...


@dataclass(frozen=True, slots=True)
class Rows:
    """Records that depend on nothing in the database."""

    records: Sequence[Record]
    refused: tuple[Rejection, ...]

    def read(self, connection: sa.Connection) -> tuple[Sequence[Record], tuple[Rejection, ...]]:
        """Return them."""
        del connection
        return self.records, self.refused

    def stored(self, connection: sa.Connection, stored: Stored) -> None:
        """Nothing goes with them."""
        del connection, stored


class Arrivals:
    """Resolves what one source sends, as it comes."""

    def __init__(self, workspace: Workspace, source: str, deriver: Deriver | None = None) -> None:
        """Make it once for many records: it holds what does not change between them.

        Give several sources of one process one deriver: see ``cdp.ingest.prepare.deriver_of``.
        """
        self._workspace, self._source = workspace, source
        self._intake = Intake(workspace, source, deriver)
        self._known = Known.of(workspace)
        self._ready: Ready | None = None  # the epoch that was in force last

    def resolve(self, objects: Sequence[str]) -> Arrival:
        """Take in JSON objects, given as text, and resolve them together.

        Raises:
            Refused: others kept changing the same people; nothing was stored.
            Retry: the database went away, or a key was retired meanwhile; sent again, what
                was stored counts as unchanged.
        """
        rows = list(enumerate(objects, start=1))
        try:
            return self._resolve(rows)
        except Exception as error:  # noqa: BLE001 - raised again, where no row is at fault
            found = parking.failing(
                self._workspace.engine, rows, error, self._rehearse_rows, self._source
            )
        arrival = self._resolve([one for one in rows if id(one) not in found])
        parked = (self._unforeseen(one, found) for one in rows if id(one) in found)
        refused = sorted((*arrival.refused, *parked), key=lambda one: one.position)
        return replace(arrival, refused=tuple(refused))

    def rehearse(self, connection: sa.Connection, delivery: Delivery) -> None:
        """Do what ``take_in`` would do, in a transaction that the caller rolls back.

        Raises:
            Refused, Retry: as ``resolve``; whatever else is the fault of what was delivered.
        """
        try:
            try:
                with connection.begin_nested():
                    self._attempt(connection, delivery, set(), repairing=True)
            except UNREADABLE:
                self._attempt(connection, delivery, set(), repairing=False)
        except _Busy:
            raise _busy() from None
        except sa.exc.DBAPIError as error:
            _go_on_after(error)
            raise _busy() from None

    def _resolve(self, rows: Sequence[tuple[int, str]]) -> Arrival:
        return self.take_in(Rows(*self._intake.read_places(rows)))

    def _rehearse_rows(self, connection: sa.Connection, rows: Sequence[tuple[int, str]]) -> None:
        self.rehearse(connection, Rows(*self._intake.read_places(rows)))

    def _unforeseen(self, row: tuple[int, str], found: Mapping[int, str]) -> Rejection:
        step = parking.next_step(found[id(row)])
        return Rejection(self._source, row[0], None, parking.RULE, step, Sensitive(row[1]))

    def take_in(self, delivery: Delivery) -> Arrival:
        """Take in what a sender delivered, and resolve it together, in one transaction.

        Raises:
            Refused, Retry: as ``resolve``.
        """
        wanted: set[Lock] = set()
        repairing = True
        for attempt in range(ATTEMPTS):
            try:
                with self._workspace.engine.begin() as connection:
                    return self._attempt(connection, delivery, wanted, repairing=repairing)
            except _Busy as busy:
                wanted |= busy.locks
            except UNREADABLE:
                if not repairing:
                    raise
                repairing = False  # a run says who it is, and what to do
            except SealedUnderRetiredKey:
                if attempt == ATTEMPTS - 1:
                    raise
            except sa.exc.DBAPIError as error:
                _go_on_after(error)
        raise _busy()

    def _attempt(
        self,
        connection: sa.Connection,
        delivery: Delivery,
        wanted: set[Lock],
        *,
        repairing: bool,
    ) -> Arrival:
        now = self._workspace.now()
        wait_at_most(connection, TURN)
        epoch = shared_and_ready(connection, self._ready) if repairing else None
        self._ready = epoch or self._ready
        records, refused = delivery.read(connection)
        stored = self._intake.store(connection, records, now, waiting=epoch is None)
        delivery.stored(connection, stored)
        profiles: tuple[str, ...] = ()
        if epoch and stored.touched:
            profiles = self._repair(connection, stored, epoch, wanted, now)
        return Arrival(
            profiles,
            len(stored.ids),
            len(records) - len(stored.ids) - stored.shredded,
            stored.set_aside,
            refused,
            waiting=0 if epoch else len(stored.touched),
            shredded=stored.shredded,
        )

    def _repair(
        self,
        connection: sa.Connection,
        stored: Stored,
        epoch: Ready,
        wanted: set[Lock],
        now: dt.datetime,
    ) -> tuple[str, ...]:
        if alone_or_shared(connection, "arrivals"):
            work = Repair(connection, self._workspace, epoch, self._known_of(stored, epoch))
            work.find(stored.touched, unseen=stored.unseen)
        else:
            work = self._found_among_others(connection, stored, epoch, wanted)
        outcome = work.store(now).outcome
        announce(connection, self._workspace.declaration, outcome, now)
        rebuild(connection, self._workspace.declaration.trust, outcome.touched, now)
        return work.profiles_of(stored.touched)

    def _found_among_others(
        self, connection: sa.Connection, stored: Stored, epoch: Ready, wanted: set[Lock]
    ) -> Repair:
        """Find what the records touch, and hold it: others are at work on other people."""
        known = self._known_of(stored, epoch)
        work = Repair(connection, self._workspace, epoch, known)
        held = wanted | _stripes(_KEYS, work.keys_of(stored.touched, stored.unseen))
        _lock(connection, held)
        work.find(stored.touched, unseen=stored.unseen)
        while True:
            keys = _stripes(_KEYS, work.touched_keys)
            more = (keys | _stripes(_RECORDS, work.nodes)) - held
            _try(connection, more, held)
            held |= more
            if not (keys & more) and work.still_holds():
                return work
            # It was looked up before it was locked: look again, now that it is.
            work = Repair(connection, self._workspace, epoch, known)
            work.find(stored.touched, unseen=stored.unseen)

    def _known_of(self, stored: Stored, epoch: Ready) -> Known:
        """What the records said that were just sealed: they need not be opened again."""
        keyed = [(one.id, one.prepared.feature_key) for one in stored.incoming]
        packed = [one.prepared.features for one in stored.incoming]
        packed = brought_up(self._workspace.vault.layers, epoch.feature_key, keyed, packed)
        told = {
            one.id: Told(one.revision, not one.is_new, one.recognised.key, blob)
            for one, blob in zip(stored.incoming, packed, strict=True)
        }
        return replace(self._known, told=told)


def _busy() -> Refused:
    return Refused("people_are_busy", "send it again")


def _go_on_after(error: sa.exc.DBAPIError) -> None:
    """Return where the same transaction, begun anew, may succeed; else raise."""
    if error.connection_invalidated:
        raise Retry("database_lost", "send it again in a moment") from None
    if is_timed_out(error):
        raise _busy() from None
    if not is_collision(error):
        raise error


class _Busy(Exception):  # noqa: N818 - caught in this module
    """Somebody else holds what is needed: begin anew, and wait for all of it in order."""

    def __init__(self, locks: set[Lock]) -> None:
        super().__init__("busy")
        self.locks = locks


def _stripes(kind: int, values: Ints) -> set[Lock]:
    return {(kind, stripe) for stripe in np.unique(values % STRIPES).tolist()}


def _lock(connection: sa.Connection, locks: set[Lock]) -> None:
    """Wait for locks in their order, which all writers keep."""
    ask(connection, _LOCK, *_parameters(locks))


def _try(connection: sa.Connection, locks: set[Lock], held: set[Lock]) -> None:
    """Take locks out of order, or give up."""
    if locks and not ask(connection, _TRY, *_parameters(locks))[0][0]:
        raise _Busy(locks | held)


def _parameters(locks: set[Lock]) -> tuple[str, str]:
    ordered = sorted(locks)
    return array(kind for kind, _ in ordered), array(stripe for _, stripe in ordered)


_LOCK, _TRY = (
    Statement(
        name,
        ("integer[]", "integer[]"),
        f"SELECT {what} FROM unnest($1, $2) AS x(kind, stripe)",
    )
    for name, what in (
        ("lock_stripes", "pg_advisory_xact_lock(kind, stripe)"),
        ("try_stripes", "bool_and(pg_try_advisory_xact_lock(kind, stripe))"),
    )
)
