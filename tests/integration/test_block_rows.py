"""Blocking keys in the database, by key and by record: the invariants of block_rows."""

from collections.abc import Callable

import numpy as np
import pytest
import sqlalchemy as sa
from alembic import command

from cdp.resolution import block_rows
from cdp.resolution.blocks import Blocked
from cdp.storage import migrate
from cdp.vault.keyed import BlockKeyer
from cdp.workspace import Workspace
from identity.sharing import PhoneUse

pytestmark = pytest.mark.integration

KEY = 77
NOBODY = np.zeros(0, np.int64)
BY_KEY = "SELECT key, record_id FROM kith.block ORDER BY 1, 2"
BY_RECORD = (
    "SELECT k.key, s.record_id, k.rule FROM kith.record_block s "
    "CROSS JOIN unnest(s.keys, s.rules) AS k(key, rule) ORDER BY 1, 2"
)
PLACES = {
    name: f"SELECT ctid::text || t FROM kith.{name} AS t" for name in ("block", "record_block")
}
EVERYBODY = "SELECT record_id FROM kith.record_block ORDER BY 1"
Change = Callable[[Blocked], Blocked]


def rows(workspace: Workspace, query: str) -> list[tuple[int, ...]]:
    with workspace.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(sa.text(query))]


def everything(workspace: Workspace) -> Blocked:
    """All keys as they are stored, of which both tables say the same."""
    found = rows(workspace, BY_RECORD)
    assert [row[:2] for row in found] == rows(workspace, BY_KEY)
    assert rows(workspace, "SELECT record_id FROM kith.record_block WHERE keys <> "
                "ARRAY(SELECT unnest(keys) ORDER BY 1)") == []  # fmt: skip
    return Blocked(*np.array(found, np.int64).reshape(-1, 3).T)


def ordered(keys: Blocked) -> Blocked:
    return keys.take(np.lexsort((keys.record, keys.key)))


def store_all(workspace: Workspace, keys: Blocked) -> None:
    with workspace.engine.begin() as connection:
        keyer = BlockKeyer(workspace.keyring)
        block_rows.store_all(connection, keyer, keys, PhoneUse(NOBODY, NOBODY), "made by a test")


def store_some(workspace: Workspace, old: Blocked, fresh: Blocked) -> None:
    with workspace.engine.begin() as connection:
        block_rows.store_some(connection, old, fresh)


def first_only(keys: Blocked) -> Blocked:
    """One key for each record."""
    return keys.take(np.sort(np.unique(keys.record, return_index=True)[1]))


def one_more(keys: Blocked) -> Blocked:
    records = np.unique(keys.record)
    more = Blocked(np.full(len(records), KEY), records, np.ones(len(records), np.int64))
    return ordered(keys.and_also(more))


def other(keys: Blocked) -> Blocked:
    """Not one key that there was."""
    return ordered(Blocked(keys.key ^ KEY, keys.record, keys.rule))


CHANGES: dict[str, Change] = {
    "nothing": lambda keys: keys,
    "all keys": lambda keys: keys.take(NOBODY),
    "all but one": first_only,
    "one more": one_more,
    "other keys": other,
}


@pytest.mark.parametrize("records", [1, 3, 400])
@pytest.mark.parametrize("change", CHANGES)
def test_by_key_and_by_record_is_said_the_same(
    copied: Workspace, records: int, change: str
) -> None:
    """Invariant 1: for few keys, which travel with the next statement, and for many."""
    before = everything(copied)
    some = np.unique(before.record)[:records]
    mine, others = before.of(some), before.take(np.isin(before.record, some, invert=True))
    fresh = CHANGES[change](mine)
    store_some(copied, mine, fresh)
    expected = ordered(fresh.and_also(others))
    after = everything(copied)
    for name in ("key", "record", "rule"):
        assert np.array_equal(getattr(after, name), getattr(expected, name)), name
    store_some(copied, fresh, mine)
    assert np.array_equal(everything(copied).key, before.key)


@pytest.mark.parametrize("change", CHANGES)
def test_all_keys_are_exactly_those_of_the_last_run(copied: Workspace, change: str) -> None:
    """Invariant 1: over the keys of the run before, of which some records are gone."""
    before = everything(copied)
    expected = CHANGES[change](before.take(before.record % 5 > 0))
    store_all(copied, expected)
    after = everything(copied)
    assert np.array_equal(after.key, expected.key)
    assert np.array_equal(after.record, expected.record)
    assert np.array_equal(after.rule, expected.rule)


def test_keys_that_did_not_change_are_not_written_again(copied: Workspace) -> None:
    """Invariant 2: a full run over the same records leaves the rows where they are."""
    keys = everything(copied)
    before = {name: set(rows(copied, query)) for name, query in PLACES.items()}
    store_all(copied, keys)
    assert {name: set(rows(copied, query)) for name, query in PLACES.items()} == before
    moved = Blocked(np.append(keys.key[1:], KEY), np.append(keys.record[1:], keys.record[0]),
                    np.append(keys.rule[1:], 1))  # fmt: skip
    store_all(copied, ordered(moved))
    for name, query in PLACES.items():
        after = set(rows(copied, query))
        assert len(before[name] - after) == len(after - before[name]) == 1, name


def test_a_change_of_one_record_writes_one_row_of_it(copied: Workspace) -> None:
    """Invariant 2: and of the other table only what came and went."""
    keys = everything(copied)
    mine = keys.of(np.unique(keys.record)[:1])
    before = {name: set(rows(copied, query)) for name, query in PLACES.items()}
    store_some(copied, mine, mine)
    assert {name: set(rows(copied, query)) for name, query in PLACES.items()} == before
    store_some(copied, mine, one_more(mine))
    for name, gone in (("block", 0), ("record_block", 1)):
        after = set(rows(copied, PLACES[name]))
        assert (len(before[name] - after), len(after - before[name])) == (gone, 1), name


def test_a_record_takes_both_along(copied: Workspace) -> None:
    """Invariant 3: and of others nothing goes."""
    keys = everything(copied)
    lone = rows(copied, "SELECT r.id FROM kith.record r WHERE NOT EXISTS "
                "(SELECT FROM kith.profile p WHERE p.anchor_id = r.id) ORDER BY 1")  # fmt: skip
    going = np.array(lone, np.int64).reshape(-1)[:50]
    with copied.engine.begin() as connection:
        gone = sa.text("DELETE FROM kith.record WHERE id = ANY(:ids)")
        connection.execute(gone, {"ids": going.tolist()})
    left = keys.take(np.isin(keys.record, going, invert=True))
    assert len(left) < len(keys)
    after = everything(copied)
    assert np.array_equal(after.key, left.key)
    assert np.array_equal(after.record, left.record)


def test_an_older_database_gets_the_same_keys_and_gives_them_back(copied: Workspace) -> None:
    """Migration 0025: what stood by key stands by record too, there and back."""
    before = rows(copied, BY_RECORD)
    configuration = migrate._configuration()
    with copied.engine.begin() as connection:
        configuration.attributes["connection"] = connection
        command.downgrade(configuration, "0024")
    assert rows(copied, "SELECT key, record_id, rule FROM kith.block ORDER BY 1, 2") == before
    going = before[0][1]
    with copied.engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM kith.block WHERE record_id = :id"), {"id": going})
    migrate.upgrade(copied.engine)
    everything(copied)
    assert rows(copied, BY_RECORD) == [row for row in before if row[1] != going]
