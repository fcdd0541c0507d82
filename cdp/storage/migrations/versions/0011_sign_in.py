"""Accounts, sessions and keys with scopes.

A principal may have several assignments, so they stand in one list of role@node. What the
service roles may write of the new tables is granted by ``cdp.storage.roles``.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    _principals()
    op.add_column(
        "api_key",
        sa.Column("scopes", ARRAY(sa.Text), nullable=False, server_default="{}"),
        schema="kith",
    )
    op.add_column("api_key", sa.Column("last_used_at", TIME), schema="kith")
    op.create_table(
        "account",
        sa.Column("principal_id", sa.Text, nullable=False),
        sa.Column("password", sa.Text),
        sa.Column("totp", BYTEA, nullable=False),
        sa.Column("totp_step", sa.BigInteger),
        sa.Column("recovery", ARRAY(BYTEA), nullable=False, server_default="{}"),
        sa.Column("enrolment", BYTEA),
        sa.Column("enrolment_ends_at", TIME),
        sa.Column("locked_at", TIME),
        sa.Column("at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("principal_id", name=op.f("pk_account")),
        sa.ForeignKeyConstraint(
            ["principal_id"], ["kith.principal.id"], ondelete="CASCADE",
            name=op.f("fk_account_principal_id_principal"),
        ),
        schema="kith",
    )  # fmt: skip
    op.create_table(
        "session",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("digest", BYTEA, nullable=False),
        sa.Column("principal_id", sa.Text, nullable=False),
        sa.Column("method", sa.Text, nullable=False),
        sa.Column("assignments", ARRAY(sa.Text)),
        sa.Column("acting_as", sa.Text),
        sa.Column("made_by", sa.Text, nullable=False, server_default=sa.text("CURRENT_USER")),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("seen_at", TIME, nullable=False),
        sa.Column("ends_at", TIME, nullable=False),
        sa.Column("ended_at", TIME),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_session")),
        sa.UniqueConstraint("digest", name=op.f("uq_session_digest")),
        sa.ForeignKeyConstraint(
            ["principal_id"], ["kith.principal.id"], ondelete="CASCADE",
            name=op.f("fk_session_principal_id_principal"),
        ),
        schema="kith",
    )  # fmt: skip
    op.create_index("ix_session_principal_id", "session", ["principal_id"], schema="kith")
    op.create_table(
        "throttle",
        sa.Column("digest", BYTEA, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("failed_at", TIME, nullable=False),
        sa.Column("known_until", TIME),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_throttle")),
        schema="kith",
    )
    op.create_table(
        "sign_in_state",
        sa.Column("digest", BYTEA, nullable=False),
        sa.Column("ends_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_sign_in_state")),
        schema="kith",
    )


def _principals() -> None:
    op.add_column(
        "principal",
        sa.Column("assignments", ARRAY(sa.Text), nullable=False, server_default="{}"),
        schema="kith",
    )
    op.add_column(
        "principal",
        sa.Column("origin", sa.Text, nullable=False, server_default="cdp.yaml"),
        schema="kith",
    )
    op.add_column("principal", sa.Column("subject", BYTEA), schema="kith")
    op.execute("UPDATE kith.principal SET assignments = ARRAY[role || '@' || node]")
    # Whoever had left kept a row for the keys that named them, and those are all revoked.
    op.drop_column("principal", "role", schema="kith")
    op.drop_column("principal", "node", schema="kith")


def downgrade() -> None:
    for table in ("sign_in_state", "throttle", "session", "account"):
        op.drop_table(table, schema="kith")
    op.drop_column("api_key", "last_used_at", schema="kith")
    op.drop_column("api_key", "scopes", schema="kith")
    # An earlier release knows one assignment, and nobody who came through a provider.
    op.execute("DELETE FROM kith.principal WHERE origin <> 'cdp.yaml'")
    for name in ("role", "node"):
        op.add_column("principal", sa.Column(name, sa.Text), schema="kith")
    op.execute(
        """
        UPDATE kith.principal
           SET role = split_part(coalesce(assignments[1], 'clerk@'), '@', 1),
               node = split_part(coalesce(assignments[1], 'clerk@'), '@', 2)
        """
    )
    for name in ("role", "node"):
        op.alter_column("principal", name, nullable=False, schema="kith")
    for name in ("subject", "origin", "assignments"):
        op.drop_column("principal", name, schema="kith")
