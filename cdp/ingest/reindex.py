"""Blind indexes made anew: of a newer epoch, or of a definition that is new.

Invariants, each named by a test in ``tests/integration/vault/test_index_rotation.py``:

1. A batch is committed whole, and the rows themselves are all there is of the job's state:
   a killed job goes on where the last commit ended.
2. Reads and writes go on: a record is found at every moment.
3. Rows are made from the cells of the revision that is stored when they are written.
4. Without the sensitive key the rest is done, and what is left is counted.
5. A record that does not open is named and passed over; it keeps the rows it has.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA

from cdp.errors import Stop
from cdp.ingest.indexing import cells_behind, rows_of
from cdp.ingest.stored_cells import open_stored
from cdp.storage.locks import is_collision, only_one
from cdp.storage.schema import workspace as workspace_table
from cdp.vault.blind import INDEXED_FIELDS, BlindIndexer, BlindIndexes
from cdp.workspace import Workspace
from connectors.index_parts import IndexDefinition
from connectors.vocabulary import SENSITIVE_FIELDS

Progress = Callable[[int, int], None]  # records done, records to do

LOCK: Final = "index"
LOCK_STEP: Final = "wait until it has ended, or end it; it can go on later"
BATCH: Final = 1000  # records
ATTEMPTS: Final = 5  # at one batch, when others change the same records
MOST_NAMED: Final = 20  # records that do not open
MOST_PASSES: Final = 5  # over records that others wrote with an older key meanwhile
_DISK_FULL: Final = "53100"  # PostgreSQL manual, appendix A
_SENSITIVE_TIER: Final = "sensitive"


@dataclass(frozen=True, slots=True)
class ReindexReport:
    """What a job did.

    Attributes:
        epoch: that the rows now have.
        records: whose rows were made.
        rows: made.
        left: records that wait, by field or label: they need the sensitive key.
        broken: records that do not open, with the rule; the first twenty.
        broken_count: how many there are.
        stale: rows of definitions that ``cdp.yaml`` no longer has; nobody can ask for them.
    """

    epoch: int
    records: int
    rows: int
    left: Mapping[str, int]
    broken: Mapping[int, str] = field(default_factory=dict)
    broken_count: int = 0
    stale: int = 0

    @property
    def complete(self) -> bool:
        """Whether no record waits any more."""
        return not self.left and not self.broken_count


def reindex(workspace: Workspace, progress: Progress, batch: int = BATCH) -> ReindexReport:
    """Give every record the rows of the newest epoch that it has of older ones.

    Raises:
        Refused: another such job runs.
        Stop: the disk is full; what was committed stays.
        KeyMissing, OtherWorkspace: the ring lacks a key, or is another workspace's.
    """
    return _run(workspace, _PENDING, progress, batch)


def build(workspace: Workspace, progress: Progress, batch: int = BATCH) -> ReindexReport:
    """Give every record the rows of declared compounds that it lacks. Errors as `reindex`."""
    return _run(workspace, _LACKING, progress, batch)


def definitions_of(workspace: Workspace) -> dict[str, IndexDefinition]:
    """The declared compounds by label."""
    return {one.label: one for one in workspace.declaration.indexes.values()}


def needs_sensitive(label: str, definitions: Mapping[str, IndexDefinition]) -> bool:
    """Say whether the rows of a field or label are made from the sensitive tier."""
    return definitions[label].sensitive if label in definitions else label in SENSITIVE_FIELDS


def require_own_ring(connection: sa.Connection, workspace: Workspace) -> None:
    """Refuse the ring of another workspace (`OtherWorkspace`)."""
    stored = connection.execute(sa.select(workspace_table)).one()
    workspace.keyring.confirm(stored.id, stored.key_check)


# ── inside ──────────────────────────────────────────────────────────────────

_Batch = dict[int, list[str]]  # record: fields and labels to make

# What has rows of an older epoch, and none of the newest.
_PENDING: Final = """
    SELECT b.record_id, array_agg(DISTINCT b.field) AS labels
      FROM kith_vault.blind_index b
     WHERE b.epoch <> :epoch AND b.field = ANY(:labels) AND b.record_id > :after
       AND NOT EXISTS (
           SELECT FROM kith_vault.blind_index n
            WHERE n.record_id = b.record_id AND n.field = b.field AND n.epoch = :epoch)
     GROUP BY b.record_id ORDER BY b.record_id
"""
# What has no row of a declared compound. Those that lack a part are looked at each time.
_LACKING: Final = """
    SELECT r.id AS record_id, array_agg(l.label) AS labels
      FROM kith.record r CROSS JOIN unnest(CAST(:labels AS text[])) AS l(label)
     WHERE r.id > :after AND position(chr(58) IN l.label) > 0
       AND NOT EXISTS (
           SELECT FROM kith_vault.blind_index n
            WHERE n.record_id = r.id AND n.field = l.label)
     GROUP BY r.id ORDER BY r.id
