"""Key versions that nothing may be written under any more."""

import sqlalchemy as sa

from cdp.storage.metadata import KEYS, metadata

# A version is entered here before it leaves the ring, and stays for good. The database then
# refuses every row under it (SQLSTATE `REFUSED`; triggers of migration 0007): a process that
# sealed with it and was slow to store would lose what it sealed.
retired_key = sa.Table(
    "retired_key",
    metadata,
    sa.Column("purpose", sa.Text, nullable=False),
    sa.Column("version", sa.SmallInteger, nullable=False, autoincrement=False),
    sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint("purpose", "version"),
    schema=KEYS,
)

REFUSED = "KR001"  # SQLSTATE
