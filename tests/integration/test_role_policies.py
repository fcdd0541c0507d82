"""Which rows a role may see is what this release says, whatever an earlier one left behind."""

from typing import Any

import pytest
import sqlalchemy as sa

from cdp.storage import roles
from tests.integration.test_database_roles import POLICIES

pytestmark = pytest.mark.integration
KEPT = """
    SELECT p.polname, c.relname, p.oid, p.polcmd, cardinality(p.polroles) AS holders,
           pg_get_expr(p.polqual, p.polrelid) AS seen
      FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid ORDER BY 1, 2
"""


def policies(connection: sa.Connection) -> dict[tuple[str, str], tuple[Any, ...]]:
    """Of each role and table, the policy as PostgreSQL keeps it."""
    found = connection.execute(sa.text(KEPT)).all()
    return {(row.polname, row.relname): tuple(row[2:]) for row in found}


@pytest.mark.parametrize(
    "wider",
    [
        "ALTER POLICY kith_counter ON kith_keys.data_key USING (true)",
        "ALTER POLICY kith_counter ON kith_keys.data_key TO kith_counter, kith_contact",
        """
        DROP POLICY kith_counter ON kith_keys.data_key;
        CREATE POLICY kith_counter ON kith_keys.data_key FOR ALL TO kith_counter
            USING (tier = 'masked') WITH CHECK (true)
        """,
    ],
    ids=["rows", "roles", "writing"],
)
def test_a_policy_that_differs_is_replaced(engine: sa.Engine, wider: str) -> None:
    """Roles 1: a wider rule of before is narrowed when the database is prepared."""
    with engine.begin() as connection:
        before = policies(connection)
        connection.execute(sa.text(wider))
        roles.prepare(connection)
        after = policies(connection)
    place = ("kith_counter", "data_key")
    assert after[place][1:] == before[place][1:]
    del before[place], after[place]
    assert after == before


def test_a_release_that_says_otherwise_is_followed(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A release that changes which rows a role sees changes them in databases that are there."""
    table = "kith_vault.blind_index"
    changed = roles._ROWS[table] | {roles.COUNTER: "field = 'phone'"}
    monkeypatch.setattr(roles, "_ROWS", {**roles._ROWS, table: changed})
    with engine.begin() as connection:
        roles.prepare(connection)
        assert policies(connection)["kith_counter", "blind_index"][-1] == "(field = 'phone'::text)"
        connection.execute(sa.text("SET LOCAL ROLE kith_counter"))
        connection.execute(sa.text(f"SELECT value FROM {table}"))


def test_what_is_as_it_must_be_is_left_and_nothing_stays_behind(engine: sa.Engine) -> None:
    """Preparing again makes no policy anew, which would lock its table, and leaves no table."""
    tables = "SELECT count(*) FROM pg_class"
    with engine.begin() as connection:
        before, count = policies(connection), connection.scalar(sa.text(tables))
        roles.prepare(connection)
        assert policies(connection) == before
        assert connection.scalar(sa.text(tables)) == count
    assert len(before) == POLICIES
