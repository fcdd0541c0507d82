"""Tell the outbox whose profile changed: what is sent is decided when it is sent."""

import datetime as dt

import sqlalchemy as sa

from cdp.declaration import Declaration
from cdp.resolution.storing import Outcome

MESSAGES = "webhook"  # the connector whose destinations get messages; others get whole tables
UPDATED, REMOVED = "profile.updated", "profile.removed"

_QUEUE = sa.text(
    """
    INSERT INTO kith.outbox (destination, profile_id, kind, message_id, attempts, not_before, at)
    SELECT d.name, p.id, p.kind, concat('msg_', replace(gen_random_uuid()::text, '-', '')),
           0, :now, :now
    FROM unnest(CAST(:destinations AS text[])) AS d(name)
    CROSS JOIN unnest(CAST(:ids AS text[]), CAST(:kinds AS text[])) WITH ORDINALITY
         AS p(id, kind, place)
    ORDER BY p.place
    ON CONFLICT (destination, profile_id) WHERE delivered_at IS NULL DO NOTHING
    """
)


def announce(
    connection: sa.Connection, declaration: Declaration, outcome: Outcome, now: dt.datetime
) -> None:
    """Queue a message for everybody who changed or ended, to every message destination.

    Whoever has a message waiting already gets no second one: it will say what is true
    when it is sent. A destination that never heard of somebody is sent nothing.
    """
    names = [name for name, one in declaration.destinations.items() if one.connector == MESSAGES]
    ended = [gone for _, gone in outcome.merges]
    ids = [*outcome.touched, *ended]
    if names and ids:
        kinds = [UPDATED] * len(outcome.touched) + [REMOVED] * len(ended)
        connection.execute(_QUEUE, {"destinations": names, "ids": ids, "kinds": kinds, "now": now})
