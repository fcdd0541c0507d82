"""Which of several rows of one record counts, where a feed delivers them late or out of order.

Invariants, each named by a test in ``tests/integration/feeds/test_orders.py``:
    1. A row never replaces one with a greater order, nor brings back a record whose deletion
       has a greater order.
    2. Without an order, or with the same one, what comes later counts.
    3. What counts does not depend on where a batch ends.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import sqlalchemy as sa

from cdp.ingest.prepare import Recognised
from cdp.storage.schema import record, source_order
from cdp.storage.statements import Statement, ask, bytes_array, send
from connectors.base import Deleted
from connectors.record import Record


@dataclass(frozen=True, slots=True)
class Named:
    """One row of a feed, with the key of its record.

    Attributes:
        key: of the record.
        row: as it was delivered.
        recognised: of a record; a deletion has none.
        order: the greatest of the rows of the record so far, this one included.
    """

    key: bytes
    row: Record | Deleted
    recognised: Recognised | None = None
    order: int | None = None


def newest(rows: Sequence[Named]) -> dict[bytes, Named]:
    """Of each record the row that counts among these, in the order of their arrival."""
    found: dict[bytes, Named] = {}
    orders: dict[bytes, int] = {}
    for one in rows:
        if one.row.order is not None:
            if one.row.order < orders.get(one.key, one.row.order):
                continue
            orders[one.key] = one.row.order
        found.pop(one.key, None)
        found[one.key] = replace(one, order=orders.get(one.key))
    return found


def not_late(connection: sa.Connection, rows: Mapping[bytes, Named]) -> list[Named]:
    """Those of the rows that no newer row of their record came before."""
    ordered = [key for key, one in rows.items() if one.row.order is not None]
    known = ask(connection, _KNOWN, bytes_array(ordered)) if ordered else []
    stored = {bytes(key): int(value) for key, value in known}
    return [
        one
        for key, one in rows.items()
        if key not in stored or one.row.order is None or one.row.order >= stored[key]
    ]


def remember(connection: sa.Connection, source: str, rows: Sequence[Named]) -> None:
    """Keep how new these rows are: they are what counts of their records now."""
    given = [one for one in rows if one.order is not None or _load(one.row) is not None]
    others = {one.key for one in rows} - {one.key for one in given}
    if others:
        send(connection, _OF_NO_LOAD, bytes_array(sorted(others)))
    if given:
        given.sort(key=lambda one: one.key)
        keys = bytes_array([one.key for one in given])
        orders = _numbers([one.order for one in given])
        loads = _numbers([_load(one.row) for one in given])
        send(connection, _REMEMBER, keys, source, orders, loads)


def outdated(connection: sa.Connection, source: str, load: int) -> list[bytes]:
    """The keys of stored records that came in a load before ``load`` and not since."""
    older = sa.select(source_order.c.key).where(
        source_order.c.source == source,
        source_order.c.load < load,
        sa.exists().where(record.c.key == source_order.c.key),
    )
    return [bytes(key) for key in connection.scalars(older.order_by(source_order.c.key))]


def _load(row: Record | Deleted) -> int | None:
    return row.load if isinstance(row, Record) else None


def _numbers(values: Sequence[int | None]) -> str:
    return "{" + ",".join("NULL" if one is None else str(one) for one in values) + "}"


_KNOWN = Statement(
    "known_orders",
    ("bytea[]",),
    """
    SELECT o.key, o.value FROM kith.source_order o
     WHERE o.key = ANY($1) AND o.value IS NOT NULL
    """,
)
_OF_NO_LOAD = Statement(
    "of_no_load",
    ("bytea[]",),
    "UPDATE kith.source_order SET load = NULL WHERE key = ANY($1) AND load IS NOT NULL",
)
_REMEMBER = Statement(
    "remember_orders",
    ("bytea[]", "text", "bigint[]", "bigint[]"),
    """
    INSERT INTO kith.source_order AS o (key, source, value, load)
    SELECT x.key, $2, x.value, x.load FROM unnest($1, $3, $4) AS x(key, value, load) ORDER BY x.key
    ON CONFLICT (key) DO UPDATE
       SET value = greatest(o.value, excluded.value), load = excluded.load
     WHERE o.value IS DISTINCT FROM greatest(o.value, excluded.value)
        OR o.load IS DISTINCT FROM excluded.load
    """,
)
