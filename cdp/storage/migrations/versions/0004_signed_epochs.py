"""Who put an epoch in force, when and why."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Empty for every epoch so far: a resolve learnt it and put it in force itself.
    op.add_column("epoch", sa.Column("signed_by", sa.Text()), schema="kith")
    op.add_column("epoch", sa.Column("reason", sa.Text()), schema="kith")
    op.add_column("epoch", sa.Column("signed_at", sa.DateTime(timezone=True)), schema="kith")
    op.create_check_constraint(
        op.f("ck_epoch_signed_by_somebody"),
        "epoch",
        "num_nulls(signed_by, reason, signed_at) IN (0, 3)",
        schema="kith",
    )


def downgrade() -> None:
    raise RuntimeError("Signatures under epochs would be lost: restore a backup instead.")
