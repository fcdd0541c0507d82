"""Take in single records as they come, in the caller's transaction.

Invariants:
    1. A record is read, sealed and stored exactly as a sync would do it.
    2. What was set aside of a record is kept, sealed, as by a sync.
    3. A row that is refused whole is named to its sender, who still has it.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from cdp.ingest.contract import unless_paused
from cdp.ingest.features import Deriver
from cdp.ingest.prepare import Preparer, Recognised
from cdp.ingest.removed import require_not_removed
from cdp.ingest.storing import reading_of
from cdp.ingest.writing import (
    Incoming,
    SetAside,
    by_field,
    incoming_of,
    write_records,
    write_set_aside,
)
from cdp.workspace import Workspace
from connectors.record import Record, Rejection
from connectors.sources.json_lines import ObjectMapper

FINGERPRINT = "sent"  # stands where a sync names the content of a file
MOST_SENT = 100  # records in one transaction: who waits for it waits for a second at most


@dataclass(frozen=True, slots=True)
class Stored:
    """What was stored: record ids, ascending.

    Attributes:
        ids: new and changed records.
        unseen: those of them that are new.
        waiting: unchanged records that are still to be resolved.
        set_aside: how many single values were not taken in.
        incoming: the new and changed records themselves.
        shredded: how many records stand as destroyed and were not taken in.
    """

    ids: tuple[int, ...]
    unseen: tuple[int, ...]
    waiting: tuple[int, ...]
    set_aside: int
    incoming: tuple[Incoming, ...] = field(default=(), repr=False)
    shredded: int = 0

    @property
    def touched(self) -> tuple[int, ...]:
        """What is to be resolved: new, changed and waiting records, ascending."""
        return tuple(sorted({*self.ids, *self.waiting}))


class Intake:
    """Takes in what one source sends."""

    def __init__(self, workspace: Workspace, source: str, deriver: Deriver | None = None) -> None:
        """Make it for one source; ``deriver`` is one that other sources use too."""
        self._workspace = workspace
        self._source = workspace.declaration.source(source)
        self._objects = ObjectMapper(self._source)
        today = workspace.now().date()
        reading = reading_of(workspace, today)
        self._preparer = Preparer(
            workspace.keyring,
            workspace.vault,
            self._source,
            reading,
            forms=workspace.forms,
        )
        if deriver is not None:
            self._preparer.share(deriver)

    def read(self, objects: Sequence[str]) -> tuple[list[Record], tuple[Rejection, ...]]:
        """Read JSON objects, given as text; of one record sent twice the last one counts.

        Returns:
            The records, and the rows that are none; ``position`` counts from 1.
        """
        return self.read_places(list(enumerate(objects, start=1)))

    def read_places(
        self, objects: Sequence[tuple[int, str]]
    ) -> tuple[list[Record], tuple[Rejection, ...]]:
        """``read`` some of the objects that were sent, each with its position."""
        records: dict[bytes, Record] = {}
        refused: list[Rejection] = []
        for place, text in objects:
            row = self._objects.map(place, text)
            if not isinstance(row, Rejection):
                row = unless_paused(row, text)
            if isinstance(row, Rejection):
                refused.append(row)
            else:
                key = self._preparer.recognise(row).key
                records.pop(key, None)
                records[key] = row
        return list(records.values()), tuple(refused)

    def store(
        self,
        connection: sa.Connection,
        records: Sequence[Record],
        now: dt.datetime,
        *,
        waiting: bool,
    ) -> Stored:
        """Store what is new or changed.

        Args:
            connection: in the transaction of whoever resolves them.
            records: as ``read`` gives them.
            now: when.
            waiting: mark new records as to be resolved; without it the caller does so.
        """
        require_not_removed(connection, self._source.name)
        recognised: list[tuple[Record, Recognised]] = [
            (record, self._preparer.recognise(record)) for record in records
        ]
        incoming, earlier, shredded = incoming_of(connection, self._preparer, recognised)
        if not incoming:
            return Stored((), (), tuple(sorted(earlier)), 0, shredded=shredded)
        write_records(connection, self._source, incoming, now, waiting=waiting)
        aside = [
            # The record's own number is a position that no other record has.
            SetAside(one.id, problem.field, problem.rule, problem.next_step, problem.raw, one.id)
            for one in incoming
            for problem in by_field(one.prepared.problems)
        ]
        write_set_aside(
            connection, self._workspace.vault, self._source.name, FINGERPRINT, aside, now
        )
        ids = sorted(one.id for one in incoming)
        unseen = sorted(one.id for one in incoming if one.is_new)
        waits = tuple(sorted(earlier))
        return Stored(tuple(ids), tuple(unseen), waits, len(aside), tuple(incoming), shredded)
