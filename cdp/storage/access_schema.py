"""Tables of the people and systems that use Kith, and what lets them in.

No clear secret stands here: keys and sessions as keyed digests, passwords as Argon2id, seeds
of one-time codes sealed. No name of a person either, and no address of a network: who failed to
sign in from where is counted under a keyed digest.
"""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA

from cdp.storage.metadata import MAIN, metadata

__all__ = ["account", "api_key", "principal", "session", "sign_in_state", "throttle"]
_TIME = sa.DateTime(timezone=True)

principal = sa.Table(
    "principal",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    # role@node, the first is the usual one; none: they left, or their sessions say.
    sa.Column("assignments", ARRAY(sa.Text), nullable=False, server_default="{}"),
    sa.Column("destination", sa.Text),  # for a service: the contract it reads under
    # cdp.yaml, or oidc- and the digest of the mapping that let them in.
    sa.Column("origin", sa.Text, nullable=False, server_default="cdp.yaml"),
    sa.Column("subject", BYTEA),  # digest of issuer and sub, of who comes by OIDC
    sa.Column("locked_at", _TIME),  # by somebody in charge; failures are in throttle
    sa.Column("at", _TIME, nullable=False),
    # One person at the provider has one name, or they would be their own second person.
    sa.Index(
        "uq_principal_subject",
        "subject",
        unique=True,
        postgresql_where=sa.text("subject IS NOT NULL"),
    ),
    schema=MAIN,
)


def _principal_id() -> sa.Column[str]:
    reference = sa.ForeignKey(principal.c.id, ondelete="CASCADE")
    return sa.Column("principal_id", sa.Text, reference, nullable=False)


api_key = sa.Table(
    "api_key",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),  # the public half, shown in listings
    sa.Column("principal_id", sa.ForeignKey(principal.c.id), nullable=False),
    sa.Column("digest", BYTEA, nullable=False),  # of the secret half
    sa.Column("scopes", ARRAY(sa.Text), nullable=False, server_default="{}"),  # none: no limit
    sa.Column("created_at", _TIME, nullable=False),
    sa.Column("expires_at", _TIME, nullable=False),
    sa.Column("revoked_at", _TIME),
    sa.Column("last_used_at", _TIME),  # the hour of it
    sa.Column("rotated_at", _TIME),  # when its successor was issued; there is one at most
    schema=MAIN,
)

account = sa.Table(
    "account",
    metadata,
    sa.Column("principal_id", sa.ForeignKey(principal.c.id, ondelete="CASCADE"), primary_key=True),
    sa.Column("password", sa.Text),  # PHC form; null: not enrolled
    sa.Column("totp", BYTEA, nullable=False),  # the seed, sealed
    sa.Column("totp_step", sa.BigInteger),  # of the last code that was used
    sa.Column("recovery", ARRAY(BYTEA), nullable=False, server_default="{}"),  # keyed digests
    sa.Column("enrolment", BYTEA),  # keyed digest of the one-time code
    sa.Column("enrolment_ends_at", _TIME),
    sa.Column("at", _TIME, nullable=False),
    schema=MAIN,
)

session = sa.Table(
    "session",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),  # shown in listings
    sa.Column("digest", BYTEA, nullable=False, unique=True),  # of what the cookie holds
    _principal_id(),
    sa.Column("method", sa.Text, nullable=False),  # password | oidc
    sa.Column("assignments", ARRAY(sa.Text)),  # what claims gave; null: those of the principal
    sa.Column("acting_as", sa.Text),  # one of them; null: the first
    # A process takes only sessions that its own role of the database made; the column is
    # nobody's to write.
    sa.Column("made_by", sa.Text, nullable=False, server_default=sa.text("CURRENT_USER")),
    sa.Column("created_at", _TIME, nullable=False),
    sa.Column("seen_at", _TIME, nullable=False),  # to the minute
    sa.Column("ends_at", _TIME, nullable=False),
    sa.Column("ended_at", _TIME),
    sa.Index("ix_session_principal_id", "principal_id"),
    schema=MAIN,
)

throttle = sa.Table(
    "throttle",
    metadata,
    sa.Column("digest", BYTEA, primary_key=True),  # keyed: an account, a device or an address
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("failed_at", _TIME, nullable=False),
    sa.Column("known_until", _TIME),  # of a device from which the account was signed in to
    schema=MAIN,
)

sign_in_state = sa.Table(
    "sign_in_state",
    metadata,
    sa.Column("digest", BYTEA, primary_key=True),  # keyed, of the state given to the provider
    sa.Column("ends_at", _TIME, nullable=False),
    schema=MAIN,
)
