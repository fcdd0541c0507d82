"""Which words a rejected row may have in it, so that few are opened when somebody goes."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Rows of before have none: they are opened.
    op.add_column("reject", sa.Column("words", postgresql.ARRAY(sa.SmallInteger())), schema="kith")


def downgrade() -> None:
    op.drop_column("reject", "words", schema="kith")
