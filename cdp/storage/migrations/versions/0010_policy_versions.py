"""Versions of the policy: what was stored, proposed and put in force."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

SIGNED = ("policy_version", "policy_proposal", "policy_activation")


def upgrade() -> None:
    op.create_table(
        "policy_version",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("format", sa.SmallInteger(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("stored_by", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("key_version", sa.SmallInteger(), nullable=False),
        sa.Column("signature", postgresql.BYTEA(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_policy_version")),
        schema="kith",
    )
    op.create_table(
        "policy_proposal",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("base", sa.BigInteger(), nullable=False),
        sa.Column("proposed_by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("key_version", sa.SmallInteger(), nullable=False),
        sa.Column("signature", postgresql.BYTEA(), nullable=False),
        sa.Column("ended", sa.Text()),
        sa.Column("ended_by", sa.Text()),
        sa.Column("ended_reason", sa.Text()),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.ForeignKeyConstraint(
            ["version"],
            ["kith.policy_version.id"],
            name=op.f("fk_policy_proposal_version_policy_version"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_policy_proposal")),
        schema="kith",
    )
    op.create_table(
        "policy_activation",
        sa.Column("serial", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("proposed_by", sa.Text(), nullable=False),
        sa.Column("approved_by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("previous", postgresql.BYTEA(), nullable=False),
        sa.Column("key_version", sa.SmallInteger(), nullable=False),
        sa.Column("signature", postgresql.BYTEA(), nullable=False),
        sa.Column(
            "stored_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["version"],
            ["kith.policy_version.id"],
            name=op.f("fk_policy_activation_version_policy_version"),
        ),
        sa.PrimaryKeyConstraint("serial", name=op.f("pk_policy_activation")),
        schema="kith",
    )
    for name in SIGNED:
        _watch(name)


def _watch(name: str) -> None:
    """Refuse rows that a retired key signed, as 0007 does for the other tables."""
    op.execute(
        f"""
        CREATE FUNCTION kith_keys.refuse_retired_{name}() RETURNS trigger
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
        BEGIN
            IF EXISTS (SELECT FROM fresh JOIN kith_keys.retired_key r
                ON r.purpose = 'audit-signing' AND r.version = fresh.key_version)
            THEN
                RAISE EXCEPTION 'a row of % is under a retired key version', TG_TABLE_NAME
                    USING ERRCODE = 'KR001';
            END IF;
            RETURN NULL;
        END $$
        """
    )
    op.execute(
        f"""
        CREATE TRIGGER refuse_retired_insert AFTER INSERT ON kith.{name}
        REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT
        EXECUTE FUNCTION kith_keys.refuse_retired_{name}()
        """
    )


def downgrade() -> None:
    for name in reversed(SIGNED):
        op.drop_table(name, schema="kith")
        op.execute(f"DROP FUNCTION kith_keys.refuse_retired_{name}()")
