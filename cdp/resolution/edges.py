"""Store the evidence: the scored pairs of a run. What did not change is not written."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa

from cdp.storage import schema
from cdp.storage.bulk import copy_columns, copy_in, document
from cdp.storage.statements import Row, Statement, array, ask, send
from identity.pairs import Bools, Ints, Pairs

FEW = 500  # edges that travel with the next statement
AT_ONCE = 50_000  # pairs laid out at a time
DIGITS = 6  # decimals of a weight that are kept
_OWN = 3  # columns of a record that was reached, before those of its edges
Stored = Mapping[tuple[int, int], tuple[Any, ...]]


def store_all(connection: sa.Connection, pairs: Pairs, direct: Bools, epoch: str) -> None:
    """Make the stored edges exactly these pairs; ``direct`` says which a rule made."""
    if not connection.scalar(sa.text("SELECT EXISTS (SELECT FROM kith.edge)")):
        _copy(connection, schema.edge, pairs, direct, epoch)
        return
    connection.execute(
        sa.text("CREATE TEMPORARY TABLE fresh (LIKE kith.edge INCLUDING INDEXES) ON COMMIT DROP")
    )
    fresh = sa.Table(
        "fresh", sa.MetaData(), *(sa.Column(c.name, c.type) for c in schema.edge.columns)
    )
    _copy(connection, fresh, pairs, direct, epoch)
    connection.execute(_DELETE)
    connection.execute(_INSERT)


def _copy(
    connection: sa.Connection, table: sa.Table, pairs: Pairs, direct: Bools, epoch: str
) -> None:
    order = np.lexsort((pairs.high, pairs.low))  # the primary key is filled from end to end
    for start in range(0, len(order), AT_ONCE):
        rows = order[start : start + AT_ONCE]
        part = pairs.take(rows)
        columns = (
            part.low,
            part.high,
            part.weight.round(DIGITS),
            part.levels.astype(np.int16),
            part.bits.round(DIGITS),
            epoch,
            direct[rows],
        )
        copy_columns(connection, table, columns, len(rows))


def store_some(
    connection: sa.Connection, stored: Stored, pairs: tuple[Pairs, Bools], epoch: str
) -> None:
    """Make the stored edges of whole components exactly these pairs.

    More than ``FEW`` are stored only between records that are held: see
    `storing.keep_from_going`.

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
        send(connection, _REMOVE, array(low), array(high))
    come = [row for pair, row in fresh.items() if stored.get(pair) != row]
    if len(come) > FEW:
        copy_in(connection, schema.edge, come)
    elif come:
        send(connection, _APPEND, document(schema.edge, come))


@dataclass(frozen=True, slots=True)
class Reached:
    """Whole components as they are stored.

    Attributes:
        records: rows of (id, revision, anchor of the profile), ascending.
        stored: their edges, by their two records.
    """

    records: list[Row]
    stored: Stored


def reach(connection: sa.Connection, start: Ints, *, decided: bool) -> Reached:
    """Everybody in a component with one of these records.

    Args:
        connection: in a transaction.
        start: record ids.
        decided: whether any decision of people counts; without one there is less to ask.
    """
    statement = _REACH_DECIDED if decided else _REACH
    rows = ask(connection, statement, array(start.tolist()))
    records = {row[0]: row[:_OWN] for row in rows}
    stored = {row[_OWN : _OWN + 2]: row[_OWN:] for row in rows if row[_OWN] is not None}
    return Reached([records[one] for one in sorted(records)], stored)


def _rows(pairs: Pairs, direct: Bools, epoch: str) -> Iterable[tuple[Any, ...]]:
    columns = (
        pairs.low,
        pairs.high,
        pairs.weight.round(DIGITS),
        pairs.levels,
        pairs.bits.round(DIGITS),
        direct,
    )
    for *scored, made in zip(*(column.tolist() for column in columns), strict=True):
        yield *scored, epoch, made


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
# A record that is destroyed at this moment gets none: no foreign key would refuse it.
_APPEND = Statement(
    "append_edges",
    ("json",),
    "INSERT INTO kith.edge SELECT e.* FROM json_populate_recordset(NULL::kith.edge, $1) e "
    "JOIN kith.record a ON a.id = e.low_id JOIN kith.record b ON b.id = e.high_id "
    "FOR KEY SHARE OF a, b",
)
_REMOVE = Statement(
    "remove_edges",
    ("bigint[]", "bigint[]"),
    "DELETE FROM kith.edge e USING unnest($1, $2) AS x(low, high) "
    "WHERE e.low_id = x.low AND e.high_id = x.high",
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


def _reach(name: str, by: str) -> Statement:
    return Statement(
        name,
        ("bigint[]",),
        f"""
    WITH RECURSIVE reach(id) AS (
        SELECT * FROM unnest($1)
        UNION
        SELECT n.id FROM reach r CROSS JOIN LATERAL ({by}) AS n(id)
    )
    SELECT r.id, (SELECT k.revision FROM kith.record k WHERE k.id = r.id),
           (SELECT p.anchor_id FROM kith.membership m JOIN kith.profile p ON p.id = m.profile_id
            WHERE m.record_id = r.id), e.*
    FROM reach r LEFT JOIN LATERAL (
        -- One look into the index for each, however many the planner expects.
        SELECT * FROM kith.edge x WHERE x.low_id = r.id OFFSET 0
    ) e ON TRUE
    """,
    )


_REACH = _reach("reach", _BY_PAIRS)
_REACH_DECIDED = _reach("reach_decided", _BY_PAIRS + _BY_DECISIONS)