"""
_HOLD: Final = sa.text(
    "SELECT id FROM kith.record WHERE id = ANY(:ids) ORDER BY id FOR SHARE"
).bindparams(sa.bindparam("ids", type_=ARRAY(sa.BigInteger)))
_INSERT: Final = sa.text(
    """
    INSERT INTO kith_vault.blind_index (record_id, field, value, epoch)
    SELECT x.record_id, x.field, x.value, :epoch
      FROM unnest(:ids, :fields, :found) AS x(record_id, field, value)
    ON CONFLICT DO NOTHING
    """
).bindparams(
    sa.bindparam("ids", type_=ARRAY(sa.BigInteger)),
    sa.bindparam("fields", type_=ARRAY(sa.Text)),
    sa.bindparam("found", type_=ARRAY(BYTEA)),
)
_STALE: Final = sa.text(
    "SELECT count(*) FROM kith_vault.blind_index WHERE field <> ALL(:known)"
).bindparams(sa.bindparam("known", type_=ARRAY(sa.Text)))


def _run(workspace: Workspace, asking: str, progress: Progress, batch: int) -> ReindexReport:
    with workspace.engine.connect() as connection:
        require_own_ring(connection, workspace)
    with only_one(workspace.engine, LOCK, LOCK_STEP):
        return _Job(workspace, asking, batch).run(progress)


class _Job:
    """One run: batch after batch, each in a transaction of its own."""

    def __init__(self, workspace: Workspace, asking: str, batch: int) -> None:
        self._workspace = workspace
        self._asking = asking
        self._batch = batch
        self._definitions = definitions_of(workspace)
        self._indexer: BlindIndexer = BlindIndexes(workspace.keyring).newest
        every = [*sorted(INDEXED_FIELDS), *sorted(self._definitions)]
        holds = workspace.vault.holds(_SENSITIVE_TIER)
        self._withheld = [
            label for label in every if not holds and needs_sensitive(label, self._definitions)
        ]
        self._labels = [label for label in every if label not in self._withheld]
        self._broken: dict[int, str] = {}
        self._records = self._rows = 0

    def run(self, progress: Progress) -> ReindexReport:
        for _ in range(MOST_PASSES):
            before = self._records
            self._pass(progress)
            # Somebody may have written with the older key until they saw the newer one.
            if self._records == before:
                break
        with self._workspace.engine.connect() as connection:
            left = {label: self._count(connection, [label]) for label in self._withheld}
            known = [*INDEXED_FIELDS, *self._definitions]
            stale = connection.scalar(_STALE, {"known": known}) or 0
        named = dict(sorted(self._broken.items())[:MOST_NAMED])
        return ReindexReport(
            self._indexer.epoch,
            self._records,
            self._rows,
            {label: count for label, count in left.items() if count},
            named,
            len(self._broken),
            stale,
        )

    def _pass(self, progress: Progress) -> None:
        with self._workspace.engine.connect() as connection:
            expected = self._count(connection, self._labels)
        done = 0
        progress(done, expected)
        for asked in self._batches():
            self._commit(asked)
            done += len(asked)
            progress(done, max(done, expected))

    def _batches(self) -> Iterator[_Batch]:
        after = -1
        statement = self._statement(f"{self._asking} LIMIT :most")
        while True:
            with self._workspace.engine.connect() as connection:
                given = self._asked(self._labels, after) | {"most": self._batch}
                found: _Batch = {
                    row.record_id: row.labels for row in connection.execute(statement, given)
                }
            if not found:
                return
            yield found
            after = max(found)

    def _count(self, connection: sa.Connection, labels: Sequence[str]) -> int:
        statement = self._statement(f"SELECT count(*) FROM ({self._asking}) AS pending")
        return int(connection.scalar(statement, self._asked(labels, -1)) or 0)

    def _statement(self, text: str) -> sa.TextClause:
        return sa.text(text).bindparams(sa.bindparam("labels", type_=ARRAY(sa.Text)))

    def _asked(self, labels: Sequence[str], after: int) -> dict[str, Any]:
        return {"epoch": self._indexer.epoch, "labels": list(labels), "after": after}

    def _commit(self, asked: _Batch) -> None:
        for attempt in range(ATTEMPTS):
            try:
                with self._workspace.engine.begin() as connection:
                    made = self._make(connection, asked)
            except sa.exc.DBAPIError as error:
                if getattr(error.orig, "pgcode", None) == _DISK_FULL:
                    raise _full(self._records) from None
                if not is_collision(error) or attempt == ATTEMPTS - 1:
                    raise
                continue
            self._records += len({row[0] for row in made})
            self._rows += len(made)
            return

    def _make(self, connection: sa.Connection, asked: _Batch) -> list[tuple[int, str, bytes]]:
        """Write the rows of one batch; nobody changes its records meanwhile."""
        held = list(connection.scalars(_HOLD, {"ids": list(asked)}))
        labels = {label for number in held for label in asked[number]}
        names = cells_behind(labels, self._definitions)
        opened, broken = open_stored(connection, self._workspace, held, names)
        rows = [
            (number, label, value)
            for number, cells in opened.items()
            for label, value in rows_of(self._indexer, self._wanted(asked[number]), cells)
            if label in asked[number]
        ]
        if rows:
            numbers, fields, found = zip(*rows, strict=True)
            given = {"ids": list(numbers), "fields": list(fields), "found": list(found)}
            connection.execute(_INSERT, given | {"epoch": self._indexer.epoch})
        self._broken |= broken
        return rows

    def _wanted(self, labels: Sequence[str]) -> list[IndexDefinition]:
        return [self._definitions[label] for label in labels if label in self._definitions]


def _full(records: int) -> Stop:
    return Stop(
        "the database's disk is full",
        "make room, then run the same command again: it goes on where it stopped",
        records_done=records,
    )
