"""Where too many records hang together to be compared whole, and what they share.

A value that was typed to get past a form looks like an identifier. On a hundred records it
makes a component that nobody can judge pair by pair, and clustering decides that one over
the pairs that were scored (`identity/crowd.py`). On more it is no evidence at all. Either
is right for people and slow for the machine, and what to do about it is known to people
only: they are shown how many, and which kind of value, never the value.

Invariants, each named by a test in ``tests/integration/decisions/test_crowded.py``:
    1. The components shown are those that clustering calls crowded, whichever run made them.
    2. Nothing here opens a record: counts, kinds and the ids of profiles.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import sqlalchemy as sa

from cdp.resolution.decisions import active_constraints
from cdp.storage.bulk import stream
from identity import blocking, components
from identity.pairs import Ints
from policies.decision import NOBODY, Scope

KINDS: Final = 3  # kinds of value that are told of one component
EXAMPLES: Final = 3  # profiles named for each
_ROWS: Final = 50_000  # edges fetched at a time


@dataclass(frozen=True, slots=True)
class Shared:
    """A value that many records have in common.

    Attributes:
        kind: an identity field, or the blocking rule whose values are shared together.
        records: how many of the records hold the commonest value of this kind.
        field: whether it is a field, of which a value can be blocked.
    """

    kind: str
    records: int
    field: bool


@dataclass(frozen=True, slots=True)
class Crowd:
    """Records that hang together, or that hold one value.

    Attributes:
        records: how many.
        profiles: into how many people they were divided.
        largest: records of the largest of these.
        shared: what most of them have in common, the commonest first.
        examples: ids of the largest profiles, where the asker may be told.
    """

    records: int
    profiles: int
    largest: int
    shared: tuple[Shared, ...]
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Crowded:
    """Everything that is crowded, the largest first.

    Attributes:
        components: too many records for a look at every pair.
        values: identifiers on so many records that they bring nobody together.
    """

    components: tuple[Crowd, ...]
    values: tuple[Crowd, ...]


def crowded(connection: sa.Connection, most: int, reach: Scope = NOBODY) -> Crowded:
    """Find the crowds.

    Args:
        connection: in a transaction.
        most: components, and values, at the most.
        reach: whose profiles may be named.
    """
    found = sorted(large_components(connection), key=lambda ids: (-len(ids), ids[0]))
    values = connection.execute(_VALUES, {"limit": blocking.MOST, "most": most})
    return Crowded(
        tuple(_crowd(connection, ids, _shared(connection, ids), reach) for ids in found[:most]),
        tuple(
            _crowd(connection, row.ids, (Shared(row.field, len(row.ids), field=True),), reach)
            for row in values
        ),
    )


def large_components(connection: sa.Connection) -> list[list[int]]:
    """The record ids of each component above ``components.LARGEST``, ascending."""
    parts = [
        np.array([tuple(row) for row in rows], np.int64).reshape(-1, 2)
        for rows in stream(connection, _EDGES, _ROWS)
    ]
    decided = active_constraints(connection)
    low = np.concatenate([*(part[:, 0] for part in parts), decided.must_low])
    high = np.concatenate([*(part[:, 1] for part in parts), decided.must_high])
    ids = np.union1d(low, high)
    home = components.connected(len(ids), np.searchsorted(ids, low), np.searchsorted(ids, high))
    large = np.bincount(home, minlength=len(ids)) > components.LARGEST
    return [_members(ids, home, one) for one in np.flatnonzero(large).tolist()]


def _members(ids: Ints, home: Ints, one: int) -> list[int]:
    members: list[int] = ids[home == one].tolist()
    return members


def _shared(connection: sa.Connection, ids: Sequence[int]) -> tuple[Shared, ...]:
    """The commonest value of each kind, of the kinds that most of the records share."""
    fields, rules = {"ids": list(ids)}, {"ids": list(ids), "rules": _COMPOUNDS}
    told = [
        Shared(row.field, row.records, field=True) for row in connection.execute(_FIELDS, fields)
    ]
    told += [
        Shared(blocking.RULES[row.rule].name, row.records, field=False)
        for row in connection.execute(_RULES, rules)
    ]
    return tuple(sorted(told, key=lambda s: (-s.records, not s.field, s.kind))[:KINDS])


def _crowd(
    connection: sa.Connection, ids: Sequence[int], shared: tuple[Shared, ...], reach: Scope
) -> Crowd:
    homes: Sequence[sa.Row[Any]] = connection.execute(_HOMES, {"ids": list(ids)}).all()
    mine = [row.id for row in homes if reach.includes(frozenset(row.stores))]
    return Crowd(
        len(ids),
        len(homes),
        max((row.records for row in homes), default=0),
        shared,
        tuple(mine[:EXAMPLES]),
    )


# Fields are told by their own name: rules of more than one part are what is left.
_COMPOUNDS: Final = [
    number
    for number, rule in enumerate(blocking.RULES)
    if len(rule.together) + (rule.each is not None) > 1
]
_EDGES: Final = sa.text("SELECT low_id, high_id FROM kith.edge WHERE direct")
_VALUES: Final = sa.text(
    """
    SELECT field, array_agg(record_id ORDER BY record_id) AS ids FROM kith_vault.blind_index
    GROUP BY field, value HAVING count(*) > :limit
    ORDER BY count(*) DESC, field, min(record_id) LIMIT :most
    """
)
_FIELDS: Final = sa.text(
    """
    SELECT field, max(records) AS records FROM (
        SELECT field, count(*) AS records FROM kith_vault.blind_index
        WHERE record_id = ANY(CAST(:ids AS bigint[])) GROUP BY field, value
    ) told WHERE records > 1 GROUP BY field
    """
)
_RULES: Final = sa.text(
    """
    SELECT rule, max(records) AS records FROM (
        SELECT k.rule, count(*) AS records
        FROM kith.record_block s CROSS JOIN unnest(s.keys, s.rules) AS k(key, rule)
        WHERE s.record_id = ANY(CAST(:ids AS bigint[])) AND k.rule = ANY(CAST(:rules AS integer[]))
        GROUP BY k.rule, k.key
    ) told WHERE records > 1 GROUP BY rule
    """
)
_HOMES: Final = sa.text(
    """
    SELECT p.id, p.stores, count(*) AS records
    FROM kith.membership m JOIN kith.profile p ON p.id = m.profile_id
    WHERE m.record_id = ANY(CAST(:ids AS bigint[]))
    GROUP BY p.id, p.stores ORDER BY records DESC, p.id
    """
)
