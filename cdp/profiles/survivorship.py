"""Which record of a person gives each field.

Invariants, each named by a test in ``tests/unit/profiles/test_survivorship.py``:

1. The order in which records are given never matters.
2. A field comes from the most trusted source that has it; among equals from the record
   changed last; among those from the older record id. A source nobody ranked comes last.
3. A record of a less trusted source never changes where a field already comes from.
4. A name comes from ``name`` alone. A masked name, a nickname, a remark or a privacy
   number never stands in for a name or a phone.
5. For a purpose, only records whose own consent covers it give a value, a number, a date
   or a store.
6. A purpose holds for a person when a record grants it and no record refuses it.

A golden field is a pointer, ``{field: record id}``. No value is read to find it.
(Ingest joins ``surname`` and ``given_name`` into the cell ``name`` when both are whole,
so a name kept in two columns counts as a name here.)
"""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from connectors.record import AttributeValue, Raw
from connectors.vocabulary import IDENTITY_FIELDS

Golden = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class RecordFacts(Raw):
    """What is known of a record without opening anything of it."""

    id: int
    source: str
    fields: frozenset[str]  # names of its sealed cells, both tiers
    purposes: frozenset[str]  # consented
    refused: frozenset[str]  # opted out by the person
    first_seen: dt.datetime
    last_seen: dt.datetime  # when its content last changed or was last delivered
    store: str | None = None
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict, repr=False)

    def covers(self, purpose: str) -> bool:
        """Say whether the record's own consent covers ``purpose``."""
        return purpose in self.purposes and purpose not in self.refused


def ranked(records: Iterable[RecordFacts], trust: Sequence[str]) -> tuple[RecordFacts, ...]:
    """Return the records in the order in which they may give a value (invariant 2)."""
    rank = {source: place for place, source in enumerate(trust)}
    last = len(rank)
    return tuple(
        sorted(
            records,
            key=lambda one: (rank.get(one.source, last), -one.last_seen.timestamp(), one.id),
        )
    )


def covering(records: Sequence[RecordFacts], purpose: str | None) -> Sequence[RecordFacts]:
    """Return the records that may give values for ``purpose``; all of them for None."""
    if purpose is None:
        return records
    return tuple(one for one in records if one.covers(purpose))


def golden(records: Iterable[RecordFacts]) -> dict[str, int]:
    """Return which record gives each identity field, fields in alphabetical order.

    Args:
        records: of one profile, as ``ranked`` orders them.
    """
    found: dict[str, int] = {}
    for one in records:
        for name in one.fields & IDENTITY_FIELDS:
            found.setdefault(name, one.id)
    return dict(sorted(found.items()))


def golden_for(records: Sequence[RecordFacts], purpose: str | None) -> dict[str, int]:
    """Return ``golden`` over the records whose consent covers ``purpose`` (invariant 5)."""
    return golden(covering(records, purpose))


def granted_purposes(records: Iterable[RecordFacts]) -> tuple[str, ...]:
    """Return the purposes that hold for the person, in alphabetical order (invariant 6)."""
    granted: set[str] = set()
    refused: set[str] = set()
    for one in records:
        granted |= one.purposes
        refused |= one.refused
    return tuple(sorted(granted - refused))


def refused_purposes(records: Iterable[RecordFacts]) -> tuple[str, ...]:
    """Return every purpose that the person refused in some record."""
    return tuple(sorted(frozenset().union(*(one.refused for one in records))))


def stores(records: Iterable[RecordFacts]) -> tuple[str, ...]:
    """Return the stores the records belong to, in alphabetical order."""
    return tuple(sorted({one.store for one in records if one.store is not None}))
