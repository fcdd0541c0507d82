"""A repair for whoever needs it at once: a decision of a person, a deletion."""

from collections.abc import Collection

import sqlalchemy as sa

from cdp.errors import Stop
from cdp.profiles.build import rebuild
from cdp.resolution.readiness import ready
from cdp.resolution.repair import Repair, Repaired
from cdp.resolution.storing import Outcome
from cdp.storage.attempts import again_if_collided
from cdp.storage.locks import until_commit
from cdp.workspace import Workspace


def repair(
    connection: sa.Connection,
    workspace: Workspace,
    dirty: Collection[int],
    removed: Collection[int] = (),
) -> Repaired:
    """Bring the people of these records up to date, profiles included, in the transaction.

    Nobody else resolves or repairs anybody until the transaction ends.

    Raises:
        Refused: others do, for longer than a moment.
        Stop: there is no epoch yet, or the stored keys are of another version.
    """
    until_commit(connection, "repair", "wait until the other has ended, then try again")
    epoch = ready(connection)
    if epoch is None:
        raise Stop("not_resolved_yet", "run: cdp identity resolve")
    work = Repair(connection, workspace, epoch)
    work.find(dirty, removed)
    now = workspace.now()
    repaired = work.store(now)
    rebuild(connection, workspace.declaration.trust, repaired.outcome.touched, now)
    return repaired


def forget(connection: sa.Connection, workspace: Workspace, records: Collection[int]) -> Repaired:
    """Delete records, and leave the people who stay as if these had never been there.

    Raises:
        Stop: see ``repair``.
    """

    def forgotten() -> Repaired:
        repaired = repair(connection, workspace, (), records)
        ids = {"ids": sorted(records)}
        connection.execute(_END, ids)
        connection.execute(_DELETE, ids)
        return repaired

    return again_if_collided(connection, forgotten)


# Alone by now: the profile of each is its own.
_END = sa.text(
    """
    WITH gone AS (
        DELETE FROM kith.membership WHERE record_id = ANY(CAST(:ids AS bigint[]))
    )
    DELETE FROM kith.profile WHERE anchor_id = ANY(CAST(:ids AS bigint[]))
    """
)
_DELETE = sa.text("DELETE FROM kith.record WHERE id = ANY(CAST(:ids AS bigint[]))")


def repair_people(
    connection: sa.Connection, workspace: Workspace, records: Collection[int]
) -> Outcome:
    """``repair`` of records that somebody decided about."""
    return repair(connection, workspace, records).outcome
