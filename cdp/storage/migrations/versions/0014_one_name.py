"""One name for each person of the identity provider, and a lock for everybody.

A lock moves from the account to the principal, so that it holds for keys and for whoever comes
through the provider. Where one person at the provider took several names, which of them is theirs
is for somebody in charge to say: they keep the first, and the others are locked.
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("principal", sa.Column("locked_at", TIME), schema="kith")
    op.execute(
        """
        UPDATE kith.principal p SET locked_at = a.locked_at
          FROM kith.account a WHERE a.principal_id = p.id AND a.locked_at IS NOT NULL
        """
    )
    op.drop_column("account", "locked_at", schema="kith")
    op.execute(
        """
        WITH further AS (
            SELECT id FROM (
                SELECT id, row_number() OVER (PARTITION BY subject ORDER BY at, id) AS place
                  FROM kith.principal WHERE subject IS NOT NULL
            ) named WHERE place > 1
        ), ended AS (
            UPDATE kith.session SET ended_at = clock_timestamp()
             WHERE ended_at IS NULL AND principal_id IN (SELECT id FROM further)
        )
        UPDATE kith.principal SET subject = NULL, locked_at = clock_timestamp()
         WHERE id IN (SELECT id FROM further)
        """
    )
    op.create_index(
        op.f("uq_principal_subject"),
        "principal",
        ["subject"],
        unique=True,
        schema="kith",
        postgresql_where=sa.text("subject IS NOT NULL"),
    )
    op.add_column("workspace", sa.Column("claims_origin", sa.Text), schema="kith")
    op.add_column("api_key", sa.Column("rotated_at", TIME), schema="kith")


def downgrade() -> None:
    op.drop_column("api_key", "rotated_at", schema="kith")
    op.drop_column("workspace", "claims_origin", schema="kith")
    op.drop_index("uq_principal_subject", table_name="principal", schema="kith")
    op.add_column("account", sa.Column("locked_at", TIME), schema="kith")
    op.execute(
        """
        UPDATE kith.account a SET locked_at = p.locked_at
          FROM kith.principal p WHERE a.principal_id = p.id
        """
    )
    op.drop_column("principal", "locked_at", schema="kith")
