"""Rejected rows prepared again, under today's declaration and normalisers.

Invariants, each named by a test in ``tests/integration/sync/test_replaying.py``:

1. A row that is good now is stored as a sync would store it, and is no rejected row any more.
2. A row never replaces one of its record that may be newer: one that is stored already gives way
   only to a greater order.
3. A row of a destroyed record, or of one that its source deleted since, brings nothing back.
4. What is still bad stays, under the rule of today. Killed at any moment, the same command goes
   on; a second one changes nothing.
5. A rehearsal changes nothing.

Only rows whose cells were kept can be mapped again: of a broken line there are none. Those of a
row that could not be processed have to name the record that it was kept with.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import sqlalchemy as sa

from cdp.errors import KithError
from cdp.ingest.contract import unless_paused
from cdp.ingest.destroyed import destroyed_among
from cdp.ingest.feed_sync import FROZEN
from cdp.ingest.orders import Named, newest, not_late, remember
from cdp.ingest.parking import RULE as PARKED
from cdp.ingest.replayed import REASON, REPLAYED, Replayed, Trial, try_again
from cdp.ingest.reports import Progress, quiet
from cdp.ingest.storing import Place, Storing
from cdp.ingest.sync import SAME_ID
from cdp.ingest.writing import SetAside, write_set_aside
from cdp.storage.schema import record, reject, source_order
from cdp.vault.errors import NotKeyable
from cdp.vault.rejects import RejectPlace
from cdp.workspace import Workspace
from connectors.declaration import SourceDeclaration
from connectors.feed_rows import FeedRows
from connectors.kept_cells import cells_again
from connectors.possible_ids import kept_id, kept_parts
from connectors.record import Raw, Record, Rejection, Sensitive
from connectors.sources.json_lines import LineRefused, cells_of, parse_object

BATCH: Final = 200  # rows of one transaction
LINES: Final = frozenset({"jsonl"})  # connectors whose rejected rows are lines of JSON
# Kept under these is what was made of a row, or a deletion: no row to be mapped.
NO_ROWS: Final = frozenset({SAME_ID, FROZEN})


@dataclass(frozen=True, slots=True)
class _Kept(Raw):
    """A rejected row, opened and mapped again."""

    id: int
    place: RejectPlace
    rule: str
    text: str = field(repr=False)
    row: Record | Rejection | None = field(repr=False)  # None: it cannot be mapped again


def replay_rows(
    workspace: Workspace, name: str, progress: Progress = quiet, *, rehearse: bool = False
) -> Replayed:
    """Try every rejected row of a source again.

    Args:
        workspace: whose source.
        name: of the source.
        progress: told rows tried and rows there are.
        rehearse: only say what would become of them.

    Raises:
        Refused: a sync of this source runs, or it is being removed.
    """
    declaration = workspace.declaration.source(name)
    of = reject.c.source == name, reject.c.record_id.is_(None)
    waiting = sa.select(reject.c.id).where(*of).order_by(reject.c.id)
    trial = Trial(waiting, BATCH, _Replaying(workspace, declaration).tried)
    return try_again(workspace, name, trial, progress, rehearse=rehearse)


class _Replaying:
    def __init__(self, workspace: Workspace, declaration: SourceDeclaration) -> None:
        self._workspace, self._declaration = workspace, declaration
        self._now = workspace.now()
        self._storing = Storing(workspace, declaration, self._now)
        self._rows = FeedRows(declaration)

    def tried(self, connection: sa.Connection, ids: Sequence[int]) -> Replayed:
        """Try some rejected rows; what they came to."""
        chosen = sa.select(reject).where(reject.c.id.in_(ids)).order_by(reject.c.id)
        return self._stored(connection, [self._opened(row) for row in connection.execute(chosen)])

    def _opened(self, row: sa.Row[Any]) -> _Kept:
        place = RejectPlace(row.source, row.fingerprint, row.position, row.field)
        try:
            text = self._workspace.vault.open_reject(place, bytes(row.sealed))
        except KithError:
            return _Kept(row.id, place, row.rule, "", None)  # nobody can read it
        opened = text.reveal(reason=REASON)
        # Of one that could not be processed the cells may be kept; its text was made of the record.
        lines = row.rule != PARKED and self._declaration.connector in LINES
        again = None if row.rule in NO_ROWS else self._mapped(row.position, opened, lines=lines)
        if row.rule == PARKED and not _is_of(again, kept_id(opened)):
            again = None  # these are not its cells
        return _Kept(row.id, place, row.rule, opened, again)

    def _mapped(self, position: int, text: str, *, lines: bool) -> Record | Rejection | None:
        """The row again; None where there are no cells, or where it says deleted."""
        parts = kept_parts(text)
        line = parts["row"] if parts else text
        try:
            if parts is not None and "cells" in parts:
                cells = cells_again(parts["cells"])
            elif lines:
                cells = cells_of(parse_object(line), self._declaration.columns(), line)
            else:
                return None
        except (LineRefused, ValueError):
            return None
        order = parts.get("order") if parts else None
        row = self._rows.row(position, cells, lambda: line, order=order)
        if isinstance(row, Record):
            return unless_paused(row, line)
        return row if isinstance(row, Rejection) else None

    def _stored(self, connection: sa.Connection, kept: Sequence[_Kept]) -> Replayed:
        found = Replayed(self._declaration.name, tried=len(kept))
        self._keep(connection, [one for one in kept if isinstance(one.row, Rejection)], found)
        found.not_replayable += sum(one.row is None for one in kept)
        good, named = self._named(kept, found)
        going = self._may_go(connection, good, named, found)
        rows = [
            (one.row, one.recognised)
            for one in going
            if isinstance(one.row, Record) and one.recognised is not None
        ]
        place = Place(REPLAYED, lambda one: one.id)
        counts = self._storing.store(connection, rows, [], place)
        remember(connection, self._declaration.name, going)
        found.stored += counts["added"] + counts["changed"]
        found.unchanged += counts["unchanged"]
        found.shredded += counts["shredded"]
        return found

    def _named(
        self, kept: Sequence[_Kept], found: Replayed
    ) -> tuple[dict[bytes, list[int]], list[Named]]:
        """The rows that are records now, with the ids of the rejected rows by record key."""
        ids: dict[bytes, list[int]] = {}
        named: list[Named] = []
        for one in kept:
            if not isinstance(one.row, Record):
                continue
            try:
                recognised = self._storing.preparer.recognise(one.row)
            except NotKeyable:
                found.not_replayable += 1
                continue
            ids.setdefault(recognised.key, []).append(one.id)
            named.append(Named(recognised.key, one.row, recognised))
        return ids, named

    def _may_go(
        self,
        connection: sa.Connection,
        ids: dict[bytes, list[int]],
        named: Sequence[Named],
        found: Replayed,
    ) -> list[Named]:
        """Those that may be stored; the rejected rows of what is settled are deleted."""
        chosen = newest(named)
        found.superseded += len(named) - len(chosen)
        in_time = {one.key: one for one in not_late(connection, chosen)}
        found.superseded += len(chosen) - len(in_time)
        gone = destroyed_among(connection, list(in_time))
        stands = _stored_contents(connection, list(in_time))
        settled = [key for key in ids if key not in in_time]
        going: list[Named] = []
        for key, one in in_time.items():
            content = stands.get(key)
            same = one.recognised is not None and content == one.recognised.content
            if key in stands and one.row.order is None and not same and key not in gone:
                found.already_there += 1
                continue
            going.append(one)
            settled.append(key)
        done = [number for key in settled for number in ids[key]]
        if done:
            connection.execute(sa.delete(reject).where(reject.c.id.in_(done)))
        return going

    def _keep(self, connection: sa.Connection, kept: Sequence[_Kept], found: Replayed) -> None:
        """Leave what is still bad, under the rule that it breaks today."""
        renamed = []
        for one in kept:
            assert isinstance(one.row, Rejection)  # noqa: S101 - for the type checker
            found.still_bad[one.row.rule] += 1
            if one.row.rule != one.rule:
                renamed.append(
                    SetAside(
                        one.place.position,
                        "",
                        one.row.rule,
                        one.row.next_step,
                        Sensitive(one.text),
                        None,
                        one.place.fingerprint,
                    )
                )
        name = self._declaration.name
        write_set_aside(connection, self._workspace.vault, name, REPLAYED, renamed, self._now)


def _is_of(row: Record | Rejection | None, known: str | None) -> bool:
    """Whether a row names the record that it was kept with; a rejection may name none."""
    if row is None or row.record_id is None or known is None:
        return True
    return row.record_id.reveal(reason=REASON) == known


def _stored_contents(connection: sa.Connection, keys: Sequence[bytes]) -> dict[bytes, bytes | None]:
    """What is stored of these keys: the content, or None of one that its source deleted."""
    wanted = sa.any_(sa.cast(list(keys), sa.ARRAY(sa.LargeBinary)))
    known: dict[bytes, bytes | None] = {
        bytes(key): None
        for key in connection.scalars(
            sa.select(source_order.c.key).where(source_order.c.key == wanted)
        )
    }
    chosen = sa.select(record.c.key, record.c.content).where(record.c.key == wanted)
    known |= {bytes(key): bytes(content) for key, content in connection.execute(chosen)}
    return known
