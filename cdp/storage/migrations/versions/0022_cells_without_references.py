"""Cells and blind indexes refer to records by their numbers, without a foreign key.

PostgreSQL checks a foreign key row by row: for the cells and indexes of a record that took a
third of what the server does to store it. A trigger deletes them with their record. Nothing is
written for a record that goes at the same time: who writes has inserted the record, or holds it
(``cdp.ingest.standing``, ``reindex``, ``remask``). The data keys keep their foreign key: without
a record there is no key, and without the key a cell opens to nobody.
"""

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

TABLES = ("contact", "sensitive", "masked", "blind_index")


def upgrade() -> None:
    for table in TABLES:
        op.drop_constraint(op.f(f"fk_{table}_record_id_record"), table, schema="kith_vault")
    gone = "\n".join(
        f"DELETE FROM kith_vault.{table} c USING gone WHERE c.record_id = gone.id;"
        for table in TABLES
    )
    # With the rights of the owner, as the actions of foreign keys have.
    op.execute(
        f"""
        CREATE FUNCTION kith.forget_cells() RETURNS trigger
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
        BEGIN
            {gone}
            RETURN NULL;
        END $$
        """
    )
    op.execute(
        """
        CREATE TRIGGER forget_cells AFTER DELETE ON kith.record
        REFERENCING OLD TABLE AS gone FOR EACH STATEMENT
        EXECUTE FUNCTION kith.forget_cells()
        """
    )


def downgrade() -> None:
    op.execute("DROP TRIGGER forget_cells ON kith.record")
    op.execute("DROP FUNCTION kith.forget_cells()")
    for table in TABLES:
        op.create_foreign_key(
            op.f(f"fk_{table}_record_id_record"), table, "record", ["record_id"], ["id"],
            source_schema="kith_vault", referent_schema="kith", ondelete="CASCADE",
        )  # fmt: skip
