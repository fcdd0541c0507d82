"""Row-level security of people.

Until the policies are there nobody is seen, but by a superuser: ``cdp.storage.roles.prepare``
makes them in the same transaction.
"""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

TABLES = ("kith.profile", "kith.tag", "kith.membership", "kith.record", "kith_keys.data_key")


def upgrade() -> None:
    for table in TABLES:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")


def downgrade() -> None:
    for table in TABLES:
        for policy in ("kith_owner", "kith_people", "kith_locator"):
            op.execute(f"DROP POLICY IF EXISTS {policy} ON {table}")
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
    # What kept the tiers apart before knew nothing of people.
    op.execute("DROP POLICY IF EXISTS kith_locator ON kith_vault.blind_index")
    for table in TABLES[:-1]:
        op.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
