"""Blocking keys at rest, so that a few records can be resolved without opening all."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "block",
        sa.Column("key", sa.BigInteger(), nullable=False),
        sa.Column("record_id", sa.BigInteger(), nullable=False),
        sa.Column("rule", sa.SmallInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["record_id"],
            ["kith.record.id"],
            name=op.f("fk_block_record_id_record"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("key", "record_id", name=op.f("pk_block")),
        schema="kith",
    )
    op.create_index("ix_block_record_id", "block", ["record_id"], schema="kith")
    op.create_table(
        "shared_number",
        sa.Column("key", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("people", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_shared_number")),
        schema="kith",
    )
    op.add_column("workspace", sa.Column("blocked_with", sa.Text()), schema="kith")
    # Which pairs a rule had brought together was not kept; the next resolve is a full one,
    # because blocked_with is empty, and writes every pair anew.
    op.add_column(
        "edge",
        sa.Column("direct", sa.Boolean(), nullable=False, server_default=sa.true()),
        schema="kith",
    )
    op.alter_column("edge", "direct", server_default=None, schema="kith")


def downgrade() -> None:
    op.drop_column("edge", "direct", schema="kith")
    op.drop_column("workspace", "blocked_with", schema="kith")
    op.drop_table("shared_number", schema="kith")
    op.drop_table("block", schema="kith")
