"""Key rotation: versions that nothing may be written under any more, and features' own version."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# Table, and what its new rows say of a key: (purpose, version), as SQL over the new rows.
WATCHED = (
    ("kith_keys.data_key", "tier", "key_version"),
    ("kith_vault.blind_index", "'blind-index'", "epoch"),
    ("kith.reject", "'rejects'", "get_byte(sealed, 1) * 256 + get_byte(sealed, 2)"),
    ("kith.shred", "'shreds'", "key_version"),
    ("kith.audit_checkpoint", "'audit-signing'", "key_version"),
)


def upgrade() -> None:
    op.create_table(
        "retired_key",
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("version", sa.SmallInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("purpose", "version", name=op.f("pk_retired_key")),
        schema="kith_keys",
    )
    for table, purpose, version in WATCHED:
        _watch(table, purpose, version)
    # Until now no command made a second version of the features key.
    op.add_column(
        "record",
        sa.Column("feature_key", sa.SmallInteger(), nullable=False, server_default="1"),
        schema="kith",
    )
    for name in ("feature_key", "block_key"):
        op.add_column(
            "workspace",
            sa.Column(name, sa.SmallInteger(), nullable=False, server_default="1"),
            schema="kith",
        )


def _watch(table: str, purpose: str, version: str) -> None:
    """Refuse rows under a retired version, once a statement: a slow writer must lose nothing.

    With the rights of the owner: not everybody who writes may look into the schema of keys.
    """
    name = table.partition(".")[2]
    op.execute(
        f"""
        CREATE FUNCTION kith_keys.refuse_retired_{name}() RETURNS trigger
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
        BEGIN
            IF EXISTS (SELECT FROM kith_keys.retired_key) AND EXISTS (
                SELECT FROM fresh JOIN kith_keys.retired_key r
                    ON r.purpose = {purpose} AND r.version = {version})
            THEN
                RAISE EXCEPTION 'a row of % is under a retired key version', TG_TABLE_NAME
                    USING ERRCODE = 'KR001';
            END IF;
            RETURN NULL;
        END $$
        """
    )
    for event in ("INSERT", "UPDATE"):
        op.execute(
            f"""
            CREATE TRIGGER refuse_retired_{event.lower()} AFTER {event} ON {table}
            REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT
            EXECUTE FUNCTION kith_keys.refuse_retired_{name}()
            """
        )


def downgrade() -> None:
    raise RuntimeError("Features under a newer key would be misread: restore a backup instead.")
