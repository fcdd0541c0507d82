"""Devices of the destroyed are known as such."""

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

KEY = "fk_event_device_record_id_record"


def upgrade() -> None:
    _refer("SET NULL")
    op.alter_column("event_device", "record_id", nullable=True, schema="kith")


def downgrade() -> None:
    op.execute("DELETE FROM kith.event_device WHERE record_id IS NULL")
    op.alter_column("event_device", "record_id", nullable=False, schema="kith")
    _refer("CASCADE")


def _refer(ondelete: str) -> None:
    op.drop_constraint(op.f(KEY), "event_device", schema="kith")
    op.create_foreign_key(
        op.f(KEY),
        "event_device",
        "record",
        ["record_id"],
        ["id"],
        source_schema="kith",
        referent_schema="kith",
        ondelete=ondelete,
    )
