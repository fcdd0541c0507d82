"""Freeze, destroy and let in again: what a person does to records. One transaction each.

Invariants, each named by a test in ``tests/integration/erasure``:

1. Whoever does it is named, may erase, and gives a reason; the audit event is written
   first, in the same transaction.
2. What is destroyed stands in the ledger before it is gone from the database.
3. Killed at any moment, a record is whole, or it is destroyed after ``replay``.
4. A rehearsal changes nothing, and the log says that somebody looked.
5. A frozen record gives nothing to anybody, and its person stays one.

An answer that is a `Denial` is committed already: hand it on.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import sqlalchemy as sa

from cdp.access.answers import Denial
from cdp.erasure import ledger, targets
from cdp.erasure.destroying import Destroyed, destroy
from cdp.erasure.targets import Held
from cdp.errors import Refused
from cdp.profiles.build import rebuild
from cdp.resolution.announcing import announce
from cdp.resolution.permission import NOBODY, Permission
from cdp.resolution.storing import Outcome
from cdp.storage.schema import record, tag
from cdp.vault.shreds import Entry, Kind, Line
from cdp.workspace import Workspace
from policies.decision import Subject
from policies.vocabulary import Action, Purpose

ACTIVE: Final = "active"
FROZEN: Final = "frozen"
LOOK: Final = "vault.rehearse"


@dataclass(frozen=True, slots=True)
class Changed:
    """Records that were frozen or thawed, and whose profiles say something else now."""

    records: int  # whose state changed
    profiles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Shredded:
    """What was destroyed; ``lines`` of the ledger, none of a rehearsal."""

    destroyed: Destroyed
    lines: tuple[int, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Eraser:
    """One person at work on records."""

    workspace: Workspace
    subject: Subject

    def freeze(self, name: str, reason: str) -> Changed | Denial:
        """Store what ``name`` means, and read it no more.

        Raises:
            Stop, Refused: nothing is stored under that name.
        """
        return self._turn(name, reason, FROZEN)

    def unfreeze(self, name: str, reason: str) -> Changed | Denial:
        """Read frozen records again.

        Raises:
            Stop, Refused: nothing is stored under that name.
        """
        return self._turn(name, reason, ACTIVE)

    def shred(self, name: str, reason: str, *, rehearse: bool = False) -> Shredded | Denial:
        """Destroy what ``name`` means, for ever.

        Args:
            name: ``SOURCE:RECORD_ID``, or a profile id for all its records.
            reason: typed; it stays in the ledger and in the audit log.
            rehearse: only say what would go.

        Raises:
            Stop, Refused: nothing is stored under that name, or others are at work.
            ShredLedgerUnwritable: the file cannot be written; nothing was destroyed.
            ShredLedgerAltered, RestoredBeforeShred, ShredLedgerBehind: put it right first.
        """
        with self.workspace.engine.connect() as connection:
            ledger.alone(connection)
            lines = ledger.checked(connection, self.workspace)
            records = self._allowed(connection, "vault.shred", name, reason)
            if isinstance(records, Denial):
                return records
            now = self.workspace.now()
            destroyed = destroy(connection, self.workspace, records, now)
            if rehearse:
                connection.rollback()
                self._permission(LOOK).log_allowed(connection, _people(records), reason)
                connection.commit()
                return Shredded(destroyed)
            entries = [self._entry(Kind.SHRED, one.key, reason, now) for one in records]
            written = ledger.write(connection, self.workspace, entries, _last(lines))
            connection.commit()
        return Shredded(destroyed, tuple(one.sequence for one in written))

    def readmit(self, name: str, reason: str) -> int | Denial:
        """Let a source deliver the destroyed record ``SOURCE:RECORD_ID`` again.

        Returns:
            The line of the ledger that says so.

        Raises:
            Refused: it does not stand as destroyed.
        """
        key = targets.key_of(self.workspace, name)
        with self.workspace.engine.connect() as connection:
            ledger.alone(connection)
            lines = ledger.checked(connection, self.workspace)
            permission = self._permission("vault.readmit")
            people = permission.people(connection, (), reason)
            if isinstance(people, Denial):
                connection.commit()
                return people
            if not targets.stands(connection, key):
                raise Refused("not_shredded", "nothing is left to do")
            permission.log_allowed(connection, (NOBODY,), reason)
            entry = self._entry(Kind.READMIT, key, reason, self.workspace.now())
            written = ledger.write(connection, self.workspace, [entry], _last(lines))
            connection.commit()
        return written[0].sequence

    def scrub(self, reason: str) -> Denial | None:
        """Note in the log that traces are about to be overwritten; None: it may be done."""
        permission = self._permission("vault.scrub")
        with self.workspace.engine.begin() as connection:
            people = permission.people(connection, (), reason)
            if isinstance(people, Denial):
                return people
            permission.log_allowed(connection, (NOBODY,), reason)
        return None

    # ── inside ──────────────────────────────────────────────────────────────

    def _turn(self, name: str, reason: str, state: str) -> Changed | Denial:
        event = "vault.freeze" if state == FROZEN else "vault.unfreeze"
        with self.workspace.engine.connect() as connection:
            ledger.alone(connection)
            self.workspace.check_ledger(connection)
            records = self._allowed(connection, event, name, reason)
            if isinstance(records, Denial):
                return records
            turned = [one for one in records if one.state != state]
            changed = self._turned(connection, turned, state, self.workspace.now())
            connection.commit()
        return changed

    def _turned(
        self, connection: sa.Connection, records: Sequence[Held], state: str, now: dt.datetime
    ) -> Changed:
        ids = [one.id for one in records]
        people = tuple(sorted({one.profile_id for one in records if one.profile_id}))
        connection.execute(sa.update(record).where(record.c.id.in_(ids)).values(state=state))
        rebuild(connection, self.workspace.declaration.trust, people, now)
        # A tag is worked out from values that are read no more, or again.
        connection.execute(sa.delete(tag).where(tag.c.profile_id.in_(people)))
        announce(connection, self.workspace.declaration, Outcome(0, (), (), people), now)
        return Changed(len(ids), people)

    def _allowed(
        self, connection: sa.Connection, event: str, name: str, reason: str
    ) -> list[Held] | Denial:
        """The records of ``name``, once policy says yes and the log says who and why."""
        permission = self._permission(event)
        records = targets.find(connection, self.workspace, name)
        people = permission.people(connection, [one for one in _people(records) if one], reason)
        if isinstance(people, Denial):
            connection.commit()
            return people
        if not records:
            raise targets.missing(connection, self.workspace, name)
        permission.log_allowed(connection, _people(records), reason)
        return records

    def _permission(self, event: str) -> Permission:
        return Permission(self.workspace, self.subject, Action.ERASE, event, purpose=Purpose.LEGAL)

    def _entry(self, kind: Kind, key: bytes, reason: str, now: dt.datetime) -> Entry:
        return Entry(kind, key, now, self.subject.id, reason)


def _people(records: Sequence[Held]) -> list[str]:
    """The profiles of records, each once; ``NOBODY`` where all wait to be resolved."""
    return list(dict.fromkeys(one.profile_id or NOBODY for one in records))


def _last(lines: Sequence[Line]) -> Line | None:
    return lines[-1] if lines else None
