"""From the record tables to `RecordFacts`: one statement for many profiles."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import sqlalchemy as sa

from cdp.profiles.survivorship import RecordFacts
from cdp.storage.schema import contact, membership, record, sensitive

FACTS: Final = 10
"""Columns of a record's facts, after the profile id."""


def facts_statement(profile_ids: Sequence[str]) -> sa.Select[Any]:
    """Select (profile id, facts...) of every member record of these profiles."""
    return (
        sa.select(
            membership.c.profile_id,
            record.c.id,
            record.c.source,
            plain(contact.c.fields),
            plain(sensitive.c.fields),
            plain(record.c.purposes),
            plain(record.c.refused),
            record.c.first_seen_at,
            record.c.last_seen_at,
            record.c.store,
            record.c.attributes,
        )
        .join_from(membership, record, record.c.id == membership.c.record_id)
        .outerjoin(contact, contact.c.record_id == record.c.id)
        .outerjoin(sensitive, sensitive.c.record_id == record.c.id)
        .where(membership.c.profile_id == sa.any_(sa.literal(list(profile_ids))))
    )


def plain(column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """Return the column as the driver reads it, without SQLAlchemy's own conversion."""
    # The driver hands out lists of text already; SQLAlchemy would copy each of them.
    return sa.type_coerce(column, sa.types.NullType())


# Most records share their field names and purposes with thousands of others.
_words = lru_cache(maxsize=4096)(frozenset[str])


def facts_of(row: Sequence[Any]) -> RecordFacts:
    """Read one record's facts from the columns after the profile id."""
    number, source, near, far, purposes, refused, first, last, store, attributes = row
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
