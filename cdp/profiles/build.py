"""Bring profiles up to date with their records: many at a time, writing only what changed.

Invariants, each named by a test in ``tests/integration/test_profiles.py``:

1. What a profile row says follows from its member records and the trust order alone.
2. A rebuild that changes nothing writes nothing; a change raises the revision by one.
3. No cell is opened: field names, consent and attributes are enough.
"""

import datetime as dt
import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

import sqlalchemy as sa

from cdp.profiles import survivorship
from cdp.profiles.attributes import combine
from cdp.profiles.rows import PARTS, facts_of, stored_and_facts
from cdp.profiles.survivorship import RecordFacts, ranked
from cdp.storage.statements import Statement, array, ask

PART: Final = 5000  # profiles worked on together

_WRITE: Final = Statement(
    "write_profiles",
    ("jsonb", "timestamptz", "text[]"),
    """
    UPDATE kith.profile AS p
       SET revision = p.revision + 1,
           size = n.size,
           stores = n.stores,
           golden = n.golden,
           attributes = n.attributes,
           purposes = n.purposes,
           updated_at = $2
      FROM jsonb_to_recordset($1) AS n(
           id text, revision integer, size integer, stores text[], golden jsonb,
           attributes jsonb, purposes text[])
     WHERE p.id = n.id AND p.revision = n.revision AND p.id = ANY($3)
    RETURNING p.id
    """,
)


def rebuild(
    connection: sa.Connection, trust: Sequence[str], profile_ids: Sequence[str], now: dt.datetime
) -> int:
    """Compute the rows of these profiles anew and write those that differ.

    A profile without any record is left as it is: removing it is resolution's business.

    Args:
        connection: in the caller's transaction.
        trust: source names, the most trusted first.
        profile_ids: existing profiles; ids that do not exist are passed over.
        now: the time of the change.

    Returns:
        How many rows changed.
    """
    wanted = sorted(set(profile_ids))
    changed = 0
    for start in range(0, len(wanted), PART):
        part = wanted[start : start + PART]
        while part:
            written, part = _rebuilt(connection, part, trust, now)
            changed += written
    return changed


def contents(
    connection: sa.Connection, trust: Sequence[str], people: Sequence[Sequence[int]]
) -> Iterator[dict[str, Any]]:
    """Yield what the profile of each of these people says, made of the records given.

    For profiles that are about to come into being: written with what they say, they are
    written once. Records and trust are as in ``rebuild``; the records are held by the caller.
    """
    for start in range(0, len(people), PART):
        part = people[start : start + PART]
        known = facts_of(connection, [record for records in part for record in records])
        for records in part:
            yield content(ranked([known[one] for one in records], trust))


def _rebuilt(
    connection: sa.Connection, part: Sequence[str], trust: Sequence[str], now: dt.datetime
) -> tuple[int, list[str]]:
    """Write the rows of these profiles that differ.

    Returns:
        How many were written, and those that somebody else changed in the meantime: what
        was read of them no longer holds (a consent may have been withdrawn).
    """
    rows = [
        {"id": profile_id, "revision": revision, **fresh}
        for profile_id, (revision, *stored), records in stored_and_facts(connection, part, trust)
        if (fresh := content(records)) != dict(zip(PARTS, stored, strict=True))
    ]
    if not rows:
        return 0, []
    ids = [row["id"] for row in rows]
    # Said twice, so that few profiles are looked up and not all of them read.
    document = json.dumps(rows, ensure_ascii=False)
    written = {row[0] for row in ask(connection, _WRITE, document, now, array(ids))}
    return len(written), [profile_id for profile_id in ids if profile_id not in written]


def content(records: Sequence[RecordFacts]) -> dict[str, Any]:
    """Return what a profile row says, from its records as ``ranked`` orders them."""
    return {
        "size": len(records),
        "stores": list(survivorship.stores(records)),
        "golden": survivorship.golden(records),
        "attributes": combine([one.attributes for one in records]),
        "purposes": list(survivorship.granted_purposes(records)),
    }
