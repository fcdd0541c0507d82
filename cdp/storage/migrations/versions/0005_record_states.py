"""Frozen records, the shred ledger, and what was scrubbed of shredded records."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "record",
        sa.Column("state", sa.Text(), nullable=False, server_default="active"),
        schema="kith",
    )
    op.create_check_constraint(
        op.f("ck_record_state"), "record", "state IN ('active', 'frozen')", schema="kith"
    )
    op.create_index(
        "ix_record_frozen",
        "record",
        ["id"],
        schema="kith",
        postgresql_where=sa.text("state = 'frozen'"),
    )
    op.add_column(
        "sync_run",
        sa.Column("shredded", sa.BigInteger(), nullable=False, server_default="0"),
        schema="kith",
    )
    op.create_table(
        "shred",
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", postgresql.BYTEA(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("key_version", sa.SmallInteger(), nullable=False),
        sa.Column("mac", postgresql.BYTEA(), nullable=False),
        sa.CheckConstraint("kind IN ('shred', 'readmit')", name=op.f("ck_shred_kind")),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_shred")),
        schema="kith",
    )
    op.create_index("ix_shred_key", "shred", ["key", "sequence"], schema="kith")
    op.create_table(
        "scrub",
        sa.Column("relation", sa.Text(), nullable=False),
        sa.Column("through", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("relation", name=op.f("pk_scrub")),
        schema="kith",
    )


def downgrade() -> None:
    raise RuntimeError("Shredded records could come back: restore a backup instead.")
