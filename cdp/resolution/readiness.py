"""Whether a few records can be resolved: an epoch in force, and keys of its version stored."""

from dataclasses import dataclass, replace

import sqlalchemy as sa

from cdp.resolution import blocks, epochs
from cdp.storage.locks import SHARED, share_if_free
from cdp.storage.statements import Row, Statement, ask
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
    return _ready(connection, known, ask(connection, _NOW)[0])


def shared_and_ready(connection: sa.Connection, known: Ready | None = None) -> Ready | None:
    """``ready`` beside others of its kind; None too where somebody has all repairs alone.

    The right to repair is shared until the transaction ends.
    """
    share_if_free(connection, "repair")
    *row, shared = ask(connection, _SHARED_NOW)[0]
    return _ready(connection, known, tuple(row)) if shared else None


def _ready(connection: sa.Connection, known: Ready | None, row: Row) -> Ready | None:
    epoch, blocked_with, decided, feature_key, block_key = row
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


def _now(name: str, more: str = "") -> Statement:
    return Statement(
        name,
        (),
        "SELECT e.id, w.blocked_with, "
        "EXISTS (SELECT FROM kith.decision d WHERE d.undone_at IS NULL) AS decided, "
        f"w.feature_key, w.block_key{more} "
        "FROM kith.workspace w LEFT JOIN kith.epoch e ON e.active",
    )


_NOW, _SHARED_NOW = _now("ready"), _now("shared_and_ready", f", {SHARED}")
