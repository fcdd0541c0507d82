"""What becomes of a message that its receiver does not take.

Each test names the invariant it shows; ``Deliver 3`` is the third of `cdp/publish/deliver.py`.
"""

import time
from dataclasses import replace

import pytest
import sqlalchemy as sa

from cdp.publish.deliver import World
from cdp.publish.plan import Planned, retry_parked
from cdp.publish.retry import Pace
from cdp.publish.run import Publisher
from cdp.storage import schema
from cdp.workspace import utc_now
from connectors import errors as connectors_errors
from connectors.base import Message
from tests.integration.publish.shop import OTHER, QUICK, REMOVED, UPDATED, Recorder, Shop

pytestmark = pytest.mark.integration


def test_a_failing_receiver_is_tried_again_in_order(shop: Shop) -> None:
    """Deliver 3: Attempts keep their id, and every state arrives after the one before it."""
    profile_id = shop.person("赵一")
    shop.receiver.fail(3, 503)
    report = shop.publish()
    assert (report.delivered, report.failed_attempts, report.left) == (1, 3, 0)
    shop.change(sa.update(schema.record).values(purposes=["service"]), profile_id)
    shop.receiver.fail(2, 500)
    assert shop.publish().removed == 1
    ids = [one.id for one in shop.receiver.received]
    assert len(set(ids[:4])) == 1
    assert len(set(ids[4:])) == 1
    assert [one.event["type"] for one in shop.receiver.accepted] == [UPDATED, REMOVED]
    assert shop.receiver.people() == {}


def test_retry_after_is_honoured(shop: Shop) -> None:
    """Deliver 6: A receiver that says how long to wait is not asked earlier."""
    shop.person("赵一")
    shop.receiver.fail(1, 429, {"retry-after": "1"})
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        time.sleep(seconds)

    report = shop.publish(publisher=Publisher(QUICK.pace, World(sleep=sleep, draw=lambda: 0.0)))
    assert report.delivered == 1
    assert sum(slept) >= 0.9


def test_a_message_that_keeps_failing_is_parked_with_its_reason(shop: Shop) -> None:
    """Deliver 6: It is given up after the agreed attempts, others go on, and it can be revived."""
    poison, other = shop.person("赵一"), shop.person("钱二", OTHER)
    shop.plan()

    def fails(message: Message) -> BaseException | None:
        bad = message.subject == poison
        return connectors_errors.Retry("crm", "http_500", "Try again later.") if bad else None

    done = shop.courier(Recorder(fails), pace=replace(QUICK.pace, attempts=3)).deliver()
    assert (done.updated, done.failed_attempts, done.parked, done.left) == (1, 3, 1, 0)
    parked = next(row for row in shop.rows(schema.outbox) if row.profile_id == poison)
    assert (parked.last_error, parked.attempts) == ("http_500", 3)
    assert parked.parked_at is not None
    assert shop.plan() == Planned(0, 1, 0, 0, parked=1)
    with shop.engine.begin() as connection:
        assert retry_parked(connection, "crm", utc_now()) == 1
    recorder = Recorder()
    assert shop.courier(recorder).deliver().messages == 1
    assert [one.subject for one in recorder.sent] == [poison]
    assert shop.plan() == Planned(0, 2, 0, 0)
    assert other not in {one.subject for one in recorder.sent}


def test_a_parked_message_is_queued_again_when_the_person_changes(shop: Shop) -> None:
    """Plan 2: A change revives what was given up, under the same message."""
    profile_id = shop.person("赵一")
    shop.plan()
    skip = connectors_errors.Skip("crm", "not_json", "Put plain JSON values in the message.")
    shop.courier(Recorder(lambda _: skip)).deliver()
    (before,) = shop.rows(schema.outbox)
    assert (before.attempts, before.last_error) == (1, "not_json")
    shop.change(
        sa.update(schema.record).values(purposes=["marketing", "service"], store="BJ01"),
        profile_id,
    )
    assert shop.plan().queued == 1
    (after,) = shop.rows(schema.outbox)
    assert (after.message_id, after.parked_at) == (before.message_id, None)


def test_a_receiver_that_takes_nothing_is_left_in_peace(shop: Shop) -> None:
    """Deliver 6: An unreachable receiver is asked a few times; everything stays queued."""
    for place in range(20):
        shop.person("赵一", f"+86139111122{place:02}")
    shop.plan()
    down = connectors_errors.Retry("crm", "unreachable", "Look whether the receiver is up.")
    recorder = Recorder(lambda _: down)
    waits: list[float] = []
    world = World(sleep=waits.append, draw=lambda: 0.5)
    pace = Pace(attempts=2, base=1.0, cap=4.0, patience=10.0, batch=8, probe=1)
    done = shop.courier(recorder, pace=pace, world=world).deliver()
    assert done.stopped is not None
    assert "unreachable" in done.stopped
    assert (done.parked, done.left) == (0, 20)
    assert waits == pytest.approx([0.75, 1.5, 3.0, 3.0], abs=0.1)
    assert len(recorder.sent) == 8 + len(waits)


def test_a_refused_destination_stops_at_once_and_keeps_its_messages(shop: Shop) -> None:
    """Deliver 6: A wrong secret or address is put right first; no message is blamed for it."""
    shop.person("赵一")
    shop.receiver.fail(1, 401)
    report = shop.publish()
    assert report.stopped is not None
    assert "http_401" in report.stopped
    (row,) = shop.rows(schema.outbox)
    assert (row.attempts, row.parked_at, report.left) == (0, None, 1)
    assert shop.publish().delivered == 1
