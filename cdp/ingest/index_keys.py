"""A new epoch of blind indexes begins: a new version of the index key is put in force.

Who may do that, and its event: `cdp.keys.index_epochs`.
"""

from collections.abc import Mapping

import sqlalchemy as sa

from cdp.ingest.reindex import LOCK, LOCK_STEP, require_own_ring
from cdp.storage.locks import PATIENCE, only_one
from cdp.vault import ring_edits
from cdp.vault.blind import PURPOSE
from cdp.vault.primitives import Randomness, system_randomness
from cdp.vault.ring_editing import RingEditor
from cdp.workspace import Workspace

RESOLVE_STEP = "wait until the resolve has ended, then run it again"


def begin_epoch(
    workspace: Workspace, randomness: Randomness = system_randomness
) -> tuple[int, bool]:
    """Put a new index key in force, unless an earlier epoch still has rows.

    So at most two epochs are alive, and a rotation that was killed goes on as the same one.
    Blocking keys derive from the same key: until the next resolve, which is a full one, single
    records wait to be resolved.

    Returns:
        The epoch in force, and whether it is new.

    Raises:
        KeyMissing: the database has rows of a version that the ring lacks: an old copy.
        KeyRingChanged: somebody else changed the ring just now; try again.
        OtherWorkspace, Refused: another workspace's ring, or another job on indexes runs.
    """
    with only_one(workspace.engine, LOCK, LOCK_STEP):
        with workspace.engine.connect() as connection:
            require_own_ring(connection, workspace)
            in_use: dict[int, int] = {row.epoch: row.rows for row in connection.execute(_IN_USE)}
        current = workspace.keyring.current(PURPOSE)
        if set(in_use) - {current}:
            return current, False
        version = _add_version(workspace, in_use, randomness)
        workspace.keyring.secret(PURPOSE, version)  # this process lacks it, so it looks again
        return version, True


def _add_version(workspace: Workspace, in_use: Mapping[int, int], randomness: Randomness) -> int:
    editor = RingEditor(workspace.settings.key_ring, workspace.id, workspace.providers)
    now = workspace.now()
    edit = editor.begin()  # asks who guards the root, before anybody is kept waiting
    with (
        # Blocking keys derive from this key too: nobody stores or compares any meanwhile.
        only_one(workspace.engine, "resolve", RESOLVE_STEP),
        only_one(workspace.engine, "repair", RESOLVE_STEP, patience=PATIENCE),
        workspace.engine.begin() as connection,
    ):
        connection.execute(_FORGET_BLOCKS)
        document = edit.finish(
            lambda ring: ring_edits.add_version(ring, PURPOSE, in_use, randomness, now)
        )
        return document.keys[PURPOSE].current


# The next resolve is a full one and makes every blocking key anew.
_FORGET_BLOCKS = sa.text("UPDATE kith.workspace SET blocked_with = NULL")
_IN_USE = sa.text("SELECT epoch, count(*) AS rows FROM kith_vault.blind_index GROUP BY epoch")
