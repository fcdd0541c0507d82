"""Blocking keys and edges refer to records by their numbers, without a foreign key.

PostgreSQL checks a foreign key row by row: for the 15 million keys of a million records that
took longer than everything else in a run. A trigger deletes both with their record. Nothing is
written for a record that goes at the same time: who writes locks the records, one by one or all
at once (``cdp.resolution.storing.keep_from_going``), and what is gone by then gets none.
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_constraint(op.f("fk_block_record_id_record"), "block", schema="kith")
    for name in ("low_id_record", "high_id_record", "epoch_epoch"):
        op.drop_constraint(op.f(f"fk_edge_{name}"), "edge", schema="kith")
    # With the rights of the owner, as the actions of foreign keys have.
    op.execute(
        """
        CREATE FUNCTION kith.forget_evidence() RETURNS trigger
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
        BEGIN
            DELETE FROM kith.block b USING gone WHERE b.record_id = gone.id;
            DELETE FROM kith.edge e USING gone WHERE e.low_id = gone.id;
            DELETE FROM kith.edge e USING gone WHERE e.high_id = gone.id;
            RETURN NULL;
        END $$
        """
    )
    op.execute(
        """
        CREATE TRIGGER forget_evidence AFTER DELETE ON kith.record
        REFERENCING OLD TABLE AS gone FOR EACH STATEMENT
        EXECUTE FUNCTION kith.forget_evidence()
        """
    )


def downgrade() -> None:
    op.execute("DROP TRIGGER forget_evidence ON kith.record")
    op.execute("DROP FUNCTION kith.forget_evidence()")
    op.create_foreign_key(
        op.f("fk_block_record_id_record"), "block", "record", ["record_id"], ["id"],
        source_schema="kith", referent_schema="kith", ondelete="CASCADE",
    )  # fmt: skip
    for column in ("low_id", "high_id"):
        op.create_foreign_key(
            op.f(f"fk_edge_{column}_record"), "edge", "record", [column], ["id"],
            source_schema="kith", referent_schema="kith", ondelete="CASCADE",
        )  # fmt: skip
    op.create_foreign_key(
        op.f("fk_edge_epoch_epoch"), "edge", "epoch", ["epoch"], ["id"],
        source_schema="kith", referent_schema="kith",
    )  # fmt: skip
