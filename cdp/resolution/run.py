"""Resolve all records of a workspace."""

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

import sqlalchemy as sa

from cdp.errors import Stop
from cdp.profiles.build import rebuild
from cdp.resolution import block_rows, blocks, decisions, edges, epochs, footprint
from cdp.resolution.feature_keys import epoch_under
from cdp.resolution.loading import Loaded, load_features
from cdp.resolution.readiness import ready
from cdp.resolution.repair import Repair
from cdp.resolution.storing import Decided, Outcome, anchors_before, apply, keep_from_going
from cdp.storage import schema
from cdp.storage.attempts import again_if_collided
from cdp.storage.locks import PATIENCE, Hold, only_one
from cdp.vault.keyed import BlockKeyer, RecordKeys
from cdp.workspace import Workspace
from connectors.digests import sha256_hex
from identity import batch
from identity.columns import Columns
from identity.constraints import Constraints
from identity.duckdb_engine import Limits
from identity.errors import TooFewRecordsError
from identity.model import UNTRAINED, Model

Progress = Callable[[str], None]
Stored = TypeVar("Stored")


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
    judged: int  # records of the components that were decided; all, in a full run
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


@dataclass(frozen=True, slots=True)
class Adoption:
    """An epoch that somebody puts in force.

    Attributes:
        model: the epoch.
        by: who signs, a principal.
        reason: why.
        look: told what was found, before anything is stored.
        log: keeps the event, in the transaction that stores.
    """

    model: Model
    by: str
    reason: str
    look: Callable[[Loaded, batch.Resolution], None]
    log: Callable[[sa.Connection], None]


def resolve(
    workspace: Workspace,
    *,
    retrain: bool = False,
    full: bool = False,
    adoption: Adoption | None = None,
    engine: batch.Engine | None = None,
    progress: Progress = quiet,
) -> ResolveReport:
    """Find the people behind all records and bring profiles up to date.

    The first run learns the identity model from the records; later runs use that epoch
    until ``retrain``, or until a provisional one that nobody signed is outgrown. Under a
    known epoch only what new and changed records touch is decided anew, with the same
    result as a full run; ``full`` decides everything. With ``adoption`` everything is
    decided under that epoch, and the switch is stored with what it changes.
    When everything is decided, ``engine`` compares the pairs; without one, this process.
    Killed at any moment, it leaves everything as it was.

    Raises:
        cdp.errors.Refused: another resolve runs.
        cdp.errors.Retry: its lock was lost, or records came or went beside it.
        cdp.errors.Stop: there are no records.
    """
    step = "wait until it has ended, then run it again if sources changed meanwhile"
    with (
        only_one(workspace.engine, "resolve", step) as alone,
        # Whoever resolves single records shares this; they finish within moments.
        only_one(workspace.engine, "repair", step, patience=PATIENCE) as undisturbed,
    ):
        work = _Work(workspace, (alone, undisturbed), progress)
        if full or retrain or adoption:
            return _resolve(work, adoption, engine, retrain=retrain)
        report = work.stored(lambda connection: _repair(connection, workspace, progress))
        return report or _resolve(work, None, engine, retrain=False)


@dataclass(frozen=True, slots=True)
class _Work:
    """A run that has its locks.

    Attributes:
        workspace: whose records are resolved.
        holds: the locks.
        progress: told the name of each step.
    """

    workspace: Workspace
    holds: tuple[Hold, ...]
    progress: Progress

    def stored(self, store: Callable[[sa.Connection], Stored]) -> Stored:
        """Store in one transaction, and only if the locks were held until its end.

        Where a writer of the same rows is in the way, it is stored anew: what was found
        stays in memory.
        """
        with self.workspace.engine.begin() as connection:
            self._require(connection)  # early: storing may take minutes
            done = again_if_collided(connection, lambda: store(connection))
            self._require(connection)
            return done

    def _require(self, connection: sa.Connection) -> None:
        for one in self.holds:
            one.require(connection)


FEW = 0.2  # of the records; above this share a full run costs less than repairing


def _resolve(
    work: _Work, adoption: Adoption | None, engine: batch.Engine | None, *, retrain: bool
) -> ResolveReport:
    workspace, progress = work.workspace, work.progress
    with workspace.engine.connect() as connection:
        read = _read(connection, workspace, progress)
        # An epoch of another version cannot be read, and need not be, where another follows.
        known = adoption.model if adoption else None
        if not (known or retrain):
            known = _frozen(connection, len(read.loaded))
    found = _find(workspace, read, known, engine, progress)
    if adoption:
        adoption.look(read.loaded, found.resolution)

    def store(connection: sa.Connection) -> ResolveReport:
        if adoption:
            adoption.log(connection)
            signature = epochs.Signature(adoption.by, adoption.reason, workspace.now())
            epochs.activate(connection, found.model, signature.at, signature)
        return _keep(connection, workspace, read, found, progress)

    return work.stored(store)


def _frozen(connection: sa.Connection, records: int) -> Model | None:
    """The epoch in force, if it is to stay so; None: learn another one."""
    epoch = epochs.active(connection)
    return None if epoch is None or _ends(connection, epoch[1], records) else epoch[1]


