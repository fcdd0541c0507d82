"""What people decide about who is who, and where each record was before."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "decision",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("profiles", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("undone_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("undone_by", sa.Text(), nullable=True),
        sa.Column("undo_reason", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "num_nulls(undone_at, undone_by, undo_reason) IN (0, 3)",
            name=op.f("ck_decision_undone_by_somebody"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_decision")),
        schema="kith",
    )
    op.create_table(
        "decision_link",
        sa.Column("decision_id", sa.BigInteger(), nullable=False),
        sa.Column("low_id", sa.BigInteger(), nullable=False),
        sa.Column("high_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.CheckConstraint("low_id < high_id", name=op.f("ck_decision_link_ordered")),
        sa.ForeignKeyConstraint(
            ["decision_id"],
            ["kith.decision.id"],
            name=op.f("fk_decision_link_decision_id_decision"),
        ),
        sa.ForeignKeyConstraint(
            ["low_id"],
            ["kith.record.id"],
            name=op.f("fk_decision_link_low_id_record"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["high_id"],
            ["kith.record.id"],
            name=op.f("fk_decision_link_high_id_record"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("decision_id", "low_id", "high_id", name=op.f("pk_decision_link")),
        schema="kith",
    )
    op.create_index("ix_decision_link_low_id", "decision_link", ["low_id"], schema="kith")
    op.create_index("ix_decision_link_high_id", "decision_link", ["high_id"], schema="kith")
    op.create_table(
        "membership_history",
        sa.Column("record_id", sa.BigInteger(), nullable=False),
        sa.Column("profile_id", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["record_id"],
            ["kith.record.id"],
            name=op.f("fk_membership_history_record_id_record"),
            ondelete="CASCADE",
        ),
        schema="kith",
    )
    op.create_index(
        "ix_membership_history_record_id", "membership_history", ["record_id"], schema="kith"
    )
    op.create_index(
        op.f("ix_membership_history_profile_id"),
        "membership_history",
        ["profile_id"],
        schema="kith",
    )
    op.add_column(
        "membership", sa.Column("since", sa.DateTime(timezone=True), nullable=True), schema="kith"
    )
    # Earlier moves were not kept: what is known is that the record is there since its
    # profile last took another in or came into being.
    op.execute(
        """
        UPDATE kith.membership m SET since = coalesce(
            (SELECT max(e.at) FROM kith.profile_event e WHERE e.profile_id = m.profile_id),
            (SELECT r.first_seen_at FROM kith.record r WHERE r.id = m.record_id))
        """
    )
    op.alter_column("membership", "since", nullable=False, schema="kith")


def downgrade() -> None:
    raise RuntimeError("Decisions of people would be lost: restore a backup instead.")
