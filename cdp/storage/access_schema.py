"""Tables of the people and systems that use Kith, and what lets them in."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import BYTEA

from cdp.storage.metadata import MAIN, metadata

principal = sa.Table(
    "principal",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("node", sa.Text, nullable=False),  # of the organisation's tree
    sa.Column("destination", sa.Text),  # for a service: the contract it reads under
    sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    schema=MAIN,
)

api_key = sa.Table(
    "api_key",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),  # the public half, shown in listings
    sa.Column("principal_id", sa.ForeignKey(principal.c.id), nullable=False),
    sa.Column("digest", BYTEA, nullable=False),  # of the secret half
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("revoked_at", sa.DateTime(timezone=True)),
    schema=MAIN,
)
