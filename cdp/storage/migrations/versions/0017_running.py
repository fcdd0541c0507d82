"""Running: what is due, who has it, how it ended; runs and events found by time."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def _time(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True))


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False, server_default="0")


def upgrade() -> None:
    op.create_table(
        "job",
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("schedule", sa.Text),
        _time("due_at"),
        _time("last_due_at"),
        sa.Column("worker", sa.Text),
        _time("leased_until"),
        _count("lease"),
        _time("started_at"),
        _time("ended_at"),
        _time("succeeded_at"),
        _count("failures"),
        sa.Column("rule", sa.Text),
        sa.Column("next_step", sa.Text),
        _time("paused_at"),
        _count("run_id"),
        _count("changes"),
        _count("waiting"),
        sa.CheckConstraint("kind IN ('sync', 'resolve')", name=op.f("ck_job_kind")),
        sa.CheckConstraint(
            "(kind = 'resolve') = (source = '')", name=op.f("ck_job_of_a_source")
        ),
        sa.CheckConstraint(
            "(worker IS NULL) = (leased_until IS NULL)", name=op.f("ck_job_leased_by_somebody")
        ),
        sa.PrimaryKeyConstraint("kind", "source", name=op.f("pk_job")),
        schema="kith",
    )
    # The newest runs of a source are asked for at every sync and every look at the figures.
    op.create_index("ix_sync_run_source_id", "sync_run", ["source", "id"], schema="kith")
    op.drop_index(op.f("ix_sync_run_source"), "sync_run", schema="kith")
    # Events come in the order of time: a few pages tell which are of the last day.
    op.create_index(
        "ix_event_received_at",
        "event",
        ["received_at"],
        schema="kith",
        postgresql_using="brin",
    )


def downgrade() -> None:
    op.drop_index("ix_event_received_at", "event", schema="kith")
    op.create_index(op.f("ix_sync_run_source"), "sync_run", ["source"], schema="kith")
    op.drop_index("ix_sync_run_source_id", "sync_run", schema="kith")
    op.drop_table("job", schema="kith")
