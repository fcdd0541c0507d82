"""Names of what was sent and had its effect, for as long as its sender may send it again.

Invariants, each named by a test in ``tests/integration/hooks/test_remembered.py``:

1. Of those who remember one name at the same time one alone is told that it is new.
2. What is over counts as new again, forgotten or not.
3. It is forgotten a day later, so that what came within a day can be counted.
"""

import datetime as dt
from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from cdp.storage.schema import hook_message
from cdp.vault.keyed import DIGEST_BYTES

COUNTED: Final = dt.timedelta(days=1)  # that it stays when it is over, to be counted
_FORGET: Final = 10_000  # names that are forgotten in one transaction
_H = hook_message.c


def is_known(connection: sa.Connection, source: str, name: bytes, now: dt.datetime) -> bool:
    """Whether it had its effect."""
    found = sa.select(sa.literal(1)).where(_H.source == source, _H.message == name, _H.until >= now)
    return connection.scalar(found) is not None


def counted(
    connection: sa.Connection, source: str, since: dt.datetime
) -> tuple[int, dt.datetime | None]:
    """Count messages of a source that are over after ``since``; say when the last of them is."""
    named = sa.func.octet_length(_H.message) == DIGEST_BYTES
    found = sa.select(sa.func.count(), sa.func.max(_H.until)).where(
        _H.source == source, _H.until > since, named
    )
    count, newest = connection.execute(found).one()
    return count, newest


def remember(
    connection: sa.Connection, source: str, name: bytes, until: dt.datetime, now: dt.datetime
) -> bool:
    """Write a name down, and say whether it is new; others who do so wait here until the commit."""
    fresh = insert(hook_message).values(source=source, message=name, until=until)
    again = fresh.on_conflict_do_update(
        index_elements=["source", "message"],
        set_={"until": fresh.excluded.until},
        where=_H.until < now,  # it is over, and not forgotten yet
    )
    return connection.scalar(again.returning(sa.literal(1))) is not None


def forget_old(connection: sa.Connection, *, now: dt.datetime) -> None:
    """Forget names whose time is over."""
    old = (
        sa.select(_H.source, _H.message)
        .where(_H.until < now - COUNTED)
        .limit(_FORGET)
        .with_for_update(skip_locked=True)
    )
    connection.execute(sa.delete(hook_message).where(sa.tuple_(_H.source, _H.message).in_(old)))
