"""Whether a few records can be resolved: an epoch in force, and keys of its version stored."""

from dataclasses import dataclass, replace

import sqlalchemy as sa

from cdp.resolution import blocks, epochs
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
    """

    id: str
    model: Model
    scorer: Scorer
    decided: bool


def ready(connection: sa.Connection, known: Ready | None = None) -> Ready | None:
    """The active epoch, if a full run has left everything that a repair needs; else None.

    Args:
        connection: in the transaction that repairs.
        known: what an earlier call gave: an epoch that is still active is not read again.
    """
    now = connection.execute(_NOW).one()
    if now.id is None:
        return None
    if known is None or known.id != now.id:
        active = epochs.active(connection)
        if active is None:
            return None
        known = Ready(*active, Scorer(active[1]), decided=True)
    if now.blocked_with != blocks.made_with(known.model.most_people):
        return None
    return replace(known, decided=now.decided)


_NOW = sa.text(
    "SELECT e.id, w.blocked_with, "
    "EXISTS (SELECT FROM kith.decision d WHERE d.undone_at IS NULL) AS decided "
    "FROM kith.workspace w LEFT JOIN kith.epoch e ON e.active"
)
