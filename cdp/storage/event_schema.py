"""The tables of events: what happened, whose devices are whose, and what was left out.

No column holds a clear personal value: who it was is a keyed hash, and of what happened only the
declared numbers, dates and categories are kept.
"""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, JSONB

from cdp.storage.metadata import MAIN, metadata

event = sa.Table(
    "event",
    metadata,
    sa.Column("source", sa.Text, nullable=False),
    # Keyed hash of the sender's name for the message: the same message has an effect once.
    sa.Column("message", BYTEA, nullable=False),
    # identify | track | page | screen | group | alias
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("name", sa.Text),  # as declared; null: it only said who somebody is
    # Keyed hash of (source, record id): equal to record.key where the record is stored.
    sa.Column("subject", BYTEA, nullable=False),
    # Null: of a device of which nobody knows whose it is, or of a record that is still to come.
    sa.Column("record_id", sa.ForeignKey("kith.record.id", ondelete="CASCADE"), index=True),
    sa.Column("properties", JSONB, nullable=False),  # declared ones alone
    sa.Column("purposes", ARRAY(sa.Text), nullable=False),  # that its own consent grants
    sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint("source", "message"),
    sa.Index("ix_event_subject", "subject", postgresql_where=sa.text("record_id IS NULL")),
    # They come in the order of time: few pages tell which are of the last day.
    sa.Index("ix_event_received_at", "received_at", postgresql_using="brin"),
    schema=MAIN,
)

# Whose device it is, by the last trusted word. Further events of the device are that person's.
# Of nobody: of somebody who was destroyed. Nothing more is taken in of it.
event_device = sa.Table(
    "event_device",
    metadata,
    sa.Column("subject", BYTEA, primary_key=True),  # as event.subject, of the device
    sa.Column(
        "record_id",
        sa.ForeignKey("kith.record.id", ondelete="SET NULL"),
        index=True,
    ),
    schema=MAIN,
)

# How often a rule left something out, so that nothing is lost unnoticed.
event_tally = sa.Table(
    "event_tally",
    metadata,
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("day", sa.Date, nullable=False),
    sa.Column("rule", sa.Text, nullable=False),
    sa.Column("count", sa.BigInteger, nullable=False),
    sa.PrimaryKeyConstraint("source", "day", "rule"),
    schema=MAIN,
)
