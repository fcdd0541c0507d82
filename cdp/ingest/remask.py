"""Masked forms brought up to date: of records from before, and after masks have changed.

Invariants, each named by a test in ``tests/integration/vault/test_remask.py``:

1. A batch is committed whole, and the rows themselves are all there is of the job's state: a
   killed job goes on where the last commit ended, and a second one changes nothing.
2. Forms are made from the cells of the revision that is stored when they are written.
3. Without the key of a tier nothing is begun: a record's forms are all there or not there.
4. A record that does not open is named and passed over.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from cdp.errors import Refused
from cdp.ingest.indexing import Cells
from cdp.ingest.stored_cells import open_stored
from cdp.storage import schema
from cdp.storage.bulk import copy_in
from cdp.storage.locks import is_collision, only_one
from cdp.workspace import Workspace

Progress = Callable[[int, int], None]  # records done, records to do

BATCH: Final = 500  # records
MOST_NAMED: Final = 20  # records that do not open
ATTEMPTS: Final = 5  # at one batch
_Taken = tuple[int, int, Mapping[int, str]]  # last record, how many were done, those broken
_NEEDED: Final = ("contact", "sensitive", "masked")

_WAITING: Final = """
    FROM kith.record r
   WHERE EXISTS (
       SELECT FROM kith_keys.data_key k WHERE k.record_id = r.id AND k.tier = 'contact')
     AND NOT EXISTS (
       SELECT FROM kith_vault.masked m
        WHERE m.record_id = r.id AND m.revision = r.revision AND m.masking = :masking)
"""
_COUNT: Final = sa.text(f"SELECT count(*) {_WAITING}")
# Held until the commit: who delivers the record again waits, and writes its own forms after.
_NEXT: Final = sa.text(
    f"SELECT r.id, r.revision {_WAITING} AND r.id > :after ORDER BY r.id LIMIT :most FOR SHARE OF r"
)
_FORGET: Final = tuple(
    sa.text(text).bindparams(sa.bindparam("ids", type_=ARRAY(sa.BigInteger)))
    for text in (
        "DELETE FROM kith_vault.masked WHERE record_id = ANY(:ids)",
        "DELETE FROM kith_keys.data_key WHERE tier = 'masked' AND record_id = ANY(:ids)",
    )
)


@dataclass(frozen=True, slots=True)
class RemaskReport:
    """What a job did.

    Attributes:
        masking: version of the masks that forms now have.
        records: whose forms were made.
        broken: records that do not open, with the rule; the first twenty.
        broken_count: how many there are.
    """

    masking: str
    records: int
    broken: Mapping[int, str] = field(default_factory=dict)
    broken_count: int = 0


def waiting(connection: sa.Connection, workspace: Workspace) -> int:
    """Count the records without forms of the masks in force."""
    return connection.scalar(_COUNT, {"masking": workspace.forms.version}) or 0


def remask(workspace: Workspace, progress: Progress, batch: int = BATCH) -> RemaskReport:
    """Give every record the masked forms that it lacks.

    Raises:
        Refused: another such job runs, or this process lacks the key of a tier.
        KeyMissing: the ring lacks a key version.
    """
    lacking = [tier for tier in _NEEDED if not workspace.vault.holds(tier)]
    if lacking:
        step = "run it with the whole key ring; if that is of an earlier release: cdp key upgrade"
        raise Refused("forms are made with the keys of all tiers", step, lacking=", ".join(lacking))
    workspace = workspace.pinned()  # forms of one version, whatever comes into force meanwhile
    with only_one(workspace.engine, "remask", "wait until it has ended; it can go on later"):
        with workspace.engine.begin() as connection:
            total = waiting(connection, workspace)
        done, after = 0, 0
        broken: dict[int, str] = {}
        while (taken := _again(workspace, after, batch)) is not None:
            after, count, faults = taken
            done += count
            broken |= faults
            progress(done + len(broken), max(total, done + len(broken)))
    named = dict(list(broken.items())[:MOST_NAMED])
    return RemaskReport(workspace.forms.version, done, named, len(broken))


def _again(workspace: Workspace, after: int, size: int) -> _Taken | None:
    """Do a batch, anew where others changed the same records at the same time."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _batch(workspace, after, size)
        except sa.exc.DBAPIError as error:
            if attempt == ATTEMPTS or not is_collision(error):
                raise
    return None


def _batch(workspace: Workspace, after: int, size: int) -> _Taken | None:
    """Do one batch; return its last record, how many it did, and those that do not open."""
    forms = workspace.forms
    with workspace.engine.begin() as connection:
        asked = {"masking": forms.version, "after": after, "most": size}
        revisions = {row.id: row.revision for row in connection.execute(_NEXT, asked)}
        if not revisions:
            return None
        ids = list(revisions)
        cells, broken = open_stored(connection, workspace, ids, forms.fields)
        able = [number for number in ids if number not in broken]
        for statement in _FORGET:
            connection.execute(statement, {"ids": able})
        _write(connection, workspace, {n: revisions[n] for n in able}, cells)
    return ids[-1], len(able), broken


def _write(
    connection: sa.Connection,
    workspace: Workspace,
    revisions: Mapping[int, int],
    cells: Mapping[int, Cells],
) -> None:
    forms, rows, keys = workspace.forms, [], []
    for number, revision in revisions.items():
        first = ((name, values[0][0]) for name, values in cells.get(number, {}).items())
        made = {name: text.encode() for name, text in forms.of(first).items()}
        sealed = workspace.vault.seal_forms(number, revision, made)
        rows.append((number, revision, forms.version, sealed.fields, sealed.cells))
        if sealed.key is not None:
            keys.append((number, "masked", sealed.key.version, sealed.key.wrapped))
    copy_in(connection, schema.masked, rows)
    copy_in(connection, schema.data_key, keys)
