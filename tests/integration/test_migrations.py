"""The database's schema and the code's schema are one."""

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from cdp.storage import migrate
from cdp.storage.schema import MAIN, metadata

pytestmark = pytest.mark.integration


def test_the_migrations_make_exactly_the_declared_schema(engine: sa.Engine) -> None:
    """After all migrations nothing differs from what the code declares."""
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"include_schemas": True, "version_table_schema": MAIN}
        )
        assert compare_metadata(context, metadata) == []


def test_migrating_twice_changes_nothing(engine: sa.Engine) -> None:
    """A current database is left alone."""
    assert migrate.is_current(engine)
    migrate.upgrade(engine)
    assert migrate.is_current(engine)
