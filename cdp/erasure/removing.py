"""Remove a source with all that it brought: records, rejected rows, states, runs, events.

Every record is destroyed as by a shred, a batch at a time, and stands in the ledger, so that a
restored backup does not bring it back.

Invariants, each named by a test in ``tests/integration/erasure/test_removing.py``:

1. Nothing of the source is left in any table, but the lines of the ledger, the audit log and the
   note that it was removed.
2. Those who stay are as if it had never been there; who was known by it alone is gone.
3. Whoever does it is named, may erase anybody, and gives a reason; the audit events are written
   first, in the same transactions.
4. Killed at any moment, the same command goes on with what is left. Meanwhile and afterwards
   nothing is taken in under its name.
5. A look changes nothing, and the log says that somebody looked.

An answer that is a `Denial` is committed already: hand it on.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from cdp.access.answers import Denial, DenialKind
from cdp.audit import event
from cdp.audit.errors import DetailRefused
from cdp.erasure import ledger, targets
from cdp.erasure.destroying import destroy
from cdp.erasure.removal_plan import Plan, plan_of
from cdp.erasure.targets import Held
from cdp.errors import Refused, Stop
from cdp.ingest.feed_state import end_backfill
from cdp.resolution.permission import NOBODY, Permission
from cdp.storage.locks import Hold, is_timed_out, only_one, wait_at_most
from cdp.storage.schema import event as event_table
from cdp.storage.schema import event_device, metadata, record, reject, source_removal
from cdp.vault.shreds import Entry, Kind, Line
from cdp.workspace import Workspace, ledger_head
from policies.decision import Subject
from policies.reasons import Reason
from policies.vocabulary import Action, Purpose

EVENT: Final = "source.remove"
LOOK: Final = "source.remove.rehearse"
BATCH: Final = 200  # records destroyed in one transaction
PATIENCE: Final = 10.0  # seconds to wait for others who write records, at the end
_STEP: Final = "wait until it has ended, then run the same command again"
_KEEP: Final = frozenset({source_removal.name, record.name})  # cleared otherwise, or kept
_BESIDE: Final = (reject.name, event_table.name)
Progress = Callable[[int, int | None], None]  # records destroyed, records there were


@dataclass(frozen=True, slots=True)
class Removed:
    """What went.

    Attributes:
        source: its name.
        records: destroyed by this command.
        ended: profiles that are gone.
        changed: profiles that stay, and say something else now.
        rows: deleted beside the records, by table.
        repaired: whether identity is whole; else it waits for a resolve.
    """

    source: str
    records: int
    ended: int
    changed: int
    rows: dict[str, int]
    repaired: bool

    def to_dict(self) -> dict[str, Any]:
        """A plain object for ``--json``."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Remover:
    """One person who removes a source."""

    workspace: Workspace
    subject: Subject
    source: str

    def look(self, reason: str) -> Plan | Denial:
        """Say what would go. Changes nothing but the log.

        Raises:
            Stop: there is no such source, neither declared nor stored.
        """
        with self.workspace.engine.connect() as connection:
            denial = self._denial(connection, LOOK, reason)
            if denial is not None:
                connection.commit()
                return denial
            plan = plan_of(connection, self.source)
            self._require_known(plan)
            self.permission(LOOK).log_allowed(connection, (NOBODY,), reason)
            connection.commit()
        return plan

    def erase(self, reason: str, progress: Progress) -> Removed | Denial:
        """Destroy everything that the source brought, or go on with it.

        Raises:
            Stop: there is no such source, neither declared nor stored.
            Refused: a sync of it runs, or others are at work for longer than a moment.
            ShredLedgerUnwritable: the file cannot be written; what is done stays done.
            ShredLedgerAltered, RestoredBeforeShred, ShredLedgerBehind: put it right first.
        """
        with only_one(self.workspace.engine, f"sync {self.source}", _STEP) as hold:
            with self.workspace.engine.connect() as connection:
                denial = self._denial(connection, EVENT, reason)
                if denial is not None:
                    connection.commit()
                    return denial
                plan = plan_of(connection, self.source)
                self._require_known(plan)
                rows = self._begin(connection, reason)
                connection.commit()
            return _Erasing(self, reason, hold, progress, plan.records).run(rows)

    # ── inside ──────────────────────────────────────────────────────────────

    def _begin(self, connection: sa.Connection, reason: str) -> dict[str, int]:
        """Bar the source, and delete its rejected rows: none is looked through afterwards."""
        self.permission(EVENT).log_allowed(connection, (NOBODY,), reason)
        barred = insert(source_removal).values(
            source=self.source,
            actor=self.subject.id,
            reason=reason,
            started_at=self.workspace.now(),
        )
        connection.execute(barred.on_conflict_do_nothing())
        # The end of an earlier removal says nothing of what came since.
        connection.execute(
            sa.update(source_removal)
            .where(source_removal.c.source == self.source)
            .values(ended_at=None)
        )
        gone = sa.delete(reject).where(reject.c.source == self.source, reject.c.record_id.is_(None))
        return {reject.name: connection.execute(gone).rowcount}

    def _require_known(self, plan: Plan) -> None:
        if plan.is_empty and self.source not in self.workspace.declaration.sources:
            raise Stop("no_such_source", "name a source of cdp.yaml, or one that brought records")

    def _denial(self, connection: sa.Connection, name: str, reason: str) -> Denial | None:
        """Why the subject may not: it takes the right to erase anybody, wherever they are."""
        permission = self.permission(name)
        try:
            event.screen(reason)
        except DetailRefused as error:
            unusable = Denial(DenialKind.UNUSABLE, error.rule, error.next_step)
            permission.log_refused(connection, unusable)
            return unusable
        denial = permission.refusal()
        if denial is None and not permission.reach().all:
            why = Reason.OUTSIDE_SCOPE
            denial = Denial(DenialKind.FORBIDDEN, str(why), why.sentence)
        if denial is not None:
            permission.log_refused(connection, denial)
        return denial

    def permission(self, name: str) -> Permission:
        """What is asked of the policy, under the name of an event."""
        return Permission(self.workspace, self.subject, Action.ERASE, name, purpose=Purpose.LEGAL)


