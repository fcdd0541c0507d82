"""Key versions that nothing may be written under any more."""

from typing import Final

import sqlalchemy as sa

from cdp.errors import Retry
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

REFUSED: Final = "KR001"  # SQLSTATE


class SealedUnderRetiredKey(Retry):
    """What was to be stored is sealed under a key version that was retired meanwhile."""


def refuse_retired(error: BaseException | None) -> None:
    """Raise `SealedUnderRetiredKey` if that is what the database said; else do nothing."""
    if getattr(error, "pgcode", None) == REFUSED:
        raise SealedUnderRetiredKey(
            "it was sealed under a key version that has been retired since; nothing was stored",
            "run it again: it is sealed under the key in force",
        ) from None
