"""Keys and edges name records without a foreign key, and still never outlive one.

What the trigger of migration 0009 and the statements of blocks and edges promise together.
"""

import threading
from collections.abc import Callable

import numpy as np
import pytest
import sqlalchemy as sa

from cdp.resolution import block_rows, edges
from cdp.resolution.blocks import Blocked
from cdp.workspace import Workspace
from identity.comparisons import COMPARISONS
from identity.pairs import Bools, Pairs

pytestmark = pytest.mark.integration

KEY = 77
LEFT_BEHIND = """
    SELECT (SELECT count(*) FROM kith.block b WHERE NOT EXISTS (
               SELECT FROM kith.record r WHERE r.id = b.record_id))
         + (SELECT count(*) FROM kith.record_block b WHERE NOT EXISTS (
               SELECT FROM kith.record r WHERE r.id = b.record_id))
         + (SELECT count(*) FROM kith.edge e WHERE
               NOT EXISTS (SELECT FROM kith.record r WHERE r.id = e.low_id)
               OR NOT EXISTS (SELECT FROM kith.record r WHERE r.id = e.high_id))
"""
LONE = """
    SELECT r.id FROM kith.record r WHERE NOT EXISTS (
        SELECT FROM kith.profile p WHERE p.anchor_id = r.id) ORDER BY r.id
"""


def numbers(workspace: Workspace, query: str, **given: object) -> list[int]:
    with workspace.engine.connect() as connection:
        return list(connection.scalars(sa.text(query), given))


def keys_of(records: list[int]) -> Blocked:
    count = len(records)
    return Blocked(np.full(count, KEY), np.array(records), np.ones(count, np.int64))


def taking_more(connection: sa.Connection, records: list[int]) -> tuple[Blocked, Blocked]:
    """The keys that records have, and those with one more each."""
    old = block_rows.stored_of(connection, np.array(records))
    fresh = old.and_also(keys_of(records))
    return old, fresh.take(np.lexsort((fresh.record, fresh.key)))


def an_edge(low: int, high: int) -> tuple[Pairs, Bools]:
    levels = np.zeros((1, len(COMPARISONS)), np.int8)
    bits = np.zeros((1, len(COMPARISONS)))
    pair = Pairs(np.array([low]), np.array([high]), np.array([9.0]), levels, bits)
    return pair, np.array([True])


def test_a_deleted_record_takes_its_keys_and_edges_along(copied: Workspace) -> None:
    """Migrations 0009 and 0025: the trigger does it for many records at once."""
    going = numbers(copied, LONE)[:200]
    assert len(going) > 20
    here = "SELECT count(*) FROM kith.block WHERE record_id = ANY(:ids)"
    beside = "SELECT count(*) FROM kith.edge WHERE low_id = ANY(:ids) OR high_id = ANY(:ids)"
    assert numbers(copied, here, ids=going)[0] > 0
    assert numbers(copied, beside, ids=going)[0] > 0
    others = numbers(copied, "SELECT count(*) FROM kith.block WHERE record_id <> ALL(:ids)",
                     ids=going)  # fmt: skip
    with copied.engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM kith.record WHERE id = ANY(:ids)"), {"ids": going})
    assert numbers(copied, LEFT_BEHIND) == [0]
    assert numbers(copied, "SELECT count(*) FROM kith.block") == others


@pytest.mark.parametrize("what", ["keys", "edges"])
def test_a_record_that_is_destroyed_at_this_moment_gets_nothing(
    copied: Workspace, what: str
) -> None:
    """Who stores evidence waits for who destroys the record, and then stores none of it."""
    going, staying = numbers(copied, LONE)[:2]
    store: dict[str, Callable[[sa.Connection], None]] = {
        "keys": lambda connection: block_rows.store_some(
            connection, *taking_more(connection, [going, staying])
        ),
        "edges": lambda connection: edges.store_some(
            connection, {}, an_edge(going, staying), "an epoch"
        ),
    }
    ended = threading.Event()

    def write() -> None:
        with copied.engine.begin() as connection:
            store[what](connection)
        ended.set()

    writer = threading.Thread(target=write)
    with copied.engine.begin() as connection:
        gone = sa.text("DELETE FROM kith.record WHERE id = :id")
        connection.execute(gone, {"id": going})
        writer.start()
        assert not ended.wait(0.5)  # it waits
    writer.join(20)
    assert ended.is_set()
    assert numbers(copied, LEFT_BEHIND) == [0]
    stored = numbers(copied, "SELECT record_id FROM kith.block WHERE key = :key", key=KEY)
    assert stored == ([staying] if what == "keys" else [])
