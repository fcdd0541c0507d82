"""Store the evidence: the scored pairs of a run. What did not change is not written."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from cdp.storage import schema
from cdp.storage.bulk import copy_in
from identity.pairs import Bools, Ints, Pairs

Stored = Mapping[tuple[int, int], tuple[Any, ...]]


def store_all(connection: sa.Connection, pairs: Pairs, direct: Bools, epoch: str) -> None:
    """Make the stored edges exactly these pairs; ``direct`` says which a rule made."""
    held = connection.scalar(sa.text("SELECT EXISTS (SELECT FROM kith.edge)"))
    if not held:
        copy_in(connection, schema.edge, _rows(pairs, direct, epoch))
        return
    connection.execute(
        sa.text("CREATE TEMPORARY TABLE fresh (LIKE kith.edge INCLUDING INDEXES) ON COMMIT DROP")
    )
    fresh = sa.Table(
        "fresh", sa.MetaData(), *(sa.Column(c.name, c.type) for c in schema.edge.columns)
    )
    copy_in(connection, fresh, _rows(pairs, direct, epoch))
    connection.execute(_DELETE)
    connection.execute(_INSERT)


def stored_among(connection: sa.Connection, nodes: Ints) -> Stored:
    """The stored edges of whole components, by their two records."""
    return {
        (row.low_id, row.high_id): tuple(row)
        for row in connection.execute(_STORED, {"ids": nodes.tolist()})
    }


def store_some(
    connection: sa.Connection, stored: Stored, pairs: tuple[Pairs, Bools], epoch: str
) -> None:
    """Make the stored edges of whole components exactly these pairs.

    Args:
        connection: in the transaction that stores.
        stored: their edges so far.
        pairs: the pairs, and which of them a rule made.
        epoch: the model they were scored with.
    """
    fresh = {row[:2]: row for row in _rows(*pairs, epoch)}
    gone = [pair for pair, row in stored.items() if fresh.get(pair) != row]
    if gone:
        low, high = zip(*gone, strict=True)
        connection.execute(_REMOVE, {"low": list(low), "high": list(high)})
    copy_in(
        connection, schema.edge, (row for pair, row in fresh.items() if stored.get(pair) != row)
    )


def reach(connection: sa.Connection, start: Ints, *, decided: bool) -> Sequence[sa.Row[Any]]:
    """Everybody in a component with one of these records: rows of (id, revision).

    Args:
        connection: in a transaction.
        start: record ids.
        decided: whether any decision of people counts; without one there is less to ask.
    """
    statement = _REACH_DECIDED if decided else _REACH
    return connection.execute(statement, {"start": start.tolist()}).all()


def _rows(pairs: Pairs, direct: Bools, epoch: str) -> Iterable[tuple[Any, ...]]:
    made = direct.tolist()
    weights = pairs.weight.round(6).tolist()
    for place, (low, high) in enumerate(zip(pairs.low.tolist(), pairs.high.tolist(), strict=True)):
        levels, bits = pairs.levels[place].tolist(), pairs.bits[place].round(6).tolist()
        yield low, high, weights[place], levels, bits, epoch, made[place]


_DELETE = sa.text(
    """
    DELETE FROM kith.edge e WHERE NOT EXISTS (
        SELECT FROM fresh f
        WHERE f.low_id = e.low_id AND f.high_id = e.high_id AND f.weight = e.weight
        AND f.levels = e.levels AND f.weights = e.weights AND f.epoch = e.epoch
        AND f.direct = e.direct)
    """
)
_INSERT = sa.text(
    "INSERT INTO kith.edge SELECT * FROM fresh ON CONFLICT (low_id, high_id) DO NOTHING"
)
_STORED = sa.text("SELECT * FROM kith.edge WHERE low_id = ANY(CAST(:ids AS bigint[]))")
_REMOVE = sa.text(
    "DELETE FROM kith.edge e USING unnest(CAST(:low AS bigint[]), CAST(:high AS bigint[])) "
    "AS x(low, high) WHERE e.low_id = x.low AND e.high_id = x.high"
)
# Over stored pairs that a rule made and over must links that count. Pairs that will go are
# still there, so that every part of a component that falls apart is reached.
_BY_PAIRS = """
            SELECT e.high_id FROM kith.edge e WHERE e.low_id = r.id AND e.direct
            UNION ALL
            SELECT e.low_id FROM kith.edge e WHERE e.high_id = r.id AND e.direct
"""
_BY_DECISIONS = """
            UNION ALL
            SELECT CASE r.id WHEN l.low_id THEN l.high_id ELSE l.low_id END
            FROM kith.decision_link l JOIN kith.decision d ON d.id = l.decision_id
            WHERE (l.low_id = r.id OR l.high_id = r.id) AND l.kind = 'must' AND d.undone_at IS NULL
"""


def _reach(by: str) -> sa.TextClause:
    return sa.text(
        f"""
    WITH RECURSIVE reach(id) AS (
        SELECT * FROM unnest(CAST(:start AS bigint[]))
        UNION
        SELECT n.id FROM reach r CROSS JOIN LATERAL ({by}) AS n(id)
    )
    SELECT r.id, (SELECT k.revision FROM kith.record k WHERE k.id = r.id) AS revision
    FROM reach r
    """
    )


_REACH, _REACH_DECIDED = _reach(_BY_PAIRS), _reach(_BY_PAIRS + _BY_DECISIONS)
