"""The tables of how sources are read: runs, where a feed stands, how new what it gave is."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import BYTEA

from cdp.storage.metadata import MAIN, metadata

sync_run = sa.Table(
    "sync_run",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("fingerprint", sa.Text, nullable=False),  # of the content read
    sa.Column("declaration", sa.Text, nullable=False),  # of the mapping it was read with
    sa.Column("position", sa.BigInteger, nullable=False),  # rows up to here are committed
    sa.Column("read", sa.BigInteger, nullable=False),
    sa.Column("added", sa.BigInteger, nullable=False),
    sa.Column("changed", sa.BigInteger, nullable=False),
    sa.Column("unchanged", sa.BigInteger, nullable=False),
    sa.Column("rejected", sa.BigInteger, nullable=False),  # whole rows
    sa.Column("set_aside", sa.BigInteger, nullable=False),  # single fields
    # Rows of records that stand as destroyed: see cdp/storage/erasure_schema.py.
    sa.Column("shredded", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("deleted", sa.BigInteger, nullable=False, server_default="0"),  # by their source
    # Rows that a newer row of the same record made void before they were stored.
    sa.Column("superseded", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("finished_at", sa.DateTime(timezone=True)),  # null: running or interrupted
    sa.Index("ix_sync_run_source_id", "source", "id"),
    schema=MAIN,
)

# Where a feed stands, committed together with the rows that came before it. What it says is the
# feed's own, and may hold a value of a row: it is sealed, as a rejected row is, under the
# reject key. Its first three bytes name the format and the version of that key.
source_state = sa.Table(
    "source_state",
    metadata,
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("read_as", sa.Text, nullable=False),  # what it was read with; else it is void
    sa.Column("sealed", BYTEA, nullable=False),
    sa.Column("newest_at", sa.DateTime(timezone=True)),  # the newest time the source gave
    sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    schema=MAIN,
)

# How new the row is that was taken in last of a record. It outlives a record that its source
# deleted, so that an older row that comes late does not bring it back.
source_order = sa.Table(
    "source_order",
    metadata,
    sa.Column("key", BYTEA, primary_key=True),  # of the record: the keyed hash
    sa.Column("source", sa.Text, nullable=False, index=True),
    sa.Column("value", sa.BigInteger),  # null: the row had no order
    sa.Column("load", sa.BigInteger),  # null: not of a load
    schema=MAIN,
)

# What the contract of a feed asks of it as a whole, so far: committed together with the rows that
# it is of. A day of a row, and no value beside it.
source_watch = sa.Table(
    "source_watch",
    metadata,
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("asked", sa.Text, nullable=False),  # column and formats of the days; else it is void
    sa.Column("newest", sa.Date),  # null: no row had a day yet
    sa.Column("since", sa.Date, nullable=False),  # when looking began
    # Of a reading that gives everything and goes on: rows up to its last mark.
    sa.Column("rows", sa.BigInteger, nullable=False, server_default="0"),
    schema=MAIN,
)

# How many rows came, where the contract of a feed asks for it: of each hour, or of each whole
# reading. It is there, with 0, for an hour in which the source was read and nothing came.
source_arrival = sa.Table(
    "source_arrival",
    metadata,
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),  # hour | whole
    sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.PrimaryKeyConstraint("source", "kind", "at"),
    sa.CheckConstraint("kind IN ('hour', 'whole')", name="kind"),
    schema=MAIN,
)

# What is wrong with what sources give, until it is over: rules, headings and counts, no value.
source_finding = sa.Table(
    "source_finding",
    metadata,
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("rule", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),  # a column or field
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),  # 0: it is of all together
    sa.Column("next_step", sa.Text, nullable=False),
    sa.Column("about", sa.Text, nullable=False),  # which breach it is: of another one, another word
    sa.Column("first_at", sa.DateTime(timezone=True), nullable=False),
    # When a person resumed the source in spite of it; null: nobody did.
    sa.Column("accepted_at", sa.DateTime(timezone=True)),
    sa.PrimaryKeyConstraint("source", "rule", "subject"),
    schema=MAIN,
)

# Sources that are being removed, or were: nothing more is taken in under their names. The reason
# is typed by who removes, and screened for personal data.
source_removal = sa.Table(
    "source_removal",
    metadata,
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("ended_at", sa.DateTime(timezone=True)),  # null: it is not done yet
    schema=MAIN,
)
