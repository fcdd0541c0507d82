"""Whose a rejected row of a feed may be is known without opening it."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "reject", sa.Column("record_keys", postgresql.ARRAY(postgresql.BYTEA)), schema="kith"
    )
    op.create_index(
        op.f("ix_reject_record_keys"),
        "reject",
        ["record_keys"],
        schema="kith",
        postgresql_using="gin",
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_reject_record_keys"), "reject", schema="kith")
    op.drop_column("reject", "record_keys", schema="kith")
