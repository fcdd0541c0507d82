"""One record in, one person out, in one transaction: the way of a request.

The record is stored, its blocking keys are looked up, what it touches is opened in memory,
compared, decided and stored, and the changed people are put into the outbox of every
message destination: all of it is committed together, or nothing.

Invariants, each named by a test in ``tests/integration/test_online.py``:
    1. Writers who touch the same people end in the state that one writer would reach: who
       is not alone locks the blocking keys and the records that it depends on before
       anything is decided, in one order for all.
    2. While others resolve or decide, a record is stored and left for the next run, or for
       its next arrival; the answer says so.
    3. A writer that cannot get its turn changes nothing.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import sqlalchemy as sa

from cdp.errors import Refused, Retry
from cdp.ingest.intake import Intake, Stored
from cdp.profiles.build import rebuild
from cdp.resolution.announcing import announce
from cdp.resolution.readiness import Ready, ready
from cdp.resolution.repair import Repair
from cdp.storage.locks import alone_or_shared, is_collision, shared_until_commit
from cdp.workspace import Workspace
from connectors.record import Record, Rejection
from identity.columns import Ints

ATTEMPTS = 5
STRIPES = 4096  # locks; two keys on one stripe only wait for each other without need
_KEYS, _RECORDS = 11_301, 11_302  # lock classes: blocking keys come before records
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
        resolved: False where the records wait for the next ``cdp identity resolve``.
    """

    profiles: tuple[str, ...]
    stored: int
    unchanged: int
    set_aside: int
    refused: tuple[Rejection, ...]
    resolved: bool


class Arrivals:
    """Resolves what one source sends, as it comes."""

    def __init__(self, workspace: Workspace, source: str) -> None:
        """Make it once for many records: it holds what does not change between them."""
        self._workspace = workspace
        self._intake = Intake(workspace, source)
        self._ready: Ready | None = None  # the epoch that was in force last

    def resolve(self, objects: Sequence[str]) -> Arrival:
        """Take in JSON objects, given as text, and resolve them together.

        Raises:
            Refused: others kept changing the same people; nothing was stored.
            Retry: the database went away; sent again, what was stored counts as unchanged.
        """
        records, refused = self._intake.read(objects)
        wanted: set[Lock] = set()
        for _ in range(ATTEMPTS):
            try:
                with self._workspace.engine.begin() as connection:
                    return self._attempt(connection, records, refused, wanted)
            except _Busy as busy:
                wanted |= busy.locks
            except sa.exc.DBAPIError as error:
                if error.connection_invalidated:
                    raise Retry("database_lost", "send it again in a moment") from None
                if not is_collision(error):
                    raise
        raise Refused("people_are_busy", "send it again")

    def _attempt(
        self,
        connection: sa.Connection,
        records: Sequence[Record],
        refused: tuple[Rejection, ...],
        wanted: set[Lock],
    ) -> Arrival:
        now = self._workspace.now()
        shared = shared_until_commit(connection, "repair")
        epoch = ready(connection, self._ready) if shared else None
        self._ready = epoch or self._ready
        stored = self._intake.store(connection, records, now, waiting=epoch is None)
        profiles: tuple[str, ...] = ()
        if epoch and stored.touched:
            profiles = self._repair(connection, stored, epoch, wanted, now)
        return Arrival(
            profiles,
            len(stored.ids),
            len(records) - len(stored.ids),
            stored.set_aside,
            refused,
            resolved=not stored.touched or epoch is not None,
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
            work = Repair(connection, self._workspace, epoch)
            work.find(stored.touched, unseen=stored.unseen)
        else:
            work = self._found_among_others(connection, stored, epoch, wanted)
        outcome = work.store(now).outcome
        rebuild(connection, self._workspace.declaration.trust, outcome.touched, now)
        announce(connection, self._workspace.declaration, outcome, now)
        return work.profiles_of(stored.touched)

    def _found_among_others(
        self, connection: sa.Connection, stored: Stored, epoch: Ready, wanted: set[Lock]
    ) -> Repair:
        """Find what the records touch, and hold it: others are at work on other people."""
        work = Repair(connection, self._workspace, epoch)
        held = wanted | _stripes(_KEYS, work.keys_of(stored.touched))
        _lock(connection, held)
        work.find(stored.touched)
        while True:
            keys = _stripes(_KEYS, work.touched_keys)
            more = (keys | _stripes(_RECORDS, work.nodes)) - held
            _try(connection, more, held)
            held |= more
            if not (keys & more) and work.still_holds():
                return work
            # It was looked up before it was locked: look again, now that it is.
            work = Repair(connection, self._workspace, epoch)
            work.find(stored.touched)


class _Busy(Exception):  # noqa: N818 - caught in this module
    """Somebody else holds what is needed: begin anew, and wait for all of it in order."""

    def __init__(self, locks: set[Lock]) -> None:
        super().__init__("busy")
        self.locks = locks


def _stripes(kind: int, values: Ints) -> set[Lock]:
    return {(kind, stripe) for stripe in np.unique(values % STRIPES).tolist()}


def _lock(connection: sa.Connection, locks: set[Lock]) -> None:
    """Wait for locks in their order, which all writers keep."""
    connection.execute(_LOCK, _parameters(locks))


def _try(connection: sa.Connection, locks: set[Lock], held: set[Lock]) -> None:
    """Take locks out of order, or give up."""
    if locks and not connection.scalar(_TRY, _parameters(locks)):
        raise _Busy(locks | held)


def _parameters(locks: set[Lock]) -> dict[str, list[int]]:
    ordered = sorted(locks)
    return {"kinds": [kind for kind, _ in ordered], "stripes": [stripe for _, stripe in ordered]}


_GIVEN = "unnest(CAST(:kinds AS integer[]), CAST(:stripes AS integer[])) AS x(kind, stripe)"
_LOCK = sa.text(f"SELECT pg_advisory_xact_lock(kind, stripe) FROM {_GIVEN}")
_TRY = sa.text(f"SELECT bool_and(pg_try_advisory_xact_lock(kind, stripe)) FROM {_GIVEN}")
