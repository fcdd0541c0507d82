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
