"""The features key rotated: who is who stays as it is.

A newer version keys what the older ones gave (`cdp.vault.keyed.FeatureLayers`), so that no
value is opened and nothing is decided anew. In this order:

* the switch, one short transaction while nobody resolves: every stored epoch is brought under
  the new version, the workspace names it, and stored blocking keys count no more;
* records, batch by batch: until then older features are brought under it when they are read;
* a full resolve, which makes blocking keys of the new features and changes nobody.

Between the switch and the resolve single records that arrive are stored and wait, as while
others resolve.

Invariants, each named by a test in ``tests/integration/keys/test_feature_rotation.py``:

1. What is compared is of one version, whatever is stored.
2. The people, their ids and their history are those of before.
3. Killed at any moment, the same command goes on; nothing that is read is a mixture.
4. Once it is complete, nothing is under an older version: neither an epoch's frequencies nor
   sealed features.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, insert

from cdp.keys.rotating import BATCH, Batch, Progress, RotationReport, bring_under
from cdp.resolution import epochs
from cdp.resolution.feature_keys import brought_up, epoch_under, in_force
from cdp.resolution.run import resolve
from cdp.storage.locks import PATIENCE, only_one
from cdp.storage.schema import epoch as epoch_table
from cdp.vault.envelope import WrappedKey
from cdp.vault.errors import CellGarbled, CellRefused, WrappedKeyRefused
from cdp.workspace import Workspace
from identity.errors import FeatureVersionError, ModelVersionError
from identity.model import Model

FEATURES: Final = "features"
RESOLVE_STEP: Final = "wait until the resolve has ended, then run: cdp key rotate features --resume"
_BROKEN: Final = (CellGarbled, CellRefused, WrappedKeyRefused)
_NONE: Final = Batch(0, -1, 0, {})
_Opened = tuple[Any, WrappedKey, bytes]  # row, its key, its packed features


def carry_out_features(
    workspace: Workspace, progress: Progress, step: Callable[[str], None], batch: int = BATCH
) -> RotationReport:
    """Bring epochs, records and blocking keys under the newest version.

    Raises:
        Refused: a resolve or another such job runs.
        Stop: the disk is full; what was committed stays.
        KeyWithheld, KeyMissing, OtherWorkspace: the ring lacks a version, or is not its own.
    """
    step("features key: switching")
    switch(workspace)
    report = bring_under(workspace, FeatureRows(workspace), progress, batch)
    with workspace.engine.connect() as connection:
        waits = connection.scalar(_WAITS)
    if waits:
        step("features key: finding everybody again")
        resolve(workspace, full=True)
    with workspace.engine.begin() as connection:
        connection.execute(_FORGET, {"version": FeatureRows(workspace).version})
    return report


def switch(workspace: Workspace) -> None:
    """Have everything compared under the newest version from now on. Twice is once.

    Raises:
        Refused: somebody resolves.
    """
    layers = workspace.vault.layers
    newest = layers.newest
    with (
        only_one(workspace.engine, "resolve", RESOLVE_STEP),
        only_one(workspace.engine, "repair", RESOLVE_STEP, patience=PATIENCE),
        workspace.engine.begin() as connection,
    ):
        if in_force(connection) == newest:
            return
        rows = connection.execute(sa.select(epoch_table).order_by(epoch_table.c.active)).all()
        for row in rows:
            _bring_epoch(connection, workspace, row, newest)
        connection.execute(_SWITCH, {"version": newest})


class FeatureRows:
    """The sealed features of records, to be brought under the version that is in force."""

    purpose = FEATURES

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self.version = workspace.feature_key

    def left(self, connection: sa.Connection) -> int:
        """Count the records whose features are of older versions."""
        return int(connection.scalar(_LEFT, {"version": self.version}) or 0)

    def make(self, connection: sa.Connection, after: int, most: int) -> Batch:
        """Bring some of them under it; see `cdp.keys.rotating.Work`."""
        given = {"version": self.version, "after": after, "most": most}
        rows = connection.execute(_OLDER, given).all()
        if not rows:
            return _NONE
        refused: dict[int, str] = {}
        opened = self._open(rows, refused)
        packed = self._brought(opened, refused)
        vault = self._workspace.vault
        made = [
            vault.seal_features(row.id, row.revision, key, blob)
            for (row, key, _), blob in zip(opened, packed, strict=True)
        ]
        if made:
            ids = [row.id for row, *_ in opened]
            connection.execute(_SEAL, {"version": self.version, "ids": ids, "made": made})
        return Batch(len(rows), rows[-1].id, len(made), refused)

    def _open(self, rows: Iterable[Any], refused: dict[int, str]) -> list[_Opened]:
        opened: list[_Opened] = []
        for row in rows:
            key = WrappedKey(row.key_version, bytes(row.wrapped))
            try:
                packed = self._workspace.vault.open_features(
                    row.id, row.revision, key, bytes(row.features)
                )
            except _BROKEN as error:
                refused[row.id] = error.rule
                continue
            opened.append((row, key, packed))
        return opened

    def _brought(self, opened: list[_Opened], refused: dict[int, str]) -> list[bytes]:
        """What becomes of the opened ones; those of another format leave the list."""
        while True:
            keyed = [(row.id, row.feature_key) for row, *_ in opened]
            packed = [blob for *_, blob in opened]
            try:
                return brought_up(self._workspace.vault.layers, self.version, keyed, packed)
            except FeatureVersionError as error:
                refused[error.record_id] = "the features are of another format, or damaged"
                opened[:] = [one for one in opened if one[0].id != error.record_id]


def _bring_epoch(
    connection: sa.Connection, workspace: Workspace, row: sa.Row[Any], newest: int
) -> None:
    try:
        model = epoch_under(workspace.vault.layers, Model.from_json(row.model), newest)
    except ModelVersionError:
        # Of another version of Kith: nobody can use it, and its keys must not stay.
        connection.execute(_EMPTY, {"id": row.id})
        return
    connection.execute(_END, {"id": row.id})
    values = {**row._mapping, "id": epochs.id_of(model), "model": model.to_json()}  # noqa: SLF001 - its public name
    connection.execute(
        insert(epoch_table)
        .values(values)
        .on_conflict_do_update(index_elements=["id"], set_={"active": row.active})
    )


_END: Final = sa.text("UPDATE kith.epoch SET active = false WHERE id = :id AND active")
_EMPTY: Final = sa.text(
    "UPDATE kith.epoch SET model = jsonb_set(model, '{frequencies}', '{}') WHERE id = :id"
)
_SWITCH: Final = sa.text("UPDATE kith.workspace SET feature_key = :version, blocked_with = NULL")
_WAITS: Final = sa.text(
    "SELECT blocked_with IS NULL AND EXISTS (SELECT FROM kith.epoch WHERE active) "
    "AND (SELECT count(*) > 1 FROM (SELECT FROM kith.record LIMIT 2) AS two) FROM kith.workspace"
)
# Epochs of before that nothing refers to any more: they stand there under the newer version.
_FORGET: Final = sa.text(
    """
    DELETE FROM kith.epoch e
     WHERE NOT e.active AND coalesce(CAST(e.model ->> 'feature_key' AS integer), 1) < :version
       AND e.model -> 'frequencies' <> '{}'
       AND NOT EXISTS (SELECT FROM kith.edge WHERE epoch = e.id)
    """
)
_LEFT: Final = sa.text("SELECT count(*) FROM kith.record WHERE feature_key < :version")
_OLDER: Final = sa.text(
    """
    SELECT r.id, r.revision, r.features, r.feature_key, k.key_version, k.wrapped
      FROM kith.record r JOIN kith_keys.data_key k ON k.record_id = r.id AND k.tier = 'contact'
     WHERE r.feature_key < :version AND r.id > :after
     ORDER BY r.id LIMIT :most FOR NO KEY UPDATE OF r, k SKIP LOCKED
    """
)
_SEAL: Final = sa.text(
    "UPDATE kith.record r SET feature_key = :version, features = x.sealed "
    "FROM unnest(:ids, :made) AS x(id, sealed) WHERE r.id = x.id"
).bindparams(
    sa.bindparam("ids", type_=ARRAY(sa.BigInteger)), sa.bindparam("made", type_=ARRAY(BYTEA))
)
