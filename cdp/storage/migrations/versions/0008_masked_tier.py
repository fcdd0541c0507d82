"""The masked tier: masked forms of fields, under a key of their own."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Records from before have no row: who holds the clear value masks it, nobody else shows it.
    op.create_table(
        "masked",
        sa.Column("record_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("masking", sa.Text(), nullable=False),
        sa.Column("fields", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("cells", postgresql.ARRAY(postgresql.BYTEA()), nullable=False),
        sa.ForeignKeyConstraint(
            ["record_id"],
            ["kith.record.id"],
            name=op.f("fk_masked_record_id_record"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("record_id", name=op.f("pk_masked")),
        schema="kith_vault",
    )


def downgrade() -> None:
    op.drop_table("masked", schema="kith_vault")
    op.execute("DELETE FROM kith_keys.data_key WHERE tier = 'masked'")
