"""Room in the pages of records, for the next version of each.

A sync stores a record as dirty, and a resolve marks it as clean: a new version of the whole row.
In a full page it went to another one, at the end of the table, with new entries in every index
and a copy of the row in the log of changes; the room that it left was filled by later records.
With room for it in its own page nothing but the mark is logged, and no index is touched. Pages
that are full stay as they are. After a first resolve the table is as large as it was without.
"""

from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE kith.record SET (fillfactor = 50)")


def downgrade() -> None:
    op.execute("ALTER TABLE kith.record RESET (fillfactor)")
