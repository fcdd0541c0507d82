"""The first schema."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE SCHEMA IF NOT EXISTS kith_vault")
    op.execute("CREATE SCHEMA IF NOT EXISTS kith_keys")
    op.execute("CREATE SEQUENCE kith.record_id_seq")
    op.create_table(
        "audit_checkpoint",
        sa.Column("size", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("root", postgresql.BYTEA(), nullable=False),
        sa.Column("key_version", sa.SmallInteger(), nullable=False),
        sa.Column("signature", postgresql.BYTEA(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("size", name=op.f("pk_audit_checkpoint")),
        schema="kith",
    )
    op.create_table(
        "audit_event",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("line", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("profile_id", sa.Text(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("leaf", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_event")),
        sa.UniqueConstraint("leaf", name=op.f("uq_audit_event_leaf")),
        schema="kith",
    )
    op.create_index(
        op.f("ix_audit_event_actor"), "audit_event", ["actor"], unique=False, schema="kith"
    )
    op.create_index(
        op.f("ix_audit_event_profile_id"),
        "audit_event",
        ["profile_id"],
        unique=False,
        schema="kith",
    )
    op.create_table(
        "epoch",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("model", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_epoch")),
        schema="kith",
    )
    op.create_index(
        "uq_epoch_active",
        "epoch",
        ["active"],
        unique=True,
        schema="kith",
        postgresql_where=sa.text("active"),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("profile_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("parked_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
        sa.UniqueConstraint("message_id", name=op.f("uq_outbox_message_id")),
        schema="kith",
    )
    op.create_index(
        "ix_outbox_due",
        "outbox",
        ["destination", "id"],
        unique=False,
        schema="kith",
        postgresql_where=sa.text("delivered_at IS NULL"),
    )
    op.create_index(
        "uq_outbox_open",
        "outbox",
        ["destination", "profile_id"],
        unique=True,
        schema="kith",
        postgresql_where=sa.text("delivered_at IS NULL"),
    )
    op.create_table(
        "principal",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("node", sa.Text(), nullable=False),
        sa.Column("destination", sa.Text(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_principal")),
        schema="kith",
    )
    op.create_table(
        "profile_event",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("profile_id", sa.Text(), nullable=False),
        sa.Column("other_id", sa.Text(), nullable=True),
        sa.Column("epoch", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_profile_event")),
        schema="kith",
    )
    op.create_index(
        op.f("ix_profile_event_profile_id"),
        "profile_event",
        ["profile_id"],
        unique=False,
        schema="kith",
    )
    op.create_table(
        "published",
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("profile_id", sa.Text(), nullable=False),
        sa.Column("digest", postgresql.BYTEA(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("destination", "profile_id", name=op.f("pk_published")),
        schema="kith",
    )
    op.create_table(
        "record",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("key", postgresql.BYTEA(), nullable=False),
        sa.Column("content", postgresql.BYTEA(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("store", sa.Text(), nullable=True),
        sa.Column("basis", sa.Text(), nullable=False),
        sa.Column("purposes", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("refused", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("attributes", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("feature_version", sa.SmallInteger(), nullable=False),
        sa.Column("features", postgresql.BYTEA(), nullable=False),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("dirty", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_record")),
        sa.UniqueConstraint("key", name=op.f("uq_record_key")),
        schema="kith",
    )
    op.create_table(
        "redirect",
        sa.Column("old_id", sa.Text(), nullable=False),
        sa.Column("new_id", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("old_id", name=op.f("pk_redirect")),
        schema="kith",
    )
    op.create_index(op.f("ix_redirect_new_id"), "redirect", ["new_id"], unique=False, schema="kith")
    op.create_table(
        "sync_run",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("declaration", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("read", sa.BigInteger(), nullable=False),
        sa.Column("added", sa.BigInteger(), nullable=False),
        sa.Column("changed", sa.BigInteger(), nullable=False),
        sa.Column("unchanged", sa.BigInteger(), nullable=False),
        sa.Column("rejected", sa.BigInteger(), nullable=False),
        sa.Column("set_aside", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sync_run")),
        schema="kith",
    )
    op.create_index(op.f("ix_sync_run_source"), "sync_run", ["source"], unique=False, schema="kith")
    op.create_table(
        "workspace",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("only", sa.Boolean(), nullable=True),
        sa.Column("key_check", postgresql.BYTEA(), nullable=False),
        sa.Column("built_with", sa.Text(), nullable=True),
        sa.Column("demo", sa.Boolean(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workspace")),
        sa.UniqueConstraint("only", name=op.f("uq_workspace_only")),
        schema="kith",
    )
    op.create_table(
        "api_key",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("principal_id", sa.Text(), nullable=False),
        sa.Column("digest", postgresql.BYTEA(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["principal_id"], ["kith.principal.id"], name=op.f("fk_api_key_principal_id_principal")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_key")),
        schema="kith",
    )
    op.create_table(
        "edge",
        sa.Column("low_id", sa.BigInteger(), nullable=False),
        sa.Column("high_id", sa.BigInteger(), nullable=False),
        sa.Column("weight", sa.Float(), nullable=False),
        sa.Column("levels", postgresql.ARRAY(sa.SmallInteger()), nullable=False),
        sa.Column("weights", postgresql.ARRAY(sa.Float()), nullable=False),
        sa.Column("epoch", sa.Text(), nullable=False),
        sa.CheckConstraint("low_id < high_id", name=op.f("ck_edge_ordered")),
        sa.ForeignKeyConstraint(["epoch"], ["kith.epoch.id"], name=op.f("fk_edge_epoch_epoch")),
        sa.ForeignKeyConstraint(
            ["high_id"], ["kith.record.id"], name=op.f("fk_edge_high_id_record"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["low_id"], ["kith.record.id"], name=op.f("fk_edge_low_id_record"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("low_id", "high_id", name=op.f("pk_edge")),
        schema="kith",
    )
    op.create_index("ix_edge_high_id", "edge", ["high_id"], unique=False, schema="kith")
    op.create_table(
        "profile",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("anchor_id", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("stores", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("golden", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("attributes", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("purposes", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["anchor_id"], ["kith.record.id"], name=op.f("fk_profile_anchor_id_record")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_profile")),
        sa.UniqueConstraint("anchor_id", name=op.f("uq_profile_anchor_id")),
        schema="kith",
    )
    op.create_index(
        "ix_profile_stores",
        "profile",
        ["stores"],
        unique=False,
        schema="kith",
        postgresql_using="gin",
    )
    op.create_table(
        "reject",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("field", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("next_step", sa.Text(), nullable=False),
        sa.Column("sealed", postgresql.BYTEA(), nullable=False),
        sa.Column("record_id", sa.BigInteger(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "(field = '') = (record_id IS NULL)", name=op.f("ck_reject_row_or_field")
        ),
        sa.ForeignKeyConstraint(
            ["record_id"],
            ["kith.record.id"],
            name=op.f("fk_reject_record_id_record"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reject")),
        sa.UniqueConstraint(
            "source",
            "fingerprint",
            "position",
            "field",
            name=op.f("uq_reject_source_fingerprint_position_field"),
        ),
        schema="kith",
    )
    op.create_index(
        op.f("ix_reject_record_id"), "reject", ["record_id"], unique=False, schema="kith"
    )
    op.create_table(
        "data_key",
        sa.Column("record_id", sa.BigInteger(), nullable=False),
        sa.Column("tier", sa.Text(), nullable=False),
        sa.Column("key_version", sa.SmallInteger(), nullable=False),
        sa.Column("wrapped", postgresql.BYTEA(), nullable=False),
        sa.ForeignKeyConstraint(
            ["record_id"],
            ["kith.record.id"],
            name=op.f("fk_data_key_record_id_record"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("record_id", "tier", name=op.f("pk_data_key")),
        schema="kith_keys",
    )
    op.create_table(
        "blind_index",
        sa.Column("record_id", sa.BigInteger(), nullable=False),
        sa.Column("field", sa.Text(), nullable=False),
        sa.Column("value", postgresql.BYTEA(), nullable=False),
        sa.ForeignKeyConstraint(
            ["record_id"],
            ["kith.record.id"],
            name=op.f("fk_blind_index_record_id_record"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("field", "value", "record_id", name=op.f("pk_blind_index")),
        schema="kith_vault",
    )
    op.create_index(
        "ix_blind_index_record_id", "blind_index", ["record_id"], unique=False, schema="kith_vault"
    )
    op.create_table(
        "contact",
        sa.Column("record_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("fields", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("cells", postgresql.ARRAY(postgresql.BYTEA()), nullable=False),
        sa.ForeignKeyConstraint(
            ["record_id"],
            ["kith.record.id"],
            name=op.f("fk_contact_record_id_record"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("record_id", name=op.f("pk_contact")),
        schema="kith_vault",
    )
    op.create_table(
        "sensitive",
        sa.Column("record_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("fields", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("cells", postgresql.ARRAY(postgresql.BYTEA()), nullable=False),
        sa.ForeignKeyConstraint(
            ["record_id"],
            ["kith.record.id"],
            name=op.f("fk_sensitive_record_id_record"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("record_id", name=op.f("pk_sensitive")),
        schema="kith_vault",
    )
    op.create_table(
        "membership",
        sa.Column("record_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("profile_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["profile_id"], ["kith.profile.id"], name=op.f("fk_membership_profile_id_profile")
        ),
        sa.ForeignKeyConstraint(
            ["record_id"],
            ["kith.record.id"],
            name=op.f("fk_membership_record_id_record"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("record_id", name=op.f("pk_membership")),
        schema="kith",
    )
    op.create_index(
        op.f("ix_membership_profile_id"), "membership", ["profile_id"], unique=False, schema="kith"
    )
    op.create_table(
        "tag",
        sa.Column("profile_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("rule_version", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["profile_id"],
            ["kith.profile.id"],
            name=op.f("fk_tag_profile_id_profile"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("profile_id", "name", name=op.f("pk_tag")),
        schema="kith",
    )
    op.create_index("ix_tag_name_value", "tag", ["name", "value"], unique=False, schema="kith")


def downgrade() -> None:
    raise RuntimeError("There is no schema before the first: drop the database instead.")
