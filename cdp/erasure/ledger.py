"""The shred ledger in its two places: the database, and the file beside it.

Invariants, each named by a test in ``tests/integration/erasure/test_ledger.py``:

1. The file is written, to the disk, before the transaction that destroys is committed: a
   kill between the two leaves a file that is ahead, never a shred that only a database
   remembers.
2. A line is written only behind a ledger whose every line was checked, in both places.
3. Two who write do so one after the other.
"""

from collections.abc import Iterable, Sequence

import sqlalchemy as sa

from cdp.storage.locks import until_commit
from cdp.storage.schema import shred
from cdp.vault.errors import ShredLedgerAltered
from cdp.vault.shreds import Entry, Kind, Line, Sealer
from cdp.workspace import Workspace

_WAIT = "wait until the other has ended, then run the same command again"
_DIFFERS = "put the ledger file that was written with this database back"


def alone(connection: sa.Connection) -> None:
    """Nobody else resolves, repairs, decides or destroys until the transaction ends."""
    # In the order that everybody keeps.
    for work in ("resolve", "repair", "shred"):
        until_commit(connection, work, _WAIT)


def checked(connection: sa.Connection, workspace: Workspace) -> list[Line]:
    """Return every line, once file and database say the same and all of it is genuine.

    Raises:
        RestoredBeforeShred, ShredLedgerBehind, ShredLedgerAltered, OtherWorkspace.
    """
    workspace.check_ledger(connection)
    in_file, stored = both(connection, workspace)
    if in_file != stored:
        raise ShredLedgerAltered("shred_ledger_differs", _DIFFERS, line=_fork(in_file, stored))
    return in_file


def both(connection: sa.Connection, workspace: Workspace) -> tuple[list[Line], list[Line]]:
    """Return the lines of the file and those of the database, each checked.

    Raises:
        ShredLedgerAltered, OtherWorkspace: a line is not genuine, or not of here.
    """
    sealer = Sealer(workspace.keyring)
    in_file = list(sealer.check(workspace.shred_file.read()))
    return in_file, list(sealer.check(_stored(connection)))


def write(
    connection: sa.Connection, workspace: Workspace, entries: Iterable[Entry], after: Line | None
) -> list[Line]:
    """Write lines behind ``after`` in both places; commit the transaction at once.

    Raises:
        ShredLedgerUnwritable: the file cannot be written; roll the transaction back.
    """
    lines = Sealer(workspace.keyring).seal(entries, after)
    store(connection, lines)
    workspace.shred_file.append(lines)
    return lines


def store(connection: sa.Connection, lines: Sequence[Line]) -> None:
    """Write lines into the database."""
    if lines:
        connection.execute(
            sa.insert(shred),
            [
                {
                    "sequence": one.sequence,
                    "kind": one.entry.kind.value,
                    "key": one.entry.key,
                    "at": one.entry.at,
                    "actor": one.entry.actor,
                    "reason": one.entry.reason,
                    "key_version": one.key_version,
                    "mac": one.mac,
                }
                for one in lines
            ],
        )


def _stored(connection: sa.Connection) -> Iterable[Line]:
    for row in connection.execute(sa.select(shred).order_by(shred.c.sequence)):
        entry = Entry(Kind(row.kind), bytes(row.key), row.at, row.actor, row.reason)
        yield Line(row.sequence, entry, row.key_version, bytes(row.mac))


def _fork(one: Sequence[Line], other: Sequence[Line]) -> int:
    """The first line in which two ledgers differ."""
    same = (place for place, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1])
    return next(same, min(len(one), len(other))) + 1
