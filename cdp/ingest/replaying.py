"""Rejected rows prepared again, under today's declaration and normalisers.

Invariants, each named by a test in ``tests/integration/sync/test_replaying.py``:

1. A row that is good now is stored as a sync would store it, and is no rejected row any more.
2. A row never replaces one of its record that may be newer: one that is stored already gives way
   only to a greater order.
3. A row of a destroyed record, or of one that its source deleted since, brings nothing back.
4. What is still bad stays, under the rule of today. Killed at any moment, the same command goes
   on; a second one changes nothing.
5. A rehearsal changes nothing.

Only rows whose cells were kept can be mapped again: of a broken line there are none.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import sqlalchemy as sa

from cdp.errors import KithError
from cdp.ingest.contract import unless_paused
from cdp.ingest.destroyed import destroyed_among, hold_ledger
from cdp.ingest.feed_sync import FROZEN
from cdp.ingest.orders import Named, newest, not_late, remember
from cdp.ingest.parking import RULE as PARKED
from cdp.ingest.removed import require_not_removed
from cdp.ingest.reports import Progress, quiet
from cdp.ingest.storing import Place, Storing, committed
from cdp.ingest.sync import SAME_ID
from cdp.ingest.writing import SetAside, write_set_aside
from cdp.storage.locks import only_one
from cdp.storage.schema import record, reject, source_order
from cdp.vault.errors import NotKeyable
from cdp.vault.rejects import RejectPlace
from cdp.workspace import Workspace
from connectors.declaration import SourceDeclaration
from connectors.feed_rows import FeedRows
from connectors.kept_cells import cells_again
from connectors.possible_ids import kept_parts
from connectors.record import Raw, Record, Rejection, Sensitive
from connectors.sources.json_lines import LineRefused, cells_of, parse_object

REASON: Final = "prepare a rejected row again"
BATCH: Final = 200  # rows of one transaction
REPLAYED: Final = "replayed"  # stands where a sync names the content it read
LINES: Final = frozenset({"jsonl"})  # connectors whose rejected rows are lines of JSON
# Kept under these is what was made of a row, or a deletion: no row to be mapped.
NO_ROWS: Final = frozenset({SAME_ID, FROZEN, PARKED})


@dataclass(slots=True)
class Replayed:
    """What became of rejected rows and values that were tried again.

    Attributes:
        source: its name.
        tried: rows and values.
        stored: rows that are a record now.
        values: values that a record has now.
        unchanged: rows that say what is stored already.
        superseded: rows that a newer one of their record made void.
        shredded: rows of destroyed records.
        already_there: rows of records that are stored, and nobody can tell which is newer.
        not_replayable: broken lines, and rows that say deleted: only their source can tell.
        still_bad: rows and values by rule.
    """

    source: str
    tried: int = 0
    stored: int = 0
    values: int = 0
    unchanged: int = 0
    superseded: int = 0
    shredded: int = 0
    already_there: int = 0
    not_replayable: int = 0
    still_bad: Counter[str] = field(default_factory=Counter)

    @property
    def left(self) -> int:
        """How many stay where they are."""
        return self.already_there + self.not_replayable + sum(self.still_bad.values())

    def to_dict(self) -> dict[str, Any]:
        """A plain object for ``--json``."""
        return asdict(self) | {"still_bad": dict(sorted(self.still_bad.items())), "left": self.left}

    def add(self, more: "Replayed") -> None:
        """Take in the counts of a batch that was committed."""
        for name in COUNTS:
            setattr(self, name, getattr(self, name) + getattr(more, name))
        self.still_bad.update(more.still_bad)


COUNTS: Final = ("tried", "stored", "values", "unchanged", "superseded", "shredded",
                  "already_there", "not_replayable")  # fmt: skip


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
    step = "wait until the sync has ended"
    with only_one(workspace.engine, f"sync {name}", step):
        return _Replaying(workspace, declaration, rehearse=rehearse).run(progress)


class _Replaying:
    def __init__(
        self, workspace: Workspace, declaration: SourceDeclaration, *, rehearse: bool
    ) -> None:
        self._workspace, self._declaration = workspace, declaration
        self._rehearse = rehearse
        self._now = workspace.now()
        self._storing = Storing(workspace, declaration, self._now)
        self._rows = FeedRows(declaration)
        self._of = sa.and_(reject.c.source == declaration.name, reject.c.record_id.is_(None))

    def run(self, progress: Progress) -> Replayed:
        total = Replayed(self._declaration.name)
        with self._workspace.engine.connect() as connection:
            require_not_removed(connection, self._declaration.name)
            expected = connection.scalar(sa.select(sa.func.count()).where(self._of)) or 0
        last = 0
        progress(0, expected)
        while True:
            found, last = self._batch(last)
            if not found.tried:
                return total
            total.add(found)
            progress(total.tried, expected)

    def _batch(self, after: int) -> tuple[Replayed, int]:
        """Try the next rows; what they came to, and the last of them."""

        def work(connection: sa.Connection) -> tuple[Replayed, int]:
            hold_ledger(connection)
            kept = self._next(connection, after)
            found = self._stored(connection, kept)
            if self._rehearse:
                raise RehearsedError(found, kept[-1].id if kept else after)
            return found, kept[-1].id if kept else after

        try:
            return committed(self._workspace.engine, work)
        except RehearsedError as end:
            return end.found, end.last

    def _next(self, connection: sa.Connection, after: int) -> list[_Kept]:
        rows = connection.execute(
            sa.select(reject)
            .where(self._of, reject.c.id > after)
            .order_by(reject.c.id)
            .limit(BATCH)
        )
        return [self._opened(row) for row in rows]

    def _opened(self, row: sa.Row[Any]) -> _Kept:
        place = RejectPlace(row.source, row.fingerprint, row.position, row.field)
        try:
            text = self._workspace.vault.open_reject(place, bytes(row.sealed))
        except KithError:
            return _Kept(row.id, place, row.rule, "", None)  # nobody can read it
        opened = text.reveal(reason=REASON)
        again = None if row.rule in NO_ROWS else self._mapped(row.position, opened)
        return _Kept(row.id, place, row.rule, opened, again)

    def _mapped(self, position: int, text: str) -> Record | Rejection | None:
        """The row again; None where there are no cells, or where it says deleted."""
        parts = kept_parts(text)
        line = parts["row"] if parts else text
        try:
            if parts is not None and "cells" in parts:
                cells = cells_again(parts["cells"])
            elif self._declaration.connector in LINES:
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


class RehearsedError(Exception):
    """Ends the transaction of a rehearsal."""

    def __init__(self, found: Replayed, last: int) -> None:
        super().__init__()
        self.found, self.last = found, last


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
