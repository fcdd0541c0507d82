"""How the database stands to records that arrive: stored already, new, or destroyed for good."""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from cdp.storage.statements import Row, Statement, array, ask, bytes_array
from cdp.vault.keyed import FIRST


@dataclass(frozen=True, slots=True)
class Known:
    """What is stored of a record already."""

    id: int
    content: bytes
    revision: int
    dirty: bool  # whether it waits to be resolved


@dataclass(frozen=True, slots=True)
class Standing:
    """How the database stands to some record keys.

    Attributes:
        known: what is stored, by key.
        fresh: new ids for those that are not stored, in the order of arrival.
        gone: keys that stand as destroyed.
        feature_key: the version of the features key that new features are under.
    """

    known: dict[bytes, Known]
    fresh: list[int]
    gone: set[bytes]
    feature_key: int


def known_records(connection: sa.Connection, keys: Sequence[bytes]) -> Standing:
    """What is stored of these record keys, and new ids for those that are not stored."""
    known: dict[bytes, Known] = {}
    fresh: list[int] = []
    gone: set[bytes] = set()
    rows = ask(connection, _KNOWN, bytes_array(keys))
    for destroyed, key, number, *stored, _ in rows:
        if destroyed is not None:
            gone.add(bytes(destroyed))
        elif key is None:
            fresh.append(number)
        else:
            known[bytes(key)] = _known((number, *stored))
    return Standing(known, sorted(fresh), gone, rows[0][-1] if rows else FIRST)


def _known(row: Row) -> Known:
    number, content, revision, dirty = row
    return Known(number, bytes(content), revision, dirty)


def held(connection: sa.Connection, ids: Sequence[int]) -> dict[int, Known]:
    """What is stored of records that are going to change; nobody else changes them meanwhile.

    Those that are not there any more are left out.
    """
    return {row[0]: _known(row) for row in ask(connection, _HELD, array(ids))}


_KNOWN = Statement(
    "known_records",
    ("bytea[]",),
    """
    SELECT CASE WHEN r.id IS NULL AND 'shred' = (
               SELECT s.kind FROM kith.shred s WHERE s.key = x.key ORDER BY s.sequence DESC LIMIT 1
           ) THEN x.key END,
           r.key, coalesce(r.id, nextval('kith.record_id_seq')), r.content, r.revision, r.dirty,
           (SELECT w.feature_key FROM kith.workspace w)
    FROM unnest($1) AS x(key) LEFT JOIN kith.record r ON r.key = x.key
    """,
)
_HELD = Statement(
    "held_records",
    ("bigint[]",),
    """
    SELECT id, content, revision, dirty FROM kith.record WHERE id = ANY($1)
    ORDER BY id FOR NO KEY UPDATE
    """,
)
