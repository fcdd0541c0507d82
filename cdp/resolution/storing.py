"""Store a resolution: people, their members, their history. One transaction's work.

Invariants:
    1. A profile id follows its anchor, the oldest record of the person: it is computed
       from that record's key, so a rebuild gives every person the same id again.
    2. A merge keeps the older id and the younger one redirects to it; a split gives the
       other side its own id back, and the redirect ends.
    3. What did not change is not written: a second run over the same records leaves
       every row as it was.
    4. Nothing is seen half done: a run is stored whole or not at all.
"""

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from cdp.resolution.loading import Loaded
from cdp.storage import schema
from cdp.storage.bulk import copy_in
from cdp.vault.keyed import RecordKeys
from identity.batch import Resolution

_RESOLVED = sa.Table(
    "resolved",
    sa.MetaData(),
    sa.Column("record_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("revision", sa.Integer),
    sa.Column("anchor_id", sa.BigInteger),
    prefixes=["TEMPORARY"],
    postgresql_on_commit="DROP",
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run changed, in profiles; ``touched`` are those whose members changed."""

    created: int
    merged: int
    split: int
    touched: tuple[str, ...]


def store(
    connection: sa.Connection,
    keys: RecordKeys,
    loaded: Loaded,
    resolution: Resolution,
    epoch: str,
    now: dt.datetime,
) -> Outcome:
    """Make the database say what the resolution found."""
    _RESOLVED.create(connection)
    anchors = dict(zip(resolution.records.tolist(), resolution.anchors.tolist(), strict=True))
    copy_in(connection, _RESOLVED, ((r, revision, anchors[r]) for r, revision in loaded.revisions))
    connection.execute(sa.text("ANALYZE resolved"))
    _add_profiles(connection, keys, now)
    when = {"now": now, "epoch": epoch}
    created = connection.execute(_CREATED, when).rowcount
    split = connection.execute(_SPLIT, when).rowcount
    merged = connection.execute(_MERGED, when).rowcount
    connection.execute(_REDIRECT, when)
    connection.execute(_REVIVED)
    moved = connection.execute(_MOVED).all()
    _follow(connection, {keys.profile_id(bytes(row.key)): row.now_in for row in moved})
    touched = {row.was_in for row in moved}
    touched |= set(connection.scalars(_MEMBERS))
    touched |= set(connection.scalars(_REFRESHED))
    touched -= set(connection.scalars(_VANISHED))
    _store_edges(connection, resolution, epoch)
    connection.execute(_CLEAN)
    return Outcome(created, merged, split, tuple(sorted(touched)))


def _add_profiles(connection: sa.Connection, keys: RecordKeys, now: dt.datetime) -> None:
    """Give every anchor without a profile one, empty until it is built."""
    anchors = connection.execute(
        sa.text(
            "SELECT r.id, r.key FROM kith.record r JOIN resolved s ON s.record_id = r.id "
            "WHERE s.anchor_id = s.record_id AND NOT EXISTS "
            "(SELECT FROM kith.profile p WHERE p.anchor_id = r.id) ORDER BY r.id"
        )
    )
    at = now.isoformat()
    copy_in(
        connection,
        schema.profile,
        (
            (keys.profile_id(bytes(row.key)), row.id, 0, 0, [], "{}", "{}", [], at)
            for row in anchors.all()
        ),
    )


def _follow(connection: sa.Connection, moved: Mapping[str, str]) -> None:
    """Lead the id that each moved record would give, where it once was one, to its profile."""
    if moved:
        where = [{"own": own, "now_in": now_in} for own, now_in in moved.items()]
        connection.execute(_FOLLOW, where)


def _store_edges(connection: sa.Connection, resolution: Resolution, epoch: str) -> None:
    pairs = resolution.edges
    connection.execute(
        sa.text("CREATE TEMPORARY TABLE fresh (LIKE kith.edge INCLUDING INDEXES) ON COMMIT DROP")
    )
    fresh = sa.Table(
        "fresh", sa.MetaData(), *(sa.Column(c.name, c.type) for c in schema.edge.columns)
    )
    copy_in(connection, fresh, _edge_rows(resolution, epoch))
    connection.execute(
        sa.text(
            "DELETE FROM kith.edge e WHERE NOT EXISTS (SELECT FROM fresh f "
            "WHERE f.low_id = e.low_id AND f.high_id = e.high_id AND f.weight = e.weight "
            "AND f.levels = e.levels AND f.weights = e.weights AND f.epoch = e.epoch)"
        )
    )
    if len(pairs):
        connection.execute(
            sa.text(
                "INSERT INTO kith.edge SELECT * FROM fresh ON CONFLICT (low_id, high_id) DO NOTHING"
            )
        )


def _edge_rows(resolution: Resolution, epoch: str) -> Iterable[tuple[object, ...]]:
    pairs = resolution.edges
    weights = pairs.weight.round(6).tolist()
    for place, (low, high) in enumerate(zip(pairs.low.tolist(), pairs.high.tolist(), strict=True)):
        levels, bits = pairs.levels[place].tolist(), pairs.bits[place].round(6).tolist()
        yield low, high, weights[place], levels, bits, epoch


# A profile is new when it has no member yet; its anchor's old membership says from where.
_CREATED = sa.text(
    """
    INSERT INTO kith.profile_event (kind, profile_id, epoch, at)
    SELECT 'created', p.id, :epoch, :now
    FROM kith.profile p JOIN resolved s ON s.record_id = p.anchor_id AND s.anchor_id = s.record_id
    LEFT JOIN kith.membership m ON m.record_id = p.anchor_id
    WHERE m.record_id IS NULL ORDER BY p.anchor_id
    """
)
_SPLIT = sa.text(
    """
    INSERT INTO kith.profile_event (kind, profile_id, other_id, epoch, at)
    SELECT 'split', p.id, m.profile_id, :epoch, :now
    FROM kith.profile p JOIN resolved s ON s.record_id = p.anchor_id AND s.anchor_id = s.record_id
    JOIN kith.membership m ON m.record_id = p.anchor_id AND m.profile_id <> p.id
    ORDER BY p.anchor_id
    """
)
_GONE = """
    FROM kith.profile gone JOIN resolved s ON s.record_id = gone.anchor_id
    JOIN kith.profile p ON p.anchor_id = s.anchor_id
    WHERE s.anchor_id <> s.record_id
"""
_MERGED = sa.text(
    f"""
    INSERT INTO kith.profile_event (kind, profile_id, other_id, epoch, at)
    SELECT 'merged', p.id, gone.id, :epoch, :now {_GONE} ORDER BY gone.anchor_id
    """
)
_REDIRECT = sa.text(
    f"""
    INSERT INTO kith.redirect (old_id, new_id, at) SELECT gone.id, p.id, :now {_GONE}
    ON CONFLICT (old_id) DO UPDATE SET new_id = excluded.new_id, at = excluded.at
    """
)
# An old id leads to wherever the record is that it was made from.
_FOLLOW = sa.text(
    "UPDATE kith.redirect SET new_id = :now_in WHERE old_id = :own AND new_id <> :now_in"
)
_REVIVED = sa.text(
    """
    DELETE FROM kith.redirect r USING kith.profile p JOIN resolved s ON s.record_id = p.anchor_id
    WHERE r.old_id = p.id AND s.anchor_id = s.record_id
    """
)
# The profiles that records leave, and after that the profiles that they join.
_MOVED = sa.text(
    """
    SELECT r.key, m.profile_id AS was_in, p.id AS now_in
    FROM kith.membership m JOIN resolved s USING (record_id)
    JOIN kith.profile p ON p.anchor_id = s.anchor_id
    JOIN kith.record r ON r.id = m.record_id WHERE p.id <> m.profile_id
    """
)
_MEMBERS = sa.text(
    """
    INSERT INTO kith.membership AS m (record_id, profile_id)
    SELECT s.record_id, p.id FROM resolved s JOIN kith.profile p ON p.anchor_id = s.anchor_id
    ON CONFLICT (record_id) DO UPDATE SET profile_id = excluded.profile_id
    WHERE m.profile_id <> excluded.profile_id
    RETURNING m.profile_id
    """
)
_REFRESHED = sa.text(
    """
    SELECT DISTINCT m.profile_id FROM kith.record r JOIN kith.membership m ON m.record_id = r.id
    WHERE r.dirty
    """
)
_VANISHED = sa.text(
    """
    DELETE FROM kith.profile p USING resolved s
    WHERE s.record_id = p.anchor_id AND s.anchor_id <> s.record_id RETURNING p.id
    """
)
_CLEAN = sa.text(
    """
    UPDATE kith.record r SET dirty = FALSE FROM resolved s
    WHERE r.id = s.record_id AND r.revision = s.revision AND r.dirty
    """
)