def _ends(connection: sa.Connection, model: Model, records: int) -> bool:
    return is_outgrown(model, records) and not epochs.is_signed(connection)


def _repair(
    connection: sa.Connection, workspace: Workspace, progress: Progress
) -> ResolveReport | None:
    """Resolve what is new or changed; None where a full run is needed, or takes less."""
    epoch = ready(connection)
    record = schema.record
    records = connection.scalar(sa.select(sa.func.count()).select_from(record)) or 0
    if epoch is None or _ends(connection, epoch.model, records):
        return None
    dirty = list(connection.scalars(sa.select(record.c.id).where(record.c.dirty)))
    if len(dirty) > FEW * records or not footprint.fits(connection, workspace, epoch, dirty):
        return None
    progress("finding what changed touches")
    work = Repair(connection, workspace, epoch)
    work.find(dirty)
    progress("storing people")
    now = workspace.now()
    repaired = work.store(now)
    updated = _build(connection, workspace, repaired.outcome, now, progress)
    counted = {"compared": repaired.compared, "judged": repaired.judged}
    return _report(connection, repaired.outcome, epoch.id, updated, counted, trained=False)


@dataclass(frozen=True, slots=True)
class _Read:
    """What a run starts from."""

    loaded: Loaded
    constraints: Constraints


@dataclass(frozen=True, slots=True)
class _Found:
    """What a run found."""

    resolution: batch.Resolution  # in record ids
    model: Model
    trained: bool


def _read(connection: sa.Connection, workspace: Workspace, progress: Progress) -> _Read:
    progress("opening features")
    loaded = load_features(connection, workspace.vault)
    return _Read(loaded, decisions.active_constraints(connection))


def _find(
    workspace: Workspace,
    read: _Read,
    known: Model | None,
    engine: batch.Engine | None,
    progress: Progress,
) -> _Found:
    loaded = read.loaded
    limits = Limits(workspace.settings.memory_mb, workspace.settings.threads)
    constraints = loaded.numbered(read.constraints)
    untrained = replace(UNTRAINED, feature_key=loaded.feature_key)
    if known:
        known = epoch_under(workspace.vault.layers, known, loaded.feature_key)
    try:
        most_people = (known or untrained).most_people
        gathered = batch.gather(loaded.table, most_people, limits, progress, engine)
        resolution, model = batch.conclude(
            gathered, known, untrained, limits, progress, constraints
        )
    except TooFewRecordsError as error:
        raise Stop(
            "too_few_records",
            "bring in two records at least: cdp source sync",
            records=len(loaded),
        ) from error
    return _Found(loaded.translated(resolution), model, trained=known is None)


def _keep(
    connection: sa.Connection, workspace: Workspace, read: _Read, found: _Found, progress: Progress
) -> ResolveReport:
    progress("storing people")
    now, seen, resolution = workspace.now(), read.loaded.seen, found.resolution
    name = epochs.activate(connection, found.model, now)
    keep_from_going(connection, seen.ids)
    edges.store_all(connection, resolution.edges, resolution.direct, name)
    keyer = BlockKeyer(workspace.keyring)
    raw = Columns.of(read.loaded.table)
    named = replace(raw, ids=read.loaded.ids)
    block_rows.store_all(
        connection,
        keyer,
        blocks.blocked_by(keyer, named, resolution.judged),
        resolution.use,
        blocks.made_with(found.model.most_people),
    )
    # Last: whoever writes the same people waits until all of it is committed.
    was = anchors_before(connection, workspace, seen.ids)
    keys = RecordKeys(workspace.keyring)
    decided = Decided(name, now, workspace.declaration.trust)
    outcome = apply(connection, keys, seen, (was, resolution.anchors), decided)
    # What comes now looks up a few of many rows: the planner has to know that they are many.
    connection.execute(_ANALYZE)
    updated = _build(connection, workspace, outcome, now, progress)
    counted = {"compared": resolution.compared, "judged": len(seen.ids)}
    return _report(connection, outcome, name, updated, counted, trained=found.trained)


_ANALYZE = sa.text(
    "ANALYZE kith.record, kith.block, kith.record_block, kith.edge, kith.membership, kith.profile, "
    "kith.shared_number, kith_vault.contact, kith_vault.sensitive, "
    "kith_vault.masked, kith_keys.data_key"
)


def _report(
    connection: sa.Connection,
    outcome: Outcome,
    epoch: str,
    updated: int,
    counted: Mapping[str, int],
    *,
    trained: bool,
) -> ResolveReport:
    def count(table: sa.Table) -> int:
        return connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0

    return ResolveReport(
        records=count(schema.record),
        profiles=count(schema.profile),
        edges=count(schema.edge),
        created=outcome.created,
        merged=outcome.merged,
        split=outcome.split,
        updated=updated,
        epoch=epoch,
        trained=trained,
        **counted,
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
        others = [one for one in outcome.touched if one not in outcome.built]
        return len(outcome.built) + rebuild(connection, trust, others, now)
    # Another order of trust may choose other values in any profile.
    connection.execute(sa.update(table).values(built_with=built_with))
    everybody = connection.scalars(sa.select(schema.profile.c.id))
    others = [one for one in everybody if one not in outcome.built]
    return len(outcome.built) + rebuild(connection, trust, others, now)
