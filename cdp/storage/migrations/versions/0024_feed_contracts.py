"""What contracts ask of feeds as a whole, and what is wrong with what sources give."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "source_watch",
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("asked", sa.Text, nullable=False),
        sa.Column("newest", sa.Date),
        sa.Column("since", sa.Date, nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("source", name=op.f("pk_source_watch")),
        schema="kith",
    )
    op.create_table(
        "source_arrival",
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("source", "kind", "at", name=op.f("pk_source_arrival")),
        sa.CheckConstraint("kind IN ('hour', 'whole')", name=op.f("ck_source_arrival_kind")),
        schema="kith",
    )
    op.create_table(
        "source_finding",
        *(
            sa.Column(name, sa.Text, nullable=False)
            for name in ("source", "rule", "subject", "action")
        ),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("next_step", sa.Text, nullable=False),
        sa.Column("about", sa.Text, nullable=False),
        sa.Column("first_at", TIME, nullable=False),
        sa.Column("accepted_at", TIME),
        sa.PrimaryKeyConstraint("source", "rule", "subject", name=op.f("pk_source_finding")),
        schema="kith",
    )


def downgrade() -> None:
    for name in ("source_finding", "source_arrival", "source_watch"):
        op.drop_table(name, schema="kith")
