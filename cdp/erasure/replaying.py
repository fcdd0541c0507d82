"""Bring a restored database up to date with the shred ledger.

Invariants, each named by a test in ``tests/integration/erasure/test_restore_drill.py``:

1. After it, no record that stands as destroyed is in the database, nor a rejected row of
   one, and file and database say the same.
2. It can be run at any time and again; killed, it has done nothing.
3. Lines that only the database has come into the file, if they follow its last line.
4. What the database has of a record from before it was destroyed goes, also if the record
   was let in again later: only what is delivered from now on comes in.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from cdp.access.answers import Denial
from cdp.erasure import ledger, rejected, targets
from cdp.erasure.destroying import Destroyed, destroy
from cdp.resolution.permission import NOBODY, Permission
from cdp.vault import shreds
from cdp.vault.errors import ShredLedgerAltered
from cdp.vault.shreds import Line
from cdp.workspace import Workspace
from policies.decision import Subject
from policies.vocabulary import Action, Purpose


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay did.

    Attributes:
        destroyed: what had come back.
        to_database: lines that the database lacked.
        to_file: lines that the file lacked.
    """

    destroyed: Destroyed
    to_database: int
    to_file: int


def replay(workspace: Workspace, subject: Subject, reason: str) -> Replayed | Denial:
    """Destroy again what came back, and make file and database say the same.

    Raises:
        ShredLedgerAltered, OtherWorkspace: the ledger is not genuine, or the two tell two
            different stories.
        ShredLedgerUnwritable: lines that only the database has do not go into the file.
    """
    with workspace.engine.connect() as connection:
        ledger.alone(connection)
        permission = Permission(
            workspace, subject, Action.ERASE, "vault.replay", purpose=Purpose.LEGAL
        )
        people = permission.people(connection, (), reason)
        if isinstance(people, Denial):
            connection.commit()
            return people
        in_file, stored = ledger.both(connection, workspace)
        whole = _whole(in_file, stored)
        keys = shreds.to_destroy(whole, len(stored))
        back = targets.by_key(connection, sorted(keys))
        named = dict.fromkeys(one.profile_id or NOBODY for one in back)
        permission.log_allowed(connection, named or (NOBODY,), reason)
        destroyed = destroy(connection, workspace, back, workspace.now())
        destroyed = _and_rejected(destroyed, rejected.remove_by_key(connection, workspace, keys))
        missing = whole[len(stored) :]
        ledger.store(connection, missing)
        if len(in_file) < len(whole):
            workspace.shred_file.append(whole[len(in_file) :])
        connection.commit()
    return Replayed(destroyed, len(missing), len(whole) - len(in_file))


def _and_rejected(destroyed: Destroyed, rows: int) -> Destroyed:
    """Count the rejected rows of records that were not stored."""
    if not rows:
        return destroyed
    before = destroyed.rows.get("reject", 0)
    return replace(destroyed, rows={**destroyed.rows, "reject": before + rows})


def _whole(in_file: Sequence[Line], stored: Sequence[Line]) -> Sequence[Line]:
    """The longer of two ledgers, if the shorter one is its beginning."""
    shorter, longer = sorted((in_file, stored), key=len)
    if list(longer[: len(shorter)]) != list(shorter):
        raise ShredLedgerAltered(
            "shred_ledger_differs", "put the ledger file that was written with this database back"
        )
    return longer
