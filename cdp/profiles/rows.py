"""From the record tables to `RecordFacts`: one statement for many profiles."""

from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from cdp.profiles.survivorship import RecordFacts, ranked
from cdp.storage.schema import contact, membership, record, sensitive

TEXTS: Final = ARRAY(sa.Text)


def plain(column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """Return the column as the driver reads it, without SQLAlchemy's own conversion."""
    # The driver hands out lists of text already; SQLAlchemy would copy each of them.
    return sa.type_coerce(column, sa.types.NullType())


def _facts_statement() -> sa.Select[Any]:
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
        .where(membership.c.profile_id == sa.any_(sa.bindparam("profile_ids", type_=TEXTS)))
        .order_by(membership.c.profile_id)
    )


_FACTS: Final = _facts_statement()


def facts(
    connection: sa.Connection, profile_ids: Collection[str], trust: Sequence[str]
) -> Iterator[tuple[str, tuple[RecordFacts, ...]]]:
    """Yield each profile that has records, and its records as ``ranked`` orders them."""
    rows = connection.execute(_FACTS, {"profile_ids": list(profile_ids)}).all()
    for profile_id, members in groupby(rows, key=lambda row: row[0]):
        yield profile_id, ranked((_facts_of(row[1:]) for row in members), trust)


# Most records share their field names and purposes with thousands of others.
_words = lru_cache(maxsize=4096)(frozenset[str])


def _facts_of(row: Sequence[Any]) -> RecordFacts:
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
