"""Blocking keys stand by key and, beside it, by record: each table in the order it is filled in.

A full run stores the keys of all records in the order of keys. An index on the record took three
quarters of what that cost: its pages were filled at random. The keys of a record now stand in one
row of a table of their own, with their rules, which are looked for by record alone.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

# With the rights of the owner, as the actions of foreign keys have.
FORGET = """
    CREATE OR REPLACE FUNCTION kith.forget_evidence() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    BEGIN
        {keys}
        DELETE FROM kith.edge e USING gone WHERE e.low_id = gone.id;
        DELETE FROM kith.edge e USING gone WHERE e.high_id = gone.id;
        RETURN NULL;
    END $$
"""


def upgrade() -> None:
    op.create_table(
        "record_block",
        sa.Column("record_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("keys", ARRAY(sa.BigInteger()), nullable=False),
        sa.Column("rules", ARRAY(sa.SmallInteger()), nullable=False),
        sa.PrimaryKeyConstraint("record_id", name=op.f("pk_record_block")),
        schema="kith",
    )
    op.execute(
        """
        INSERT INTO kith.record_block (record_id, keys, rules)
        SELECT record_id, array_agg(key ORDER BY key), array_agg(rule ORDER BY key)
        FROM kith.block GROUP BY record_id ORDER BY record_id
        """
    )
    keys = """
        DELETE FROM kith.block b USING (
            SELECT k.key, s.record_id FROM gone
            JOIN kith.record_block s ON s.record_id = gone.id CROSS JOIN unnest(s.keys) AS k(key)
        ) theirs WHERE b.key = theirs.key AND b.record_id = theirs.record_id;
        DELETE FROM kith.record_block s USING gone WHERE s.record_id = gone.id;
    """
    op.execute(FORGET.format(keys=keys))
    op.drop_index("ix_block_record_id", "block", schema="kith")
    op.drop_column("block", "rule", schema="kith")


def downgrade() -> None:
    op.add_column("block", sa.Column("rule", sa.SmallInteger()), schema="kith")
    op.execute(
        """
        UPDATE kith.block b SET rule = k.rule
        FROM kith.record_block s CROSS JOIN unnest(s.keys, s.rules) AS k(key, rule)
        WHERE b.key = k.key AND b.record_id = s.record_id
        """
    )
    op.alter_column("block", "rule", nullable=False, schema="kith")
    op.create_index("ix_block_record_id", "block", ["record_id"], schema="kith")
    keys = "DELETE FROM kith.block b USING gone WHERE b.record_id = gone.id;"
    op.execute(FORGET.format(keys=keys))
    op.drop_table("record_block", schema="kith")
