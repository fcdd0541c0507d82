"""Alembic's entry: the connection is given, never made here."""

from alembic import context

from cdp.storage.schema import MAIN, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    include_schemas=True,
    version_table_schema=MAIN,
)
with context.begin_transaction():
    context.run_migrations()