class _Erasing:
    """One run: batch by batch, then what is left beside the records."""

    def __init__(
        self, remover: Remover, reason: str, hold: Hold, progress: Progress, expected: int
    ) -> None:
        self._remover, self._workspace = remover, remover.workspace
        self._source, self._reason = remover.source, reason
        self._hold, self._progress, self._expected = hold, progress, expected
        self._last: Line | None = None  # of the ledger, once all of it was checked
        self._checked = False
        self._records = self._ended = self._changed = 0
        self._beside: Counter[str] = Counter()  # rows that went with their records
        self._repaired = True

    def run(self, rows: dict[str, int]) -> Removed:
        self._progress(0, self._expected)
        while True:
            while self._batch():
                self._progress(self._records, self._expected)
            cleared = self._finish()
            if cleared is not None:
                break
        for name, count in (*cleared.items(), *self._beside.items()):
            rows[name] = rows.get(name, 0) + count
        return Removed(
            self._source, self._records, self._ended, self._changed, rows, self._repaired
        )

    def _batch(self) -> bool:
        """Destroy some records; False: there are none."""
        with self._workspace.engine.connect() as connection:
            ledger.alone(connection)
            self._check_ledger(connection)
            held = self._next(connection)
            if not held:
                connection.rollback()
                return False
            now = self._workspace.now()
            people = dict.fromkeys(one.profile_id or NOBODY for one in held)
            permission = self._remover.permission(EVENT)
            permission.log_allowed(connection, people, self._reason)
            ids = [one.id for one in held]
            connection.execute(sa.delete(event_device).where(event_device.c.record_id.in_(ids)))
            destroyed = destroy(connection, self._workspace, held, now)
            subject = self._remover.subject.id
            entries = [Entry(Kind.SHRED, one.key, now, subject, self._reason) for one in held]
            self._hold.require(connection)
            written = ledger.write(connection, self._workspace, entries, self._last)
            connection.commit()
        self._last = written[-1]
        self._records += len(held)
        self._ended += len(destroyed.ended)
        self._changed += len(destroyed.changed)
        self._repaired = self._repaired and destroyed.repaired
        # A look counts them among the rows of the source, wherever they hang.
        self._beside.update({name: destroyed.rows[name] for name in _BESIDE})
        return True

    def _check_ledger(self, connection: sa.Connection) -> None:
        """Check every line once; then only that nobody wrote behind the last one of ours."""
        head = ledger_head(connection)
        ours = self._last.mac if self._last else None
        if (
            self._checked
            and self._last
            and (head.sequence, head.mac) == (self._last.sequence, ours)
        ):
            self._workspace.check_ledger(connection)
            return
        lines = ledger.checked(connection, self._workspace)
        self._last = lines[-1] if lines else None
        self._checked = True

    def _next(self, connection: sa.Connection) -> list[Held]:
        keys = (
            sa.select(record.c.key)
            .where(record.c.source == self._source)
            .order_by(record.c.id)
            .limit(BATCH)
        )
        return targets.by_key(connection, [bytes(key) for key in connection.scalars(keys)])

    def _finish(self) -> dict[str, int] | None:
        """Delete what else bears the name; None: a record came in between, begin again."""
        with self._workspace.engine.connect() as connection, _nobody_writes(connection):
            left = sa.select(sa.exists().where(record.c.source == self._source))
            if connection.scalar(left):
                connection.rollback()
                return None
            rows = dict(_cleared(connection, self._source))
            connection.execute(
                sa.update(source_removal)
                .where(source_removal.c.source == self._source)
                .values(ended_at=self._workspace.now())
            )
            permission = self._remover.permission(EVENT)
            permission.log_allowed(connection, (NOBODY,), self._reason)
            self._hold.require(connection)
            connection.commit()
        return rows


@contextmanager
def _nobody_writes(connection: sa.Connection) -> Iterator[None]:
    """Wait until nobody is storing records, and keep others from it until the transaction ends."""
    wait_at_most(connection, PATIENCE)
    try:
        connection.execute(sa.text("LOCK TABLE kith.record IN SHARE ROW EXCLUSIVE MODE"))
    except sa.exc.OperationalError as error:
        if not is_timed_out(error):
            raise
        raise Refused("others_are_writing", _STEP) from None
    yield


def _cleared(connection: sa.Connection, source: str) -> Iterator[tuple[str, int]]:
    """Delete the rows of every table that bear the name of the source."""
    named = sa.text(
        "DELETE FROM kith.event_device d USING kith.event e"
        " WHERE e.source = :source AND e.subject = d.subject"
    )
    yield event_device.name, connection.execute(named, {"source": source}).rowcount
    end_backfill(connection, source)
    # Those that refer to others first.
    for table in reversed(metadata.sorted_tables):
        if "source" in table.c and table.name not in _KEEP:
            deleted = connection.execute(sa.delete(table).where(table.c.source == source))
            yield table.name, deleted.rowcount
