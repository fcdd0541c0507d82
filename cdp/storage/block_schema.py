"""The tables of blocking keys, and of how many people use a number."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from cdp.storage.metadata import MAIN, metadata

# Blocking keys: records with an equal one are compared. Which records have a key, and which keys
# a record has: see cdp/resolution/block_rows.py. No foreign key: see migrations 0009 and 0025.
block = sa.Table(
    "block",
    metadata,
    sa.Column("key", sa.BigInteger, nullable=False),  # keyed pseudonym, the rule included
    sa.Column("record_id", sa.BigInteger, nullable=False),
    sa.PrimaryKeyConstraint("key", "record_id"),
    schema=MAIN,
)

record_block = sa.Table(
    "record_block",
    metadata,
    sa.Column("record_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("keys", ARRAY(sa.BigInteger), nullable=False),  # ascending
    sa.Column("rules", ARRAY(sa.SmallInteger), nullable=False),  # of each key
    schema=MAIN,
)

shared_number = sa.Table(
    "shared_number",
    metadata,
    sa.Column("key", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("people", sa.Integer, nullable=False),  # two at least; see identity.sharing
    schema=MAIN,
)
