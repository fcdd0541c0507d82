"""Bring a database to this version's schema."""

from functools import cache
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from cdp.storage import roles
from cdp.storage.schema import MAIN

FOLDER = Path(__file__).parent / "migrations"


def upgrade(engine: sa.Engine) -> None:
    """Apply what is missing, in one transaction; a current database is left alone.

    The group roles are granted what they may read, those that this user may not make left out.
    """
    with engine.begin() as connection:
        # Two first commands at once would both find an empty database.
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(hashtext('kith.migrate'))"))
        connection.execute(sa.text(f"CREATE SCHEMA IF NOT EXISTS {MAIN}"))
        if _revision(connection) != _head():
            configuration = _configuration()
            configuration.attributes["connection"] = connection
            command.upgrade(configuration, "head")
        roles.prepare(connection)


def is_current(engine: sa.Engine) -> bool:
    """Tell whether the database has exactly this version's schema."""
    with engine.connect() as connection:
        return _revision(connection) == _head()


def _revision(connection: sa.Connection) -> str | None:
    """The version of the schema that the database has; None: it has none."""
    context = MigrationContext.configure(connection, opts={"version_table_schema": MAIN})
    return context.get_current_revision()


@cache
def _head() -> str | None:
    """This version's schema. Every migration is loaded to know it, so it is asked for once."""
    return ScriptDirectory.from_config(_configuration()).get_current_head()


def _configuration() -> Config:
    configuration = Config()
    configuration.set_main_option("script_location", str(FOLDER))
    return configuration
