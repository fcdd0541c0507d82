"""From the record tables to `RecordFacts`: one statement for many profiles."""

from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

import sqlalchemy as sa

from cdp.profiles.survivorship import RecordFacts, ranked
from cdp.storage.statements import Row, Statement, array, ask

ACTIVE: Final = "active"  # the state of a record whose values are read
PARTS: Final = ("size", "stores", "golden", "attributes", "purposes")
_OWN: Final = 12  # columns before those of the profile

_FACTS: Final = Statement(
    "record_facts",
    ("text[]",),
    """
    SELECT m.profile_id, r.id, r.source, c.fields, s.fields, r.purposes, r.refused,
           r.first_seen_at, r.last_seen_at, r.store, r.attributes, r.state,
           p.revision, p.size, p.stores, p.golden, p.attributes, p.purposes
      FROM kith.membership m
      JOIN kith.profile p ON p.id = m.profile_id
      JOIN kith.record r ON r.id = m.record_id
      LEFT JOIN kith_vault.contact c ON c.record_id = r.id
      LEFT JOIN kith_vault.sensitive s ON s.record_id = r.id
     WHERE m.profile_id = ANY($1)
     ORDER BY m.profile_id
    """,
)
# One look into each index for each record, however many the planner expects.
_FACTS_OF: Final = Statement(
    "facts_of_records",
    ("bigint[]",),
    """
    SELECT r.id, r.source, c.fields, s.fields, r.purposes, r.refused,
           r.first_seen_at, r.last_seen_at, r.store, r.attributes, r.state
      FROM unnest($1) AS x(id)
      CROSS JOIN LATERAL (SELECT * FROM kith.record WHERE id = x.id OFFSET 0) r
      LEFT JOIN LATERAL (
           SELECT fields FROM kith_vault.contact WHERE record_id = x.id OFFSET 0) c ON TRUE
      LEFT JOIN LATERAL (
           SELECT fields FROM kith_vault.sensitive WHERE record_id = x.id OFFSET 0) s ON TRUE
    """,
)


def facts_of(connection: sa.Connection, records: Collection[int]) -> dict[int, RecordFacts]:
    """The facts of records, by id, whichever profile they are in."""
    rows = ask(connection, _FACTS_OF, array(records))
    return {row[0]: _facts_of(row) for row in rows}


def facts(
    connection: sa.Connection, profile_ids: Collection[str], trust: Sequence[str]
) -> Iterator[tuple[str, tuple[RecordFacts, ...]]]:
    """Yield each profile that has records, and its records as ``ranked`` orders them."""
    for profile_id, _, records in stored_and_facts(connection, profile_ids, trust):
        yield profile_id, records


def stored_and_facts(
    connection: sa.Connection, profile_ids: Collection[str], trust: Sequence[str]
) -> Iterator[tuple[str, Row, tuple[RecordFacts, ...]]]:
    """``facts`` with the profile's own row: its revision, then ``PARTS``."""
    rows = ask(connection, _FACTS, array(profile_ids))
    for profile_id, members in groupby(rows, key=itemgetter(0)):
        held = list(members)
        records = ranked((_facts_of(row[1:_OWN]) for row in held), trust)
        yield profile_id, held[0][_OWN:], records


# Most records share their field names and purposes with thousands of others.
_words = lru_cache(maxsize=4096)(frozenset[str])


def _facts_of(row: Sequence[Any]) -> RecordFacts:
    number, source, near, far, purposes, refused, first, last, store, attributes, state = row
    if state != ACTIVE:
        # Stored, and not read: it is one of the person's records, and what it refused holds.
        near, far, purposes, store, attributes = (), (), (), None, {}
    return RecordFacts(
        id=number,
        source=source,
        fields=_words((*(near or ()), *(far or ()))),
        purposes=_words(tuple(purposes)),
        refused=_words(tuple(refused)),
        first_seen=first,
        last_seen=last,
        store=store,
        attributes=attributes,
    )
