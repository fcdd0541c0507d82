"""Resolve all records of a workspace."""

import datetime as dt
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa

from cdp.errors import Stop
from cdp.profiles.build import rebuild
from cdp.resolution import epochs
from cdp.resolution.loading import load_features
from cdp.resolution.storing import Outcome, store
from cdp.storage import schema
from cdp.storage.locks import only_one
from cdp.vault.keyed import RecordKeys
from cdp.workspace import Workspace
from connectors.digests import sha256_hex
from identity import batch
from identity.errors import TooFewRecordsError
from identity.model import UNTRAINED, Model

Progress = Callable[[str], None]


def quiet(step: str) -> None:
    """Say nothing."""
    del step


SETTLED = 5000  # records; an epoch learnt from fewer is provisional
GROWTH = 2  # times as many records as a provisional epoch was learnt from replace it


def is_outgrown(model: Model, records: int) -> bool:
    """Whether an epoch was learnt from so little that it must not outlive its first days.

    The first source that somebody wires may hold forty rows. Frozen on those, the model
    would misjudge everything that follows.
    """
    return model.learnt_from < SETTLED and records >= GROWTH * model.learnt_from


@dataclass(frozen=True, slots=True)
class ResolveReport:
    """What a run found and what it changed."""

    records: int
    profiles: int
    compared: int  # pairs scored
    edges: int  # pairs kept as evidence
    created: int
    merged: int
    split: int
    updated: int  # profiles whose content changed
    epoch: str
    trained: bool  # whether this run learnt the epoch

    @property
    def nothing_new(self) -> bool:
        """Whether every profile is as it was before."""
        return not (self.created or self.merged or self.split or self.updated)

    def to_dict(self) -> dict[str, Any]:
        """A plain object for ``--json``."""
        return asdict(self)


def resolve(
    workspace: Workspace, *, retrain: bool = False, progress: Progress = quiet
) -> ResolveReport:
    """Find the people behind all records and bring profiles up to date.

    The first run learns the identity model from the records; later runs use that epoch
    until ``retrain``, or until a provisional one is outgrown.
    Killed at any moment, it leaves everything as it was.

    Raises:
        cdp.errors.Refused: another resolve runs.
        cdp.errors.Stop: there are no records.
    """
    step = "wait until it has ended, then run it again if sources changed meanwhile"
    with only_one(workspace.engine, "resolve", step):
        return _resolve(workspace, retrain=retrain, progress=progress)


def _resolve(workspace: Workspace, *, retrain: bool, progress: Progress) -> ResolveReport:
    progress("opening features")
    with workspace.engine.connect() as connection:
        chosen = None if retrain else epochs.active(connection)
        loaded = load_features(connection, workspace.vault)
    limits = batch.Limits(workspace.settings.memory_mb, workspace.settings.threads)
    known = chosen[1] if chosen else None
    if known and is_outgrown(known, len(loaded.revisions)):
        chosen = known = None
    try:
        resolution, model = batch.resolve(loaded.table, known, UNTRAINED, limits, progress)
    except TooFewRecordsError as error:
        raise Stop(
            "too_few_records",
            "bring in two records at least: cdp source sync",
            records=len(loaded.revisions),
        ) from error
    resolution = loaded.translated(resolution)
    progress("storing people")
    now = workspace.now()
    with workspace.engine.begin() as connection:
        name = epochs.activate(connection, model, now)
        keys = RecordKeys(workspace.keyring)
        outcome = store(connection, keys, loaded, resolution, name, now)
        updated = _build(connection, workspace, outcome, now, progress)
        profiles = connection.scalar(sa.select(sa.func.count()).select_from(schema.profile))
    return ResolveReport(
        records=len(loaded.revisions),
        profiles=int(profiles or 0),
        compared=resolution.compared,
        edges=len(resolution.edges),
        created=outcome.created,
        merged=outcome.merged,
        split=outcome.split,
        updated=updated,
        epoch=name,
        trained=chosen is None,
    )


def _build(
    connection: sa.Connection,
    workspace: Workspace,
    outcome: Outcome,
    now: dt.datetime,
    progress: Progress,
) -> int:
    progress("building profiles")
    trust = workspace.declaration.trust
    built_with = sha256_hex([name.encode() + b"\n" for name in trust])
    table = schema.workspace
    if connection.scalar(sa.select(table.c.built_with)) == built_with:
        return rebuild(connection, trust, outcome.touched, now)
    # Another order of trust may choose other values in any profile.
    connection.execute(sa.update(table).values(built_with=built_with))
    everybody = list(connection.scalars(sa.select(schema.profile.c.id)))
    return rebuild(connection, trust, everybody, now)
