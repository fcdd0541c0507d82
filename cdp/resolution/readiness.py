"""Whether a few records can be resolved: an epoch in force, and keys of its version stored."""

from dataclasses import dataclass, replace

import sqlalchemy as sa

from cdp.resolution import blocks, epochs
from cdp.storage.statements import Statement, ask
from cdp.vault.keyed import FIRST
from identity.model import Model
from identity.scorer import Scorer


@dataclass(frozen=True, slots=True)
class Ready:
    """What a repair works with.

    Attributes:
        id: of the active epoch.
        model: that epoch.
        scorer: compiled from it.
        decided: whether any decision of people counts.
        feature_key: version of the key that features are compared under.
        block_key: version of the key that blocking keys are stored under.
    """

    id: str
    model: Model
    scorer: Scorer
    decided: bool
    feature_key: int = FIRST
    block_key: int = FIRST


def ready(connection: sa.Connection, known: Ready | None = None) -> Ready | None:
    """The active epoch, if a full run has left everything that a repair needs; else None.

    Args:
        connection: in the transaction that repairs.
        known: what an earlier call gave: an epoch that is still active is not read again.
    """
    ((epoch, blocked_with, decided, feature_key, block_key),) = ask(connection, _NOW)
    if epoch is None:
        return None
    if known is None or known.id != epoch:
        active = epochs.active(connection)
        if active is None:
            return None
        known = Ready(*active, Scorer(active[1]), decided=True)
    if blocked_with != blocks.made_with(known.model.most_people):
        return None
    if known.model.feature_key != feature_key:  # a rotation goes on
        return None
    return replace(known, decided=decided, feature_key=feature_key, block_key=block_key)


_NOW = Statement(
    "ready",
    (),
    "SELECT e.id, w.blocked_with, "
    "EXISTS (SELECT FROM kith.decision d WHERE d.undone_at IS NULL) AS decided, "
    "w.feature_key, w.block_key "
    "FROM kith.workspace w LEFT JOIN kith.epoch e ON e.active",
)
