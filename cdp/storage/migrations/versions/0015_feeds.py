"""Feeds: where each stands, how new what it gave is, and what it deleted."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    for name in ("deleted", "superseded"):
        op.add_column(
            "sync_run",
            sa.Column(name, sa.BigInteger, nullable=False, server_default="0"),
            schema="kith",
        )
    op.create_table(
        "source_state",
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("read_as", sa.Text, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("newest_at", TIME),
        sa.Column("at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("source", name=op.f("pk_source_state")),
        schema="kith",
    )
    op.create_table(
        "source_order",
        sa.Column("key", sa.LargeBinary, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("value", sa.BigInteger),
        sa.Column("load", sa.BigInteger),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_source_order")),
        schema="kith",
    )
    op.create_index(op.f("ix_source_order_source"), "source_order", ["source"], schema="kith")
    # A state is under the reject key: one that was retired is refused, as a rejected row is.
    for event in ("INSERT", "UPDATE"):
        op.execute(
            f"""
            CREATE TRIGGER refuse_retired_{event.lower()} AFTER {event} ON kith.source_state
            REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT
            EXECUTE FUNCTION kith_keys.refuse_retired_reject()
            """
        )


def downgrade() -> None:
    op.drop_table("source_order", schema="kith")
    op.drop_table("source_state", schema="kith")
    for name in ("superseded", "deleted"):
        op.drop_column("sync_run", name, schema="kith")
