"""The tables of policy versions: what was stored, proposed and put in force, each signed.

Rows are added and never changed, but for how a proposal ended. What each signature covers is in
`cdp/policy/signed.py`.
"""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import BYTEA

from cdp.storage.metadata import MAIN, metadata


def _signature() -> tuple[sa.Column[int], sa.Column[bytes]]:
    """Which version of the ring's audit-signing key signed, and what came out, 64 bytes."""
    return (
        sa.Column("key_version", sa.SmallInteger, nullable=False),
        sa.Column("signature", BYTEA, nullable=False),
    )


# One policy as its four files say it. The id is the version that every audit event names.
policy_version = sa.Table(
    "policy_version",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("format", sa.SmallInteger, nullable=False),  # of the content
    sa.Column("content", sa.Text, nullable=False),
    sa.Column("stored_by", sa.Text, nullable=False),
    sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    *_signature(),
    schema=MAIN,
)

# Somebody wants a version in force. How it ended is no part of the signature.
policy_proposal = sa.Table(
    "policy_proposal",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("version", sa.ForeignKey(policy_version.c.id), nullable=False),
    sa.Column("base", sa.BigInteger, nullable=False),  # serial in force when it was made
    sa.Column("proposed_by", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    *_signature(),
    sa.Column("ended", sa.Text),  # approved | rejected | withdrawn; null: open
    sa.Column("ended_by", sa.Text),
    sa.Column("ended_reason", sa.Text),
    sa.Column("ended_at", sa.DateTime(timezone=True)),
    schema=MAIN,
)

# What was in force when: a chain without gaps, each link signed over the one before.
policy_activation = sa.Table(
    "policy_activation",
    metadata,
    sa.Column("serial", sa.BigInteger, primary_key=True, autoincrement=False),  # from 1
    sa.Column("version", sa.ForeignKey(policy_version.c.id), nullable=False),
    sa.Column("proposed_by", sa.Text, nullable=False),
    sa.Column("approved_by", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("previous", BYTEA, nullable=False),  # digest of the link before; first: empty
    *_signature(),
    # By the database's own clock, to measure how long others take to follow. Not signed.
    sa.Column(
        "stored_at",
        sa.DateTime(timezone=True),
        nullable=False,
        server_default=sa.func.clock_timestamp(),
    ),
    schema=MAIN,
)
