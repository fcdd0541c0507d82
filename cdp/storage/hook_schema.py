"""The table of webhooks that had their effect, so that none has it twice.

And of what was left out, of webhooks and of what SDKs send, so that it is counted once.
"""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import BYTEA

from cdp.storage.metadata import MAIN, metadata

hook_message = sa.Table(
    "hook_message",
    metadata,
    sa.Column("source", sa.Text, nullable=False),
    # Keyed hash of the sender's name of the message, or of what was signed; 16 bytes. What was
    # only counted has one byte before it.
    sa.Column("message", BYTEA, nullable=False),
    sa.Column("until", sa.DateTime(timezone=True), nullable=False, index=True),  # then it is over
    sa.PrimaryKeyConstraint("source", "message"),
    schema=MAIN,
)
