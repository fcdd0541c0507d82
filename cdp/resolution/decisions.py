"""Read the decisions of people."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from cdp.resolution.links import Decision, Kind, Link, LinkKind
from cdp.storage.schema import decision, decision_link
from identity.constraints import Constraints
from identity.pairs import Ints

_COUNTS = decision.c.undone_at.is_(None)


def read(
    connection: sa.Connection,
    *,
    counting: bool = False,
    number: int | None = None,
    about: str | None = None,
) -> list[Decision]:
    """The decisions, oldest first, each with its links.

    Args:
        connection: any.
        counting: only those that are not undone.
        number: only this one.
        about: only those that were made about this profile id.
    """
    wanted: list[sa.ColumnElement[bool]] = []
    if counting:
        wanted.append(_COUNTS)
    if number is not None:
        wanted.append(decision.c.id == number)
    if about is not None:
        wanted.append(decision.c.profiles.contains([about]))
    rows = connection.execute(sa.select(decision).where(*wanted).order_by(decision.c.id)).all()
    links: dict[int, list[Link]] = {row.id: [] for row in rows}
    for row in connection.execute(
        sa.select(decision_link)
        .join(decision, decision.c.id == decision_link.c.decision_id)
        .where(*wanted)
        .order_by(decision_link.c.low_id, decision_link.c.high_id)
    ):
        links[row.decision_id].append(Link(row.low_id, row.high_id, LinkKind(row.kind)))
    return [_decision(row, links[row.id]) for row in rows]


def _decision(row: sa.Row[Any], links: Sequence[Link]) -> Decision:
    return Decision(
        id=row.id,
        kind=Kind(row.kind),
        profiles=tuple(row.profiles),
        actor=row.actor,
        reason=row.reason,
        at=row.at,
        undone_at=row.undone_at,
        undone_by=row.undone_by,
        undo_reason=row.undo_reason,
        links=tuple(links),
    )


def active_constraints(
    connection: sa.Connection, among: Sequence[int] | None = None
) -> Constraints:
    """Everything that counts, as identity takes it: record ids, each link once.

    Args:
        connection: any.
        among: only links with both ends among these records; None takes all.
    """
    must, cannot = (_ends(connection, kind, among) for kind in (LinkKind.MUST, LinkKind.CANNOT))
    return Constraints(must[0], must[1], cannot[0], cannot[1])


def labels(connection: sa.Connection) -> list[tuple[int, int, bool]]:
    """Pairs of records that people judged, to measure or to teach a model with.

    Returns:
        (record, record, whether they are one person), each pair once, ascending.
    """
    found: list[tuple[int, int, bool]] = []
    for kind in LinkKind:
        low, high = _ends(connection, kind)
        same = kind is LinkKind.MUST
        found += [(a, b, same) for a, b in zip(low.tolist(), high.tolist(), strict=True)]
    return sorted(found)


def _ends(
    connection: sa.Connection, kind: LinkKind, among: Sequence[int] | None = None
) -> tuple[Ints, Ints]:
    low, high = decision_link.c.low_id, decision_link.c.high_id
    statement = (
        sa.select(low, high)
        .distinct()
        .join(decision, decision.c.id == decision_link.c.decision_id)
        .where(_COUNTS, decision_link.c.kind == kind.value)
        .order_by(low, high)
    )
    if among is not None:
        records = sa.literal(list(among), ARRAY(sa.BigInteger))
        statement = statement.where(low == sa.any_(records), high == sa.any_(records))
    rows = connection.execute(statement)
    ends = np.array([tuple(row) for row in rows], np.int64).reshape(-1, 2)
    return ends[:, 0], ends[:, 1]
