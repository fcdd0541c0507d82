"""The audit log on a real PostgreSQL: the officer's question.

Each test names the invariant of `cdp/audit/log.py`.
"""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from cdp.audit.errors import (
    EventNotRecordable,
)
from cdp.audit.log import (
    append_all,
    who_saw,
)
from tests.integration.audit.signed_log import NOW, E, event, run, seal_now

pytestmark = pytest.mark.integration


def test_who_saw_this_person_when_and_why(engine, signer):
    """Reads, reveals and refusals of one person come back in order, under all their ids."""
    with engine.begin() as connection:
        append_all(
            connection,
            [
                event(5, profile_id="p_1", action="profile.reveal", fields=("phone",)),
                event(1, profile_id="p_1"),
                event(2, profile_id="p_old", decision="deny", reason="other_store"),
                event(3, profile_id="p_2"),
                event(4, profile_id=None),
            ],
        )
    seal_now(engine, signer)
    with engine.connect() as connection:
        found = who_saw(connection, "p_1", "p_old")
        assert who_saw(connection, "p_none") == []
    assert [(s.event.at.second, s.event.decision) for s in found] == [
        (1, "allow"),
        (2, "deny"),
        (5, "allow"),
    ]
    reveal = found[-1]
    assert (reveal.event.actor, reveal.event.fields) == ("clerk.2", ("phone",))
    assert reveal.event.detail == "客人来电 5"
    assert (reveal.event_id, reveal.leaf) == (1, 0)


def test_many_events_are_written_in_their_order(engine):
    """1: A page of reads is written at once, in order, and a page of none writes nothing."""
    with engine.begin() as connection:
        assert append_all(connection, []) == []
        ids = append_all(connection, [event(number) for number in range(1500)])
        assert ids == sorted(ids)
        at = connection.scalars(sa.select(E.at).order_by(E.id)).all()
    assert [moment - NOW for moment in at] == [timedelta(seconds=n) for n in range(1500)]


def test_an_unreadable_event_is_named_to_the_officer(sealed):
    """A line altered beyond reading stops the answer and names the event, not its content."""
    run(sealed, "UPDATE kith.audit_event SET line = '{\"secret\"' WHERE leaf = 1")
    with sealed.connect() as connection:
        with pytest.raises(EventNotRecordable, match="event 2") as caught:
            who_saw(connection, "p_1")
        assert "secret" not in str(caught.value)
