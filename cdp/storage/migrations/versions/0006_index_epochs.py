"""Epochs of blind indexes: which version of the index key made each."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Until now no command made a second version of the index key.
    op.add_column(
        "blind_index",
        sa.Column("epoch", sa.SmallInteger(), nullable=False, server_default="1"),
        schema="kith_vault",
    )
    op.alter_column("blind_index", "epoch", server_default=None, schema="kith_vault")
    # A truncated index may be the same under two epochs, so the epoch is part of the key.
    op.drop_constraint(op.f("pk_blind_index"), "blind_index", schema="kith_vault")
    op.create_primary_key(
        op.f("pk_blind_index"),
        "blind_index",
        ["field", "epoch", "value", "record_id"],
        schema="kith_vault",
    )


def downgrade() -> None:
    raise RuntimeError("Rows of a newer epoch would be lost: restore a backup instead.")
