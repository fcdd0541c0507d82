"""Records that a compound index brings up. Nothing is opened here.

Invariants, each named by a test in ``tests/integration/vault/test_index_lookups.py``:

1. People outside the reach of who asks never come out of the database: nothing that follows
   can depend on them.
2. A frozen record is nobody's candidate.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from cdp.storage.schema import blind_index, membership, record


class Candidate(NamedTuple):
    """A record whose index value is the one asked for, and whose it is."""

    record_id: int
    profile_id: str


def candidates(
    person: Any, label: str, asked: Sequence[tuple[int, bytes]], purpose: str, most: int
) -> sa.Select[int, str]:
    """Ask for at most ``most`` candidates and one more, by profile and record.

    Args:
        person: the mapped class of ``profile``; the session that is asked adds the reach of who
            asks (``cdp/access/rows.py``).
        label: of the index.
        asked: (epoch, index), as the indexer gives them.
        purpose: look only at records whose consent covers it.
        most: how many may be opened; one more tells that there are more.
    """
    return (
        sa.select(blind_index.c.record_id, person.id)
        .distinct()
        .join_from(blind_index, membership, membership.c.record_id == blind_index.c.record_id)
        .join(person, person.id == membership.c.profile_id)
        .join(record, record.c.id == blind_index.c.record_id)
        .where(blind_index.c.field == label)
        .where(sa.tuple_(blind_index.c.epoch, blind_index.c.value).in_(asked))
        .where(record.c.purposes.contains([purpose]), ~record.c.refused.contains([purpose]))
        .where(record.c.state == "active")
        .order_by(person.id, blind_index.c.record_id)
        .limit(most + 1)
    )
