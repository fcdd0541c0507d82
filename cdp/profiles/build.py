"""Bring profiles up to date with their records: many at a time, writing only what changed.

Invariants, each named by a test in ``tests/integration/test_profiles.py``:

1. What a profile row says follows from its member records and the trust order alone.
2. A rebuild that changes nothing writes nothing; a change raises the revision by one.
3. No cell is opened: field names, consent and attributes are enough.
"""

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa

from cdp.profiles import survivorship
from cdp.profiles.attributes import combine
from cdp.profiles.rows import TEXTS, facts, plain
from cdp.profiles.survivorship import RecordFacts
from cdp.storage.schema import profile

PART: Final = 5000  # profiles worked on together

_WRITE: Final = sa.text(
    """
    UPDATE kith.profile AS p
       SET revision = p.revision + 1,
           size = n.size,
           stores = n.stores,
           golden = n.golden,
           attributes = n.attributes,
           purposes = n.purposes,
           updated_at = :now
      FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS n(
           id text, revision integer, size integer, stores text[], golden jsonb,
           attributes jsonb, purposes text[])
     WHERE p.id = n.id AND p.revision = n.revision AND p.id = ANY(CAST(:ids AS text[]))
    RETURNING p.id
    """
)
_PARTS_OF_A_ROW: Final = ("size", "stores", "golden", "attributes", "purposes")


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


def _rebuilt(
    connection: sa.Connection, part: Sequence[str], trust: Sequence[str], now: dt.datetime
) -> tuple[int, list[str]]:
    """Write the rows of these profiles that differ.

    Returns:
        How many were written, and those that somebody else changed in the meantime: what
        was read of them no longer holds (a consent may have been withdrawn).
    """
    stored = _stored(connection, part)
    rows = [
        {"id": profile_id, "revision": stored[profile_id][0], **fresh}
        for profile_id, records in facts(connection, part, trust)
        if profile_id in stored and (fresh := content(records)) != stored[profile_id][1]
    ]
    if not rows:
        return 0, []
    ids = [row["id"] for row in rows]
    values = {
        "rows": json.dumps(rows, ensure_ascii=False),
        # Said twice, so that few profiles are looked up and not all of them read.
        "ids": ids,
        "now": now,
    }
    written = set(connection.scalars(_WRITE, values))
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


def _stored(
    connection: sa.Connection, part: Sequence[str]
) -> Mapping[str, tuple[int, dict[str, Any]]]:
    """The revision and the content of each profile."""
    columns = [plain(profile.c[name]) for name in _PARTS_OF_A_ROW]
    statement = sa.select(profile.c.id, profile.c.revision, *columns).where(
        profile.c.id == sa.any_(sa.literal(part, TEXTS))
    )
    return {
        row[0]: (row[1], dict(zip(_PARTS_OF_A_ROW, row[2:], strict=True)))
        for row in connection.execute(statement)
    }
