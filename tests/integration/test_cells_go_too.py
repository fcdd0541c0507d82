"""Cells and blind indexes name records without a foreign key, and still never outlive one.

What the trigger of migration 0022 and whoever writes cells promise together.
"""

import pytest
import sqlalchemy as sa

from cdp.workspace import Workspace

pytestmark = pytest.mark.integration

TABLES = ("kith_vault.contact", "kith_vault.masked", "kith_vault.blind_index", "kith_keys.data_key")
LONE = """
    SELECT r.id FROM kith.record r WHERE NOT EXISTS (
        SELECT FROM kith.profile p WHERE p.anchor_id = r.id) ORDER BY r.id
"""


def numbers(workspace: Workspace, query: str, **given: object) -> list[int]:
    with workspace.engine.connect() as connection:
        return list(connection.scalars(sa.text(query), given))


def rows_beside(workspace: Workspace, ids: list[int]) -> dict[str, int]:
    """How many rows of these records each table has."""
    asked = "SELECT count(*) FROM {} WHERE record_id = ANY(:ids)"
    return {table: numbers(workspace, asked.format(table), ids=ids)[0] for table in TABLES}


def test_a_deleted_record_takes_its_cells_and_indexes_along(copied: Workspace) -> None:
    """Migration 0022: the trigger does what the foreign keys did, for many records at once."""
    going = numbers(copied, LONE)[:200]
    staying = numbers(copied, "SELECT id FROM kith.record WHERE id <> ALL(:ids)", ids=going)
    before, beside = rows_beside(copied, going), rows_beside(copied, staying)
    assert all(before.values())
    with copied.engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM kith.record WHERE id = ANY(:ids)"), {"ids": going})
    assert rows_beside(copied, going) == dict.fromkeys(TABLES, 0)
    assert rows_beside(copied, staying) == beside


def test_a_data_key_needs_its_record(copied: Workspace) -> None:
    """The keys kept their foreign key: without a record there is none."""
    stray = sa.text(
        "INSERT INTO kith_keys.data_key SELECT 987654321, tier, key_version, wrapped "
        "FROM kith_keys.data_key LIMIT 1"
    )
    with pytest.raises(sa.exc.IntegrityError), copied.engine.begin() as connection:
        connection.execute(stray)
