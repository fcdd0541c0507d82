"""Blocking keys in the database: who shares one, without opening every record.

They stand there twice, each time in the order in which they are looked for: ``kith.block``
says which records have a key, one row for each, and ``kith.record_block`` which keys a record
has, one row for all of them. So a full run fills both from one end to the other; an index on
the record in the first one would be filled at random places, at three times the price.

Invariants, each named by a test in ``tests/integration/test_block_rows.py``:
    1. Both say the same, whatever was written, and how much of it.
    2. What did not change is not written.
    3. Neither outlives its record.
"""

from collections.abc import Collection, Mapping

import numpy as np
import sqlalchemy as sa

from cdp.resolution.blocks import Blocked, number_keys
from cdp.storage import schema
from cdp.storage.bulk import copy_columns, copy_lists
from cdp.storage.statements import Statement, array, ask, send
from cdp.vault.keyed import BlockKeyer
from identity.columns import Ints, distinct
from identity.pairs import places
from identity.sharing import PhoneUse

FEW = 500  # keys that travel with the next statement


# ── all records ─────────────────────────────────────────────────────────────


def store_all(
    connection: sa.Connection, keyer: BlockKeyer, blocked: Blocked, use: PhoneUse, made: str
) -> None:
    """Make the stored keys and the counted numbers exactly these.

    What did not change is not written. The records are held: see `storing.keep_from_going`.

    Args:
        connection: in the transaction that stores.
        keyer: makes the stored form.
        blocked: the keys of all records, by key and then record.
        use: how many people use each number.
        made: what the keys depend on beside the records.
    """
    if connection.scalar(sa.text("SELECT EXISTS (SELECT FROM kith.record_block)")):
        connection.execute(_FRESH)
        _copy_by_record(connection, _fresh, blocked)
        for statement in (_DELETE, _INSERT, _DELETE_BY_RECORD, _INSERT_BY_RECORD):
            connection.execute(statement)
    else:
        _copy(connection, blocked)
    # Not TRUNCATE: a backup that began before must not see numbers of nobody.
    connection.execute(sa.text("DELETE FROM kith.shared_number"))
    counted = number_keys(keyer, use.phones), use.people.astype(np.int32)
    order = np.argsort(counted[0])
    counted = counted[0][order], counted[1][order]
    copy_columns(connection, schema.shared_number, counted, len(order))
    connection.execute(_MADE, {"made": made, "key": keyer.version})


def _copy(connection: sa.Connection, blocked: Blocked) -> None:
    """Append keys, by key and then record, to both tables."""
    copy_columns(connection, schema.block, (blocked.key, blocked.record), len(blocked))
    _copy_by_record(connection, schema.record_block, blocked)


def _copy_by_record(connection: sa.Connection, table: sa.Table, blocked: Blocked) -> None:
    order = np.argsort(blocked.record, kind="stable")  # of one record, by key
    mine = blocked.take(order)
    records = distinct(mine.record)
    starts = np.append(np.searchsorted(mine.record, records), len(mine))
    copy_lists(connection, table, records, starts, (mine.key, mine.rule.astype(np.int16)))


# ── a few records ───────────────────────────────────────────────────────────


def stored_of(connection: sa.Connection, records: Ints) -> Blocked:
    """The stored keys of these records."""
    if not len(records):
        return Blocked(records, records, records)
    rows = ask(connection, _STORED, array(records.tolist()))
    key, record, rule = np.array(rows, np.int64).reshape(-1, 3).T
    return Blocked(key, record, rule)


def store_some(connection: sa.Connection, old: Blocked, fresh: Blocked) -> None:
    """Give records the ``fresh`` keys instead of the ``old`` ones, which are all they have.

    More than ``FEW`` that they did not have are stored only of records that are held: see
    `storing.keep_from_going`.
    """
    gone, new = old.without(fresh), fresh.lacking(old)
    changed = distinct(np.concatenate((gone.record, fresh.record[new])))
    kept = places(changed, fresh.record) >= 0
    come, new = fresh.take(kept), new[kept]
    if len(gone):
        send(connection, _REMOVE, array(gone.key.tolist()), array(gone.record.tolist()))
    if np.count_nonzero(new) > FEW:
        send(connection, _REMOVE_BY_RECORD, array(changed.tolist()))
        copied = come.take(new)
        copy_columns(connection, schema.block, (copied.key, copied.record), len(copied))
        _copy_by_record(connection, schema.record_block, come)
        return
    if len(bare := changed[places(distinct(come.record), changed) < 0]):
        send(connection, _REMOVE_BY_RECORD, array(bare.tolist()))
    if len(come):
        columns = (come.key, come.record, come.rule, new)
        send(connection, _APPEND, *(array(one.tolist()) for one in columns))


def members(connection: sa.Connection, keys: Ints, most: Ints) -> tuple[Ints, Ints]:
    """The records with each of these stored keys: (place in ``keys``, record id).

    Args:
        connection: in a transaction.
        keys: stored keys.
        most: at most so many records of each. Shape (keys,).
    """
    if not len(keys):
        return keys, keys
    rows = ask(connection, _MEMBERS, array(keys.tolist()), array(most.tolist()))
    place, record = np.array(rows, np.int64).reshape(-1, 2).T
    return place, record


