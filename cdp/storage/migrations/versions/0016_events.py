"""Events: what happened, whose devices are whose, and what was left out."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "event",
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("message", sa.LargeBinary, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("name", sa.Text),
        sa.Column("subject", sa.LargeBinary, nullable=False),
        sa.Column("record_id", sa.BigInteger),
        sa.Column("properties", JSONB, nullable=False),
        sa.Column("purposes", sa.ARRAY(sa.Text), nullable=False),
        sa.Column("occurred_at", TIME, nullable=False),
        sa.Column("received_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("source", "message", name=op.f("pk_event")),
        sa.ForeignKeyConstraint(
            ["record_id"],
            ["kith.record.id"],
            name=op.f("fk_event_record_id_record"),
            ondelete="CASCADE",
        ),
        schema="kith",
    )
    op.create_index(op.f("ix_event_record_id"), "event", ["record_id"], schema="kith")
    op.create_index(
        "ix_event_subject",
        "event",
        ["subject"],
        schema="kith",
        postgresql_where=sa.text("record_id IS NULL"),
    )
    op.create_table(
        "event_device",
        sa.Column("subject", sa.LargeBinary, nullable=False),
        sa.Column("record_id", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("subject", name=op.f("pk_event_device")),
        sa.ForeignKeyConstraint(
            ["record_id"],
            ["kith.record.id"],
            name=op.f("fk_event_device_record_id_record"),
            ondelete="CASCADE",
        ),
        schema="kith",
    )
    op.create_index(
        op.f("ix_event_device_record_id"), "event_device", ["record_id"], schema="kith"
    )
    op.create_table(
        "event_tally",
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("rule", sa.Text, nullable=False),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("source", "day", "rule", name=op.f("pk_event_tally")),
        schema="kith",
    )
    # Whose rows they are is asked row by row; cdp.storage.roles.prepare makes the policies.
    for table in ("event", "event_device"):
        op.execute(f"ALTER TABLE kith.{table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE kith.{table} FORCE ROW LEVEL SECURITY")


def downgrade() -> None:
    for table in ("event_tally", "event_device", "event"):
        op.drop_table(table, schema="kith")
