"""The tables of what people decided, and of where records were before."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from cdp.storage.metadata import MAIN, metadata

# What people decided about who is who. Undone is kept too: who took it back, and why.
decision = sa.Table(
    "decision",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),  # merge | split | not_same
    sa.Column("profiles", ARRAY(sa.Text), nullable=False),  # it was made about, at the time
    sa.Column("actor", sa.Text, nullable=False),  # principal
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("undone_at", sa.DateTime(timezone=True)),
    sa.Column("undone_by", sa.Text),
    sa.Column("undo_reason", sa.Text),
    sa.CheckConstraint(
        "num_nulls(undone_at, undone_by, undo_reason) IN (0, 3)", name="undone_by_somebody"
    ),
    schema=MAIN,
)

decision_link = sa.Table(
    "decision_link",
    metadata,
    sa.Column("decision_id", sa.ForeignKey(decision.c.id), nullable=False),
    sa.Column("low_id", sa.ForeignKey("kith.record.id", ondelete="CASCADE"), nullable=False),
    sa.Column("high_id", sa.ForeignKey("kith.record.id", ondelete="CASCADE"), nullable=False),
    sa.Column("kind", sa.Text, nullable=False),  # must | cannot
    sa.CheckConstraint("low_id < high_id", name="ordered"),
    sa.PrimaryKeyConstraint("decision_id", "low_id", "high_id"),
    sa.Index("ix_decision_link_low_id", "low_id"),
    sa.Index("ix_decision_link_high_id", "high_id"),
    schema=MAIN,
)

# Where a record was before: one row for each time it left a profile.
membership_history = sa.Table(
    "membership_history",
    metadata,
    sa.Column("record_id", sa.ForeignKey("kith.record.id", ondelete="CASCADE"), nullable=False),
    sa.Column("profile_id", sa.Text, nullable=False, index=True),  # it may be gone
    sa.Column("since", sa.DateTime(timezone=True), nullable=False),
    sa.Column("until", sa.DateTime(timezone=True), nullable=False),
    sa.Index("ix_membership_history_record_id", "record_id"),
    schema=MAIN,
)
