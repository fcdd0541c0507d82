"""What is due: changes, withdrawals and merges, each queued once.

Each test names the invariant it shows; ``Plan 3`` is the third of `cdp/publish/plan.py`.
"""

import datetime as dt
from typing import Any

import pytest
import sqlalchemy as sa

from cdp.profiles.build import rebuild
from cdp.publish import plan as planning
from cdp.publish.plan import Planned, plan
from cdp.storage import schema
from cdp.workspace import utc_now
from tests.integration.publish.shop import LEGACY, OTHER, PHONE, REMOVED, Recorder, Shop, declare
from tests.integration.retailer import TRUST

pytestmark = pytest.mark.integration


def test_publishing_again_sends_nothing_until_something_changes(shop: Shop) -> None:
    """Plan 4: A second run is all unchanged; a changed tag, value or contract is due again."""
    profile_id = shop.person("赵一")
    shop.person("钱二", OTHER)
    assert shop.publish().delivered == 2
    again = shop.publish()
    assert (again.delivered, again.planned) == (0, Planned(0, 2, 0, 0))
    with shop.engine.begin() as connection:
        connection.execute(
            schema.tag.insert().values(
                profile_id=profile_id, name="value", value="low", rule_version="1", at=utc_now()
            )
        )
    assert shop.publish().delivered == 1
    assert shop.receiver.people()[profile_id]["tags"] == {"value": "low"}

    def change(content: dict[str, Any]) -> None:
        content["destinations"]["crm"]["fields"] = ["profile_id", "phone"]

    shop.workspace = declare(shop.retailer, change)
    assert shop.publish().delivered == 2
    assert shop.receiver.people()[profile_id] == {"profile_id": profile_id, "phone": PHONE}


def test_planning_twice_queues_once_and_holds_no_value(shop: Shop) -> None:
    """Plan 1 and 2: The outbox names a profile once, however often its need is found."""
    profile_id = shop.person("赵一")
    assert shop.plan() == Planned(queued=1, unchanged=0, not_consented=0, removed=0)
    assert shop.plan() == Planned(0, 0, 0, 0, waiting=1)
    (row,) = shop.rows(schema.outbox)
    assert (row.profile_id, row.kind, row.last_error) == (profile_id, "profile.updated", None)


def test_a_withdrawn_consent_becomes_a_removal(shop: Shop) -> None:
    """Plan 3: Whoever withdraws is removed at the receiver, once, and comes back on consent."""
    profile_id = shop.person("赵一")
    shop.publish()
    shop.refuse(profile_id)
    report = shop.publish()
    assert (report.planned.removed, report.removed) == (1, 1)
    last = shop.receiver.accepted[-1].event
    assert (last["type"], last["data"]) == (
        REMOVED,
        {"profile_id": profile_id, "redirect_to": None},
    )
    assert shop.receiver.people() == {}
    assert shop.rows(schema.published) == []
    assert shop.publish().delivered == 0
    shop.change(
        sa.update(schema.record).values(refused=[], purposes=["service", "marketing"]), profile_id
    )
    assert shop.publish().delivered == 1
    assert set(shop.receiver.people()) == {profile_id}


def test_a_withdrawal_counts_even_after_a_message_was_queued(shop: Shop) -> None:
    """Deliver 5: Consent is that of the moment of sending: what was queued is not sent."""
    profile_id = shop.person("赵一")
    shop.plan()
    shop.refuse(profile_id)
    recorder = Recorder()
    assert shop.courier(recorder).deliver().messages == 0
    assert recorder.sent == []
    assert shop.rows(schema.outbox) == []


def test_a_merged_profile_is_removed_and_names_its_successor(shop: Shop) -> None:
    """Plan 3: The removal of a merged profile says where it went, if the receiver knows that."""
    one, other = shop.person("赵一"), shop.person("赵一", OTHER)
    lost = shop.person("钱二", LEGACY)
    shop.publish()
    with shop.engine.begin() as connection:
        for old, new in ((other, one), (lost, None)):
            table = schema.membership
            moved = sa.update(table).where(table.c.profile_id == old).values(profile_id=new or one)
            connection.execute(moved)
            connection.execute(sa.delete(schema.profile).where(schema.profile.c.id == old))
            if new:
                connection.execute(
                    schema.redirect.insert().values(old_id=old, new_id=new, at=utc_now())
                )
        rebuild(connection, TRUST, [one], utc_now())
    assert shop.publish().removed == 2
    removed = {
        event["subject"]: event["data"]["redirect_to"]
        for event in (each.event for each in shop.receiver.accepted)
        if event["type"] == REMOVED
    }
    assert removed == {other: one, lost: None}


def test_a_removal_does_not_name_a_successor_that_the_receiver_may_not_know(shop: Shop) -> None:
    """Plan 3: A merge into somebody without consent is not told."""
    one, other = shop.person("赵一"), shop.person("赵一", OTHER)
    shop.publish()
    with shop.engine.begin() as connection:
        table = schema.membership
        connection.execute(
            sa.update(table).where(table.c.profile_id == other).values(profile_id=one)
        )
        connection.execute(sa.delete(schema.profile).where(schema.profile.c.id == other))
        connection.execute(schema.redirect.insert().values(old_id=other, new_id=one, at=utc_now()))
    shop.refuse(one)
    shop.publish()
    targets = [one.event["data"].get("redirect_to") for one in shop.receiver.accepted[-2:]]
    assert targets == [None, None]


def test_delivered_messages_are_kept_for_a_week(shop: Shop) -> None:
    """Plan 1: The outbox does not grow for ever."""
    shop.person("赵一")
    shop.publish()
    assert len(shop.rows(schema.outbox)) == 1
    later = utc_now() + planning.KEPT + dt.timedelta(seconds=1)
    with shop.engine.begin() as connection:
        plan(connection, shop.workspace, "crm", later)
    assert shop.rows(schema.outbox) == []
