"""Webhooks that had their effect are remembered for a while."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "hook_message",
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("message", sa.LargeBinary, nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("source", "message", name=op.f("pk_hook_message")),
        schema="kith",
    )
    op.create_index(op.f("ix_hook_message_until"), "hook_message", ["until"], schema="kith")


def downgrade() -> None:
    op.drop_table("hook_message", schema="kith")
