"""Who a profile was at any time: its members, where its id led, what happened to it."""

import datetime as dt
from dataclasses import dataclass, replace

import sqlalchemy as sa

from cdp.resolution import decisions
from cdp.resolution.links import Decision


@dataclass(frozen=True, slots=True)
class Stay:
    """A record that belonged to the profile, and since when; ``until`` None: it still does."""

    record_id: int
    source: str
    store: str | None
    since: dt.datetime
    until: dt.datetime | None


@dataclass(frozen=True, slots=True)
class Happening:
    """One event of a profile."""

    at: dt.datetime
    kind: str  # created | merged | split
    profile_id: str
    other_id: str | None
    epoch: str


@dataclass(frozen=True, slots=True)
class History:
    """What was so of a profile id at one time.

    Attributes:
        asked: the id asked for.
        led_to: the profile that it was, or led to; None: it meant nobody at that time.
        members: the records of that profile at that time.
        events: of the id asked for, up to that time.
        decisions: of people about the id asked for, up to that time.
    """

    asked: str
    led_to: str | None
    members: tuple[Stay, ...]
    events: tuple[Happening, ...]
    decisions: tuple[Decision, ...]


def at_time(connection: sa.Connection, profile_id: str, as_of: dt.datetime) -> History:
    """Say what was so of a profile id at ``as_of``."""
    when = {"id": profile_id, "as_of": as_of}
    led_to = connection.scalar(_LED_TO, when)
    members = connection.execute(_MEMBERS, {"id": led_to, "as_of": as_of}) if led_to else ()
    return History(
        profile_id,
        led_to,
        tuple(Stay(*row) for row in members),
        tuple(Happening(*row) for row in connection.execute(_EVENTS, when)),
        tuple(
            _as_known(one, as_of)
            for one in decisions.read(connection, about=profile_id)
            if one.at <= as_of
        ),
    )


def anchor_of(connection: sa.Connection, profile_id: str) -> int | None:
    """The record that a profile id was made from, whether or not the profile is there.

    A profile always holds its anchor, and the anchor is its oldest record.
    """
    found = connection.scalar(_ANCHOR, {"id": profile_id})
    return None if found is None else int(found)


def _as_known(one: Decision, as_of: dt.datetime) -> Decision:
    """A decision without what was not known yet."""
    if one.undone_at is None or one.undone_at <= as_of:
        return one
    return replace(one, undone_at=None, undone_by=None, undo_reason=None)


_STAYS = """
    SELECT record_id, profile_id, since, CAST(NULL AS timestamptz) AS until FROM kith.membership
    UNION ALL
    SELECT record_id, profile_id, since, until FROM kith.membership_history
"""
_ANCHOR = sa.text(f"SELECT min(record_id) FROM ({_STAYS}) stay WHERE profile_id = :id")
_THEN = "since <= :as_of AND (until IS NULL OR until > :as_of)"
_LED_TO = sa.text(
    f"""
    SELECT profile_id FROM ({_STAYS}) stay WHERE {_THEN}
    AND record_id = (SELECT min(record_id) FROM ({_STAYS}) ever WHERE profile_id = :id)
    """
)
_MEMBERS = sa.text(
    f"""
    SELECT stay.record_id, r.source, CASE r.state WHEN 'active' THEN r.store END,
           stay.since, stay.until
    FROM ({_STAYS}) stay JOIN kith.record r ON r.id = stay.record_id
    WHERE stay.profile_id = :id AND {_THEN} ORDER BY stay.record_id
    """
)
_EVENTS = sa.text(
    """
    SELECT at, kind, profile_id, other_id, epoch FROM kith.profile_event
    WHERE (profile_id = :id OR other_id = :id) AND at <= :as_of ORDER BY id
    """
)
