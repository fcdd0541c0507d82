"""Store a partition: people, their members, their history. One transaction's work.

Invariants:
    1. A profile id follows its anchor, the oldest record of the person: it is computed
       from that record's key, so a rebuild gives every person the same id again.
    2. A merge keeps the older id and the younger one redirects to it; a split gives the
       other side its own id back, and the redirect ends.
    3. What did not change is not written: a second run over the same records leaves
       every row as it was.
    4. Nothing is seen half done: a run is stored whole or not at all.
    5. Where every record was, and when, can be read afterwards.
    6. Whoever changes many people holds their rows before it writes one, in the order in
       which a sync takes them: records before profiles, each by id.

One function serves a run over all records and the repair of a few: what it sends grows
with the changes, and a kind of change that there is not costs no statement.
"""

import datetime as dt
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import sqlalchemy as sa

from cdp.errors import Retry
from cdp.profiles.build import contents
from cdp.resolution.changes import NONE, Changes, compare
from cdp.resolution.feature_keys import in_force
from cdp.resolution.opened import Opened
from cdp.storage import schema
from cdp.storage.bulk import insert
from cdp.storage.statements import Statement, array, ask, send
from cdp.vault.keyed import RecordKeys
from cdp.workspace import Workspace
from identity.pairs import Bools, Ints, places

AT_ONCE = 20_000  # profiles that are written together
FEW = 20  # people; more are held before the first is written, see invariant 6
_NOBODY: Mapping[int, Sequence[int]] = {}
_ASKED = 1000  # members that were not opened are tried once more: so many tell why


