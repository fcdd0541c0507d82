"""What blind indexes there are, of which epoch, what they tell; and the end of old epochs.

Invariants, each named by a test in ``tests/integration/vault/test_index_rotation.py``:

1. No row is deleted that is the only one by which its record is found: the check and the
   deletion are one statement.
2. The epoch in force is not retired.
3. A measured spread counts people: records of one profile are one.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, product, repeat
from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from cdp.ingest.indexing import MOST_ROWS, Cells, cells_of, parts_of
from cdp.ingest.reindex import LOCK, LOCK_STEP, definitions_of, require_own_ring
from cdp.ingest.stored_cells import open_stored
from cdp.storage.locks import only_one
from cdp.vault.blind import INDEXED_FIELDS, BlindIndexes
from cdp.vault.errors import VersionInUse
from cdp.vault.index_plan import Spread
from cdp.workspace import Workspace

Progress = Callable[[int, int], None]  # done, to do
BATCH: Final = 2000
ROWS_AT_ONCE: Final = 20_000


@dataclass(frozen=True, slots=True)
class IndexState:
    """One index under one epoch.

    Attributes:
        label: field, or label of a compound.
        epoch: of the key.
        rows, records: stored.
        only_here: records that have no row of the newest epoch.
        declared: whether it can be asked for.
        spread: of its values over people.
    """

    label: str
    epoch: int
    rows: int
    records: int
    only_here: int
    declared: bool
    spread: Spread


def states(workspace: Workspace) -> list[IndexState]:
    """Return every index that has rows, by label and epoch, the newest last."""
    newest = BlindIndexes(workspace.keyring).newest.epoch
    known = INDEXED_FIELDS | definitions_of(workspace).keys()
    with workspace.engine.connect() as connection:
        found = connection.execute(_STATES, {"newest": newest}).all()
        return [
            IndexState(
                row.field,
                row.epoch,
                row.rows,
                row.records,
                row.only_here,
                row.field in known,
                stored_spread(connection, row.field, row.epoch),
            )
            for row in found
        ]


def stored_spread(connection: sa.Connection, label: str, epoch: int) -> Spread:
    """Count how many people stand under each value of an index; nothing is opened."""
    sizes = connection.execute(_SIZES, {"label": label, "epoch": epoch})
    return Spread.of_counts(chain.from_iterable(repeat(size, times) for size, times in sizes))


def measured_spread(workspace: Workspace, parts: Sequence[str], progress: Progress) -> Spread:
    """Open every record's parts and count how many people have each combination.

    Combinations are kept in memory as the hashes of this process, which differ each time.

    Raises:
        KeyWithheld, KeyMissing: the ring lacks a key.
    """
    names = cells_of(parts)
    held: Counter[int] = Counter()
    seen: set[int] = set()
    with workspace.engine.connect() as connection:
        require_own_ring(connection, workspace)
        expected = connection.scalar(sa.text("SELECT count(*) FROM kith.record")) or 0
        after, done = -1, 0
        while rows := connection.execute(_PEOPLE, {"after": after, "most": BATCH}).all():
            whose = {row.id: row.holder for row in rows}
            opened, _ = open_stored(connection, workspace, list(whose), names)
            for number, cells in opened.items():
                for together in _combinations(parts, cells):
                    pair = hash((whose[number], together))
                    if pair not in seen:
                        seen.add(pair)
                        held[hash(together)] += 1
            after, done = max(whose), done + len(whose)
            progress(done, max(done, expected))
    return Spread.of_counts(held.values())


def retire(workspace: Workspace, epoch: int, progress: Progress, *, dry_run: bool = False) -> int:
    """Delete the rows of an old epoch; return how many there were.

    Rows of definitions that ``cdp.yaml`` no longer has go too: nobody can ask for them.

    Raises:
        VersionInUse: it is the epoch in force, or records are found by nothing else.
        Refused: another job on indexes runs.
    """
    newest = BlindIndexes(workspace.keyring).newest.epoch
    if epoch == newest:
        raise VersionInUse(
            "this epoch is in force",
            "put a newer one in force first: cdp index rotate",
            epoch=epoch,
        )
    known = [*INDEXED_FIELDS, *definitions_of(workspace)]
    given = {"epoch": epoch, "newest": newest, "known": known}
    with only_one(workspace.engine, LOCK, LOCK_STEP):
        with workspace.engine.connect() as connection:
            require_own_ring(connection, workspace)
            needed = {row.field: row.records for row in connection.execute(_NEEDED, given)}
            expected = connection.scalar(_OF_EPOCH, given) or 0
        if needed:
            raise VersionInUse(
                f"{sum(needed.values())} records have rows of this epoch alone",
                "run: cdp index rotate, in a process that has the sensitive key",
                epoch=epoch,
                fields=", ".join(sorted(needed)),
            )
        if dry_run:
            return expected
        return _delete(workspace, given, expected, progress)


def _delete(
    workspace: Workspace, given: dict[str, object], expected: int, progress: Progress
) -> int:
    after, deleted = -1, 0
    while True:
        with workspace.engine.begin() as connection:
            last = connection.scalar(_UP_TO, {"after": after, "most": ROWS_AT_ONCE})
            if last is None:
                break
            deleted += connection.execute(_DELETE, given | {"after": after, "last": last}).rowcount
        after = last
        progress(deleted, max(deleted, expected))
    # A deleted row stays on its page until a vacuum.
    with workspace.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("VACUUM kith_vault.blind_index"))
    return deleted


def _combinations(parts: Sequence[str], cells: Cells) -> list[tuple[str, ...]]:
    return list(product(*(parts_of(part, cells) for part in parts)))[:MOST_ROWS]


_STATES: Final = sa.text(
    """
    SELECT b.field, b.epoch, count(*) AS rows, count(DISTINCT b.record_id) AS records,
           count(DISTINCT b.record_id) FILTER (WHERE b.epoch <> :newest AND NOT EXISTS (
               SELECT FROM kith_vault.blind_index n
                WHERE n.record_id = b.record_id AND n.field = b.field AND n.epoch = :newest)
           ) AS only_here
      FROM kith_vault.blind_index b GROUP BY b.field, b.epoch ORDER BY b.field, b.epoch
    """
)
# People by size of their group; a record that is nobody's yet counts as one.
_SIZES: Final = sa.text(
    """
    SELECT size, count(*) FROM (
        SELECT count(DISTINCT coalesce(m.profile_id, CAST(b.record_id AS text))) AS size
          FROM kith_vault.blind_index b LEFT JOIN kith.membership m USING (record_id)
         WHERE b.field = :label AND b.epoch = :epoch GROUP BY b.value) AS grouped
     GROUP BY size
    """
)
_PEOPLE: Final = sa.text(
    """
    SELECT r.id, coalesce(m.profile_id, CAST(r.id AS text)) AS holder
      FROM kith.record r LEFT JOIN kith.membership m ON m.record_id = r.id
     WHERE r.id > :after ORDER BY r.id LIMIT :most
    """
)
_OF_EPOCH: Final = sa.text("SELECT count(*) FROM kith_vault.blind_index WHERE epoch = :epoch")
# A row may go when its definition is gone, or its record has a row of the epoch in force.
_SPARE: Final = """
    (b.field <> ALL(:known) OR EXISTS (
        SELECT FROM kith_vault.blind_index n
         WHERE n.record_id = b.record_id AND n.field = b.field AND n.epoch = :newest))
"""
_KNOWN: Final = sa.bindparam("known", type_=ARRAY(sa.Text))
_NEEDED: Final = sa.text(
    "SELECT b.field, count(DISTINCT b.record_id) AS records FROM kith_vault.blind_index b "
    f"WHERE b.epoch = :epoch AND NOT {_SPARE} GROUP BY b.field"
).bindparams(_KNOWN)
_UP_TO: Final = sa.text(
    "SELECT max(record_id) FROM (SELECT record_id FROM kith_vault.blind_index "
    "WHERE record_id > :after ORDER BY record_id LIMIT :most) AS part"
)
_DELETE: Final = sa.text(
    "DELETE FROM kith_vault.blind_index b WHERE b.record_id > :after AND b.record_id <= :last "
    f"AND b.epoch = :epoch AND {_SPARE}"
).bindparams(_KNOWN)
