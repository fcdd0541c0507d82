"""Rejected rows of destroyed records: they are counted like other rows of them, never kept.

A row that could not be read may still name its record. It is recognised as the ledger knows
records, by the keyed hash, so nothing of it has to be kept to recognise it the next time.

Invariants, each named by a test in ``tests/integration/erasure/test_rejected_rows.py``:

1. A rejected row that may be of a record that stands as destroyed is not stored, not even
   sealed.
2. Nothing is destroyed between the look at the ledger and the commit of the rows.
3. While nothing was ever destroyed, no row is looked into.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

import sqlalchemy as sa

from cdp.storage.locks import share
from cdp.storage.statements import Statement, ask, bytes_array
from cdp.vault.errors import NotKeyable
from cdp.vault.keyed import RecordKeys
from connectors.declaration import SourceDeclaration
from connectors.possible_ids import kept, kept_id, possible_ids
from connectors.record import Rejection, Sensitive

REASON = "tell whether a rejected row is of a destroyed record"
NOTHING = Sensitive("")
ASKED = 20_000  # keys in one question to the ledger
_ANY = Statement("any_destroyed", (), "SELECT EXISTS (SELECT FROM kith.shred)")
_STANDING = Statement(
    "destroyed_among",
    ("bytea[]",),
    """
    SELECT x.key FROM unnest($1) AS x(key) WHERE 'shred' = (
        SELECT s.kind FROM kith.shred s WHERE s.key = x.key ORDER BY s.sequence DESC LIMIT 1)
    """,
)


def hold_ledger(connection: sa.Connection) -> None:
    """See to it that nobody destroys until the transaction ends; others may do the same.

    Ask for it first in a transaction: whoever destroys waits for what others hold.
    """
    share(connection, "shred")


def destroyed_among(connection: sa.Connection, keys: Collection[bytes]) -> set[bytes]:
    """Those of these record keys that stand as destroyed."""
    if not keys:
        return set()
    return {bytes(row[0]) for row in ask(connection, _STANDING, bytes_array(keys))}


def rows_to_keep(
    connection: sa.Connection,
    record_keys: RecordKeys,
    source: SourceDeclaration,
    rows: Sequence[Rejection],
) -> list[Rejection]:
    """Return the rejected rows without those of destroyed records, as they are to be kept.

    A row that cannot be told apart from those of destroyed records keeps its place and its
    rule, and loses its content.
    """
    as_kept = [_with_id(row) for row in rows]
    if not rows or not ask(connection, _ANY)[0][0]:
        return as_kept
    left: list[Rejection] = []
    some: list[tuple[Rejection, set[bytes] | None]] = []
    asked = 0
    for row in as_kept:
        mine = possible_keys(record_keys, source.name, source, row.raw.reveal(reason=REASON))
        some.append((row, mine))
        asked += len(mine or ())
        if asked >= ASKED:
            left += _not_gone(connection, some)
            some, asked = [], 0
    return left + _not_gone(connection, some)


def _not_gone(
    connection: sa.Connection, rows: Sequence[tuple[Rejection, set[bytes] | None]]
) -> list[Rejection]:
    """Those of the rows of which no key stands as destroyed."""
    gone = destroyed_among(connection, set().union(*(mine for _, mine in rows if mine)))
    return [
        row if mine is not None else replace(row, raw=NOTHING)
        for row, mine in rows
        if not mine or gone.isdisjoint(mine)
    ]


def possible_keys(
    record_keys: RecordKeys, name: str, source: SourceDeclaration | None, text: str
) -> set[bytes] | None:
    """Return the keys of the records that a rejected row may be of; None: too many to try.

    Args:
        record_keys: of the workspace.
        name: of the source.
        source: its declaration, if it still has one.
        text: the row as it is kept.
    """
    text = text.encode(errors="replace").decode()  # as it is sealed
    known = kept_id(text)
    if known is not None:
        ids: Collection[str] | None = (known,)
    elif source is None:
        ids = possible_ids(text, 1)
    else:
        ids = possible_ids(text, len(source.record_id), source.delimiter)
    return None if ids is None else set(_keyed(record_keys, name, ids))


def _keyed(record_keys: RecordKeys, name: str, ids: Collection[str]) -> Iterator[bytes]:
    for one in ids:
        try:
            yield record_keys.record_key(name, one)
        except NotKeyable:
            continue  # so it is the id of no record


def _with_id(row: Rejection) -> Rejection:
    if row.record_id is None and row.cells is None:
        return row
    named = row.record_id.reveal(reason=REASON) if row.record_id else None
    cells = row.cells.reveal(reason=REASON) if row.cells else None
    whole = kept(named, row.raw.reveal(reason=REASON), cells, row.order)
    return replace(row, raw=Sensitive(whole))