@dataclass(frozen=True, slots=True)
class Seen:
    """The records that were judged, as they were when they were read.

    Attributes:
        ids: record ids, ascending.
        revisions: their revisions.
        dirty: whether they were to be looked at again.
        keys: their record keys by id, as far as known; others are asked for.
    """

    ids: Ints
    revisions: Ints
    dirty: Bools
    keys: Mapping[int, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Decided:
    """How it was found out who is who.

    Attributes:
        epoch: the model.
        at: when.
        trust: source names, the most trusted first: of many new people whose records are all
            held, the profiles are stored with what they say. None: all are to be rebuilt.
    """

    epoch: str
    at: dt.datetime
    trust: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run changed, in profiles.

    Attributes:
        created: how many came into being.
        merges: (the older id, the id that now leads to it).
        splits: (the id that split off, the id it split from).
        touched: profiles whose members changed, or a record of theirs.
        built: those of them that were stored with what they say; others are to be rebuilt.
    """

    created: int
    merges: tuple[tuple[str, str], ...]
    splits: tuple[tuple[str, str], ...]
    touched: tuple[str, ...]
    built: frozenset[str] = frozenset()  # those that were written with what they say

    @property
    def merged(self) -> int:
        """How many profiles ended in another."""
        return len(self.merges)

    @property
    def split(self) -> int:
        """How many profiles split off another."""
        return len(self.splits)


def anchors_before(connection: sa.Connection, workspace: Workspace, ids: Ints) -> Ints:
    """The anchor of each record's profile as it is stored, ``NONE`` for no profile.

    Args:
        connection: in the transaction that stores.
        workspace: whose records they are.
        ids: of all records that could be opened, ascending.

    Raises:
        Keyless: a member is not among them, because its data key is missing.
        Retry: a member is not among them, and opens: it came in since they were read.
    """
    rows = connection.execute(
        sa.text(
            "SELECT m.record_id, p.anchor_id FROM kith.membership m "
            "JOIN kith.profile p ON p.id = m.profile_id"
        )
    ).all()
    found = np.array([tuple(row) for row in rows], np.int64).reshape(-1, 2)
    was = np.full(len(ids), NONE, np.int64)
    at = places(ids, found[:, 0])
    if (at < 0).any():  # all members are loaded, but those that cannot be opened
        members = np.sort(found[at < 0, 0])
        opened = Opened(workspace.vault, feature_key=in_force(connection))
        opened.open(connection, members[:_ASKED].tolist())
        raise Retry(
            "it was resolved while everybody was",
            "nothing was stored; run it again",
            record=int(members[0]),
        )
    was[at] = found[:, 1]
    return was


def keep_from_going(connection: sa.Connection, ids: Ints) -> None:
    """Let nobody destroy these records until what is stored of them is committed.

    What is then destroyed is destroyed with it. An erasure waits for no resolve, and edges
    and blocking keys refer to a record by its number only.

    Raises:
        Retry: some of them were destroyed since they were read.
    """
    there = ask(connection, _STAY, array(ids.tolist()))[0][0]
    if there < len(ids):
        raise Retry(
            "records were destroyed while everybody was resolved",
            "nothing was stored; run it again",
            records=len(ids) - there,
        )


def apply(
    connection: sa.Connection,
    keys: RecordKeys,
    seen: Seen,
    partition: tuple[Ints, Ints],
    decided: Decided,
) -> Outcome:
    """Make the database say who is one person now, and write nothing else.

    Args:
        connection: in a transaction that keeps others from storing the same people.
        keys: names profiles.
        seen: every member of every person among the records, before and after.
        partition: the anchors of ``seen.ids`` before (``anchors_before``) and now.
        decided: how it was found.
    """
    was, now = partition
    epoch, at, trust = decided.epoch, decided.at, decided.trust
    changes = compare(seen.ids, was, now)
    dirty = np.flatnonzero(seen.dirty)
    touched = np.union1d(changes.touched, now[dirty])
    names = _names(connection, keys, changes, touched, seen.keys)
    people = [names[one] for one in np.union1d(touched, changes.gone).tolist()]
    built: frozenset[str] = frozenset()
    if many := len(people) > FEW:
        send(connection, _HOLD_RECORDS, array(seen.ids[dirty].tolist()))
        send(connection, _HOLD_PROFILES, array(people))
    if not changes.empty:
        told = _told(seen, changes.fresh, now) if many and trust is not None else _NOBODY
        built = _add_profiles(connection, changes.fresh, names, at, (told, trust or ()))
        _tell(connection, changes, names, epoch, at)
        _redirect(connection, changes, names, at)
        _move(connection, changes, names, at)
    if len(dirty):
        ids, revisions = seen.ids[dirty], seen.revisions[dirty]
        send(connection, _CLEAN, array(ids.tolist()), array(revisions.tolist()))
    return Outcome(
        len(changes.created),
        tuple((names[a], names[b]) for a, b in _pairs(changes.into, changes.gone)),
        tuple((names[a], names[b]) for a, b in _pairs(changes.new, changes.out_of)),
        tuple(sorted(names[anchor] for anchor in touched.tolist())),
        built,
    )


def _names(
    connection: sa.Connection,
    keys: RecordKeys,
    changes: Changes,
    touched: Ints,
    known: Mapping[int, bytes],
) -> Mapping[int, str]:
    """The profile id of each anchor, and the id that each moved record would give."""
    parts = (changes.fresh, changes.gone, changes.into, changes.out_of, changes.moved)
    wanted = np.unique(np.concatenate((*parts, touched))).tolist()
    names = {one: keys.profile_id(known[one]) for one in wanted if one in known}
    asked = [one for one in wanted if one not in known]
    if asked:
        rows = ask(connection, _KEYS, array(asked))
        names |= {record: keys.profile_id(bytes(key)) for record, key in rows}
    return names


def _told(seen: Seen, fresh: Ints, now: Ints) -> Mapping[int, Sequence[int]]:
    """The records of new people, by anchor, where nobody else can change one of them.

    Those that were dirty are held. What another one says may be changed at this moment, and
    whoever changes it does not know of the new profile: it is read again once it is stored.
    """
    if not len(fresh):
        return _NOBODY
    held = np.ones(len(fresh), np.bool_)
    at = places(fresh, now)
    held[at[(at >= 0) & ~seen.dirty]] = False
    mine = np.flatnonzero((at >= 0) & held[at])
    mine = mine[np.argsort(at[mine], kind="stable")]
    anchors, starts = np.unique(now[mine], return_index=True)
    ends = np.append(starts, len(mine))[1:]
    bounds = zip(anchors.tolist(), starts.tolist(), ends.tolist(), strict=True)
    ids = seen.ids[mine].tolist()
    return {anchor: ids[start:end] for anchor, start, end in bounds}


def _add_profiles(
    connection: sa.Connection,
    fresh: Ints,
    names: Mapping[int, str],
    at: dt.datetime,
    told: tuple[Mapping[int, Sequence[int]], Sequence[str]],
) -> frozenset[str]:
    """Give every new anchor a profile, empty until it is built; return those that were built."""
    when = at.isoformat()
    people, trust = told
    empty = (a for a in fresh.tolist() if a not in people)
    insert(
        connection,
        schema.profile,
        ((names[a], a, 0, 0, [], "{}", "{}", [], when) for a in empty),
    )
    said = zip(people, contents(connection, trust, list(people.values())), strict=True)
    while some := list(islice(said, AT_ONCE)):
        rows = (
            (names[a], a, 1, one["size"], one["stores"], _document(one["golden"]),
             _document(one["attributes"]), one["purposes"], when)
            for a, one in some
        )  # fmt: skip
        insert(connection, schema.profile, rows)
    return frozenset(names[a] for a in people)


def _document(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _tell(
    connection: sa.Connection,
    changes: Changes,
    names: Mapping[int, str],
    epoch: str,
    at: dt.datetime,
) -> None:
    """Write what happened to profiles: created, split, merged, each in the order of anchors."""
    when = at.isoformat()
    told: list[tuple[str, str, str | None]] = []
    told += [("created", names[a], None) for a in changes.created.tolist()]
    told += [("split", names[a], names[b]) for a, b in _pairs(changes.new, changes.out_of)]
    told += [("merged", names[a], names[b]) for a, b in _pairs(changes.into, changes.gone)]
    insert(connection, schema.profile_event, ((*one, epoch, when) for one in told))


def _redirect(
    connection: sa.Connection, changes: Changes, names: Mapping[int, str], at: dt.datetime
) -> None:
    """Lead every old id to the profile that holds the record it was made from."""
    if not (len(changes.moved) or len(changes.fresh)):
        return
    ended = set(changes.gone.tolist()) | set(changes.new.tolist())
    follow = [
        (names[record], names[to])
        for record, to in _pairs(changes.moved, changes.moved_to)
        if record not in ended
    ]
    send(
        connection,
        _REDIRECT,
        array(names[a] for a in changes.fresh.tolist()),
        array(names[a] for a in changes.gone.tolist()),
        array(names[a] for a in changes.into.tolist()),
        array(own for own, _ in follow),
        array(to for _, to in follow),
        at,
    )


def _move(
    connection: sa.Connection, changes: Changes, names: Mapping[int, str], at: dt.datetime
) -> None:
    when = at.isoformat()
    insert(
        connection,
        schema.membership,
        ((record, names[to], when) for record, to in _pairs(changes.joined, changes.joined_to)),
    )
    if len(changes.moved):
        moved_to = array(names[a] for a in changes.moved_to.tolist())
        send(connection, _MOVE, array(changes.moved.tolist()), moved_to, at)
    if len(changes.gone):
        send(connection, _END, array(names[a] for a in changes.gone.tolist()))


def _pairs(one: Ints, other: Ints) -> Iterable[tuple[int, int]]:
    return zip(one.tolist(), other.tolist(), strict=True)


_STAY = Statement(
    "records_stay",
    ("bigint[]",),
    "SELECT count(*) FROM (SELECT FROM kith.record WHERE id = ANY($1) FOR KEY SHARE) r",
)
# Rows are taken as they come out of the sort; only their number comes back.
_HOLD_RECORDS, _HOLD_PROFILES = (
    Statement(
        name,
        (f"{kind}[]",),
        f"SELECT count(*) FROM (SELECT FROM kith.{table} WHERE id = ANY($1) "
        "ORDER BY id FOR NO KEY UPDATE) held",
    )
    for name, kind, table in (
        ("hold_records", "bigint", "record"),
        ("hold_profiles", "text", "profile"),
    )
)
_KEYS = Statement(
    "record_keys",
    ("bigint[]",),
    "SELECT r.id, r.key FROM kith.record r JOIN unnest($1) AS x(id) ON x.id = r.id",
)
# Three kinds of rows that never meet: ids that name somebody again, ids that end, and old
# ids whose record moved on.
_REDIRECT = Statement(
    "redirect",
    ("text[]", "text[]", "text[]", "text[]", "text[]", "timestamptz"),
    """
    WITH revived AS (
        DELETE FROM kith.redirect WHERE old_id = ANY($1)
    ), ended AS (
        INSERT INTO kith.redirect (old_id, new_id, at)
        SELECT x.gone, x.now_in, $6
        FROM unnest($2, $3) AS x(gone, now_in)
        ON CONFLICT (old_id) DO UPDATE SET new_id = excluded.new_id, at = excluded.at
    )
    UPDATE kith.redirect r SET new_id = x.now_in
    FROM unnest($4, $5) AS x(own, now_in)
    WHERE r.old_id = x.own AND r.new_id <> x.now_in
    """,
)
# All parts of a statement see the rows as they were before it: the history keeps the old.
_MOVE = Statement(
    "move_members",
    ("bigint[]", "text[]", "timestamptz"),
    """
    WITH left_behind AS (
        INSERT INTO kith.membership_history (record_id, profile_id, since, until)
        SELECT m.record_id, m.profile_id, m.since, $3 FROM kith.membership m
        WHERE m.record_id = ANY($1)
    )
    UPDATE kith.membership m SET profile_id = x.profile_id, since = $3
    FROM unnest($1, $2) AS x(record_id, profile_id)
    WHERE m.record_id = x.record_id
    """,
)
_END = Statement("end_profiles", ("text[]",), "DELETE FROM kith.profile WHERE id = ANY($1)")
_CLEAN = Statement(
    "clean",
    ("bigint[]", "integer[]"),
    """
    UPDATE kith.record r SET dirty = FALSE
    FROM unnest($1, $2) AS x(id, revision)
    WHERE r.id = x.id AND r.revision = x.revision AND r.dirty
    """,
)
