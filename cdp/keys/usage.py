"""Which key versions the database and the file of credentials need, and how many rows need each.

Purposes that are not counted here (`api-keys`, `published`) leave no version in the database:
everything there derives from the version in force. So it is with what receivers of webhooks
know; what is counted under `webhook-secrets` are the credentials of sources.
"""

import datetime as dt
from collections.abc import Mapping
from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from cdp.credentials import credentials_of
from cdp.storage.schema import retired_key
from cdp.vault.credentials import PURPOSE
from cdp.workspace import Workspace

Rows = Mapping[int, int]  # version: rows
Usage = Mapping[str, Rows]  # by purpose

# Each gives purpose, version, rows. A rejected row, as the state of a feed, says its version in
# its second and third byte. A line of the shred ledger with version 0 is under a key that
# `records` gives.
_COUNTS: Final = (
    "SELECT tier, key_version, count(*) FROM kith_keys.data_key GROUP BY 1, 2",
    """
    SELECT 'rejects', get_byte(sealed, 1) * 256 + get_byte(sealed, 2), count(*)
      FROM kith.reject WHERE length(sealed) > 2 GROUP BY 1, 2
    """,
    """
    SELECT 'rejects', get_byte(sealed, 1) * 256 + get_byte(sealed, 2), count(*)
      FROM kith.source_state WHERE length(sealed) > 2 GROUP BY 1, 2
    """,
    "SELECT 'blind-index', epoch, count(*) FROM kith_vault.blind_index GROUP BY 1, 2",
    """
    SELECT 'blind-index', w.block_key, count(*) FROM kith.workspace w, kith.block GROUP BY 1, 2
    """,
    "SELECT 'features', feature_key, count(*) FROM kith.record GROUP BY 1, 2",
    "SELECT 'audit-signing', key_version, count(*) FROM kith.audit_checkpoint GROUP BY 1, 2",
    """
    SELECT 'sign-in', get_byte(totp, 1) * 256 + get_byte(totp, 2), count(*)
      FROM kith.account WHERE length(totp) > 2 GROUP BY 1, 2
    """,
    "SELECT 'audit-signing', key_version, count(*) FROM kith.policy_version GROUP BY 1, 2",
    "SELECT 'audit-signing', key_version, count(*) FROM kith.policy_proposal GROUP BY 1, 2",
    "SELECT 'audit-signing', key_version, count(*) FROM kith.policy_activation GROUP BY 1, 2",
    "SELECT 'shreds', key_version, count(*) FROM kith.shred WHERE key_version > 0 GROUP BY 1, 2",
)
# What must not be written while versions are counted and one of them is retired; in the order
# in which a batch is stored, so that neither waits for the other. Features and blocking keys
# are left out: no version of theirs is lost by a late row.
_WRITTEN: Final = (
    "kith_vault.blind_index, kith_keys.data_key, kith.reject, kith.source_state, "
    "kith.audit_checkpoint, kith.shred, "
    "kith.account, kith.policy_version, kith.policy_proposal, kith.policy_activation"
)


def needed(workspace: Workspace, connection: sa.Connection) -> dict[str, dict[int, int]]:
    """Count the rows, and the credentials, that need each version of each purpose.

    Raises:
        Stop: the file of credentials cannot be used.
    """
    return in_use(connection) | {PURPOSE: credentials_of(workspace).versions()}


def in_use(connection: sa.Connection) -> dict[str, dict[int, int]]:
    """Count the rows of the database that need each version of each purpose."""
    found: dict[str, dict[int, int]] = {}
    for statement in _COUNTS:
        for purpose, version, rows in connection.execute(sa.text(statement)):
            mine = found.setdefault(purpose, {})
            mine[version] = mine.get(version, 0) + rows
    return found


def hold_still(connection: sa.Connection) -> None:
    """Keep others from writing what `in_use` counts, until the transaction ends. They can read."""
    connection.execute(sa.text(f"LOCK TABLE {_WRITTEN} IN SHARE ROW EXCLUSIVE MODE"))


def refuse_from_now_on(engine: sa.Engine, purpose: str, version: int, now: dt.datetime) -> None:
    """Have the database refuse rows under this version, for good, also if nothing follows.

    In a transaction of its own: it stands before the version leaves the ring. Who holds the
    tables still (`hold_still`) keeps writers waiting meanwhile, and then they are refused.
    """
    entry = insert(retired_key).values(purpose=purpose, version=version, at=now)
    with engine.begin() as connection:
        connection.execute(entry.on_conflict_do_nothing())
