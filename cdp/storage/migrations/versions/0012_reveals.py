"""Requests to reveal, reveals, and the roster."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def _time(name: str, *, nullable: bool = True) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    op.create_table(
        "reveal_request",
        sa.Column("id", sa.Text, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("requester", "role", "node")),
        sa.Column("profile_id", sa.Text),
        *(
            sa.Column(name, sa.Text, nullable=False)
            for name in ("field", "purpose", "reason", "state")
        ),
        *(_time(name, nullable=False) for name in ("at", "latest_at", "ends_at")),
        *(sa.Column(name, sa.Text) for name in ("second", "second_role", "second_node", "comment")),
        _time("second_at"),
        _time("used_at"),
        sa.CheckConstraint("latest_at >= at", name=op.f("ck_reveal_request_forwards")),
        sa.CheckConstraint("second <> requester", name=op.f("ck_reveal_request_two_people")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reveal_request")),
        schema="kith",
    )
    op.create_index(
        op.f("ix_reveal_request_profile_id"), "reveal_request", ["profile_id"], schema="kith"
    )
    op.create_index(
        "ix_reveal_request_requester", "reveal_request", ["requester", "at"], schema="kith"
    )
    op.create_index(
        "uq_reveal_request_open",
        "reveal_request",
        ["requester", "profile_id", "field", "purpose"],
        unique=True,
        schema="kith",
        postgresql_where=sa.text("state IN ('open', 'approved')"),
    )
    op.create_index(
        "ix_reveal_request_due",
        "reveal_request",
        ["ends_at"],
        schema="kith",
        postgresql_where=sa.text("state IN ('open', 'approved', 'to-review')"),
    )
    op.create_table(
        "reveal",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("principal", sa.Text, nullable=False),
        sa.Column("profile_id", sa.Text),
        sa.Column("field", sa.Text, nullable=False),
        sa.Column("sensitive", sa.Boolean, nullable=False),
        sa.Column("request_id", sa.Text),
        _time("at", nullable=False),
        sa.ForeignKeyConstraint(
            ["request_id"],
            ["kith.reveal_request.id"],
            name=op.f("fk_reveal_request_id_reveal_request"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reveal")),
        schema="kith",
    )
    op.create_index(op.f("ix_reveal_profile_id"), "reveal", ["profile_id"], schema="kith")
    op.create_index("ix_reveal_principal", "reveal", ["principal", "at"], schema="kith")
    op.create_table(
        "roster",
        sa.Column("principal", sa.Text, nullable=False),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("node", sa.Text, nullable=False),
        sa.Column("set_by", sa.Text, nullable=False),
        _time("at", nullable=False),
        sa.PrimaryKeyConstraint("principal", "day", "node", name=op.f("pk_roster")),
        schema="kith",
    )


def downgrade() -> None:
    op.drop_table("roster", schema="kith")
    op.drop_table("reveal", schema="kith")
    op.drop_table("reveal_request", schema="kith")