def people_on(connection: sa.Connection, numbers: Collection[int]) -> dict[int, int]:
    """How many people use each of these stored numbers; left out where it is one."""
    return dict(ask(connection, _PEOPLE, array(numbers))) if numbers else {}


def store_people(connection: sa.Connection, counted: Mapping[int, int]) -> None:
    """Write down how many people use each of these stored numbers."""
    gone = [key for key, people in counted.items() if people == 1]
    several = {key: people for key, people in counted.items() if people != 1}
    if gone:
        send(connection, _FORGET, array(gone))
    if several:
        send(connection, _COUNT, array(several), array(several.values()))


_MADE = sa.text("UPDATE kith.workspace SET blocked_with = :made, block_key = :key")
_FRESH = sa.text(
    "CREATE TEMPORARY TABLE fresh_block (record_id bigint PRIMARY KEY, keys bigint[], "
    "rules smallint[]) ON COMMIT DROP"
)
_fresh = sa.Table(
    "fresh_block",
    sa.MetaData(),
    *(sa.Column(one.name, one.type) for one in schema.record_block.columns),
)
# The keys of a record stand in one order: equal rows are equal keys under equal rules.
_DELETE = sa.text(
    """
    DELETE FROM kith.block b USING (
        SELECT k.key, s.record_id
        FROM kith.record_block s LEFT JOIN fresh_block f ON f.record_id = s.record_id
        CROSS JOIN unnest(s.keys) AS k(key)
        WHERE f.keys IS DISTINCT FROM s.keys AND NOT coalesce(k.key = ANY (f.keys), FALSE)
    ) gone
    WHERE b.key = gone.key AND b.record_id = gone.record_id
    """
)
_INSERT = sa.text(
    """
    INSERT INTO kith.block (key, record_id)
    SELECT k.key, f.record_id
    FROM fresh_block f LEFT JOIN kith.record_block s ON s.record_id = f.record_id
    CROSS JOIN unnest(f.keys) AS k(key)
    WHERE f.keys IS DISTINCT FROM s.keys AND NOT coalesce(k.key = ANY (s.keys), FALSE)
    ORDER BY 1, 2
    """
)
_DELETE_BY_RECORD = sa.text(
    """
    DELETE FROM kith.record_block s WHERE NOT EXISTS (
        SELECT FROM fresh_block f
        WHERE f.record_id = s.record_id AND f.keys = s.keys AND f.rules = s.rules)
    """
)
_INSERT_BY_RECORD = sa.text(
    """
    INSERT INTO kith.record_block (record_id, keys, rules)
    SELECT f.* FROM fresh_block f WHERE NOT EXISTS (
        SELECT FROM kith.record_block s WHERE s.record_id = f.record_id)
    ORDER BY f.record_id
    """
)
# A record that is destroyed at this moment gets none: no foreign key would refuse it.
_APPEND = Statement(
    "append_blocks",
    ("bigint[]", "bigint[]", "smallint[]", "boolean[]"),
    """
    WITH told AS MATERIALIZED (
        SELECT x.* FROM unnest($1, $2, $3, $4) AS x(key, id, rule, is_new)
        JOIN kith.record r ON r.id = x.id FOR KEY SHARE OF r
    ), by_key AS (
        INSERT INTO kith.block (key, record_id) SELECT key, id FROM told WHERE is_new
    )
    INSERT INTO kith.record_block (record_id, keys, rules)
    SELECT id, array_agg(key ORDER BY key), array_agg(rule ORDER BY key) FROM told GROUP BY id
    ON CONFLICT (record_id) DO UPDATE SET keys = excluded.keys, rules = excluded.rules
    """,
)
_STORED = Statement(
    "blocks_of",
    ("bigint[]",),
    "SELECT k.key, s.record_id, k.rule FROM kith.record_block s "
    "CROSS JOIN unnest(s.keys, s.rules) AS k(key, rule) WHERE s.record_id = ANY($1)",
)
_REMOVE = Statement(
    "remove_blocks",
    ("bigint[]", "bigint[]"),
    "DELETE FROM kith.block b USING unnest($1, $2) AS x(key, id) "
    "WHERE b.key = x.key AND b.record_id = x.id",
)
_REMOVE_BY_RECORD = Statement(
    "remove_blocks_of",
    ("bigint[]",),
    "DELETE FROM kith.record_block WHERE record_id = ANY($1)",
)
_MEMBERS = Statement(
    "members",
    ("bigint[]", "bigint[]"),
    "SELECT x.place - 1, b.record_id FROM unnest($1, $2) "
    "WITH ORDINALITY AS x(key, most, place) CROSS JOIN LATERAL "
    "(SELECT record_id FROM kith.block WHERE key = x.key LIMIT x.most) b",
)
_PEOPLE = Statement(
    "people_on",
    ("bigint[]",),
    "SELECT x.key, s.people FROM unnest($1) AS x(key) CROSS JOIN LATERAL "
    "(SELECT people FROM kith.shared_number WHERE key = x.key LIMIT 1) s",
)
_FORGET = Statement(
    "forget_people", ("bigint[]",), "DELETE FROM kith.shared_number WHERE key = ANY($1)"
)
_COUNT = Statement(
    "count_people",
    ("bigint[]", "integer[]"),
    "INSERT INTO kith.shared_number (key, people) SELECT * FROM unnest($1, $2) "
    "ON CONFLICT (key) DO UPDATE SET people = excluded.people",
)
