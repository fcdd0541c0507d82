"""The tables of what was erased: the shred ledger, and how far its traces are scrubbed."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import BYTEA

from cdp.storage.metadata import MAIN, metadata

# A copy of the ledger file in the workspace folder, line by line: see cdp/vault/shreds.py.
# No foreign key leads to it, and none from it: the record it names is gone.
shred = sa.Table(
    "shred",
    metadata,
    sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),  # from 1
    sa.Column("kind", sa.Text, nullable=False),  # shred | readmit
    sa.Column("key", BYTEA, nullable=False),  # of the record: the keyed hash, no personal data
    sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("actor", sa.Text, nullable=False),  # principal
    sa.Column("reason", sa.Text, nullable=False),  # as typed
    sa.Column("key_version", sa.SmallInteger, nullable=False),  # of the key of the mac
    sa.Column("mac", BYTEA, nullable=False),  # over this line and the mac of the one before
    sa.CheckConstraint("kind IN ('shred', 'readmit')", name="kind"),
    sa.Index("ix_shred_key", "key", "sequence"),
    schema=MAIN,
)

# Up to which line of the ledger each table was rewritten, so that no deleted byte is left.
scrub = sa.Table(
    "scrub",
    metadata,
    sa.Column("relation", sa.Text, primary_key=True),  # with its schema
    sa.Column("through", sa.BigInteger, nullable=False),  # sequence
    sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    schema=MAIN,
)
