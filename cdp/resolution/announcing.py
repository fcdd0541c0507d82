"""Tell the outbox whose profile changed: what is sent is decided when it is sent."""

import datetime as dt
from collections.abc import Collection

import sqlalchemy as sa

from cdp.declaration import Declaration
from cdp.resolution.storing import Outcome
from cdp.storage.statements import Statement, array, send

MESSAGES = "webhook"  # the connector whose destinations get messages; others get whole tables
UPDATED, REMOVED = "profile.updated", "profile.removed"

_QUEUE = Statement(
    "announce",
    ("text[]", "text[]", "text[]", "timestamptz"),
    """
    INSERT INTO kith.outbox (destination, profile_id, kind, message_id, attempts, not_before, at)
    SELECT d.name, p.id, p.kind, concat('msg_', replace(gen_random_uuid()::text, '-', '')),
           0, $4, $4
    FROM unnest($1) AS d(name)
    CROSS JOIN unnest($2, $3) WITH ORDINALITY AS p(id, kind, place)
    ORDER BY p.place
    ON CONFLICT (destination, profile_id) WHERE delivered_at IS NULL DO NOTHING
    """,
)


def announce(
    connection: sa.Connection,
    declaration: Declaration,
    outcome: Outcome,
    now: dt.datetime,
    gone: Collection[str] = (),
) -> None:
    """Queue a message for everybody who changed or ended, to every message destination.

    Whoever has a message waiting already gets no second one: it will say what is true
    when it is sent. A destination that never heard of somebody is sent nothing.

    Args:
        connection: in the transaction that changed them.
        declaration: says which destinations there are.
        outcome: who changed, and who ended in another.
        now: when.
        gone: ids of those who ended in nobody.
    """
    names = [name for name, one in declaration.destinations.items() if one.connector == MESSAGES]
    ended = dict.fromkeys((*(one for _, one in outcome.merges), *gone))
    touched = [one for one in outcome.touched if one not in ended]
    ids = [*touched, *ended]
    if names and ids:
        kinds = [UPDATED] * len(touched) + [REMOVED] * len(ended)
        send(connection, _QUEUE, array(names), array(ids), array(kinds), now)
