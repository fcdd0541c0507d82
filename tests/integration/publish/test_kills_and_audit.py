"""No audit, no send; and after a kill the receiver has each person once.

Each test names the invariant it shows; ``Deliver 3`` is the third of `cdp/publish/deliver.py`.
"""

from typing import Any

import pytest
import sqlalchemy as sa

from cdp.audit.errors import EventNotRecordable
from cdp.publish import ledger
from cdp.storage import schema
from cdp.workspace import utc_now
from connectors.base import Message
from tests.integration.publish.shop import REMOVED, UPDATED, Recorder, Shop

pytestmark = pytest.mark.integration


class Killed(BaseException):
    """The process is gone."""


def test_a_kill_between_send_and_commit_sends_the_same_message_again(shop: Shop) -> None:
    """Deliver 2: The receiver gets the same id twice, and has the person once."""
    profile_id = shop.person("赵一")
    shop.plan()
    real = shop.courier().destination

    class Dies(Recorder):
        def deliver(self, message: Message) -> None:
            real.deliver(message)
            raise Killed

    with pytest.raises(Killed):
        shop.courier(Dies()).deliver()
    assert shop.publish().delivered == 1
    assert len(shop.receiver.received) == 2
    assert len({one.id for one in shop.receiver.received}) == 1
    assert len(shop.receiver.accepted) == 1
    assert set(shop.receiver.people()) == {profile_id}
    assert shop.publish().delivered == 0


def test_after_a_kill_newer_content_is_not_taken_for_the_old(shop: Shop) -> None:
    """Deliver 2: Other content has another id, even when it is the first content again."""
    profile_id = shop.person("赵一")
    shop.plan()
    real = shop.courier().destination

    class Dies(Recorder):
        def deliver(self, message: Message) -> None:
            real.deliver(message)
            raise Killed

    def retag(value: str) -> None:
        with shop.engine.begin() as connection:
            connection.execute(sa.delete(schema.tag))
            connection.execute(
                schema.tag.insert().values(
                    profile_id=profile_id, name="value", value=value, rule_version="1", at=utc_now()
                )
            )

    for value in ("low", "high"):
        retag(value)
        with pytest.raises(Killed):
            shop.courier(Dies()).deliver()
    retag("low")
    shop.publish()
    assert len({one.id for one in shop.receiver.received}) == 3
    assert shop.receiver.people()[profile_id]["tags"] == {"value": "low"}


def test_whoever_may_have_been_sent_can_be_taken_back(shop: Shop) -> None:
    """Deliver 4: A withdrawal after a killed send still reaches the receiver."""
    profile_id = shop.person("赵一")
    shop.plan()
    real = shop.courier().destination

    class Dies(Recorder):
        def deliver(self, message: Message) -> None:
            real.deliver(message)
            raise Killed

    with pytest.raises(Killed):
        shop.courier(Dies()).deliver()
    shop.refuse(profile_id)
    shop.publish()
    assert [one.event["type"] for one in shop.receiver.accepted] == [UPDATED, REMOVED]
    assert shop.receiver.people() == {}


def test_the_audit_event_is_committed_before_the_first_byte(shop: Shop) -> None:
    """Deliver 1: When a message leaves, the event that names it is already there for all to see."""
    profile_id = shop.person("赵一")
    shop.plan()
    seen: list[dict[str, Any]] = []

    def look(_: Message) -> None:
        seen.extend(shop.retailer.events())

    shop.courier(Recorder(look)).deliver()
    (event,) = seen
    assert (event["action"], event["profile_id"], event["actor"]) == (
        "profile.publish",
        profile_id,
        "crm",
    )
    assert event["fields"] == ["name", "phone", "profile_id"]
    assert event["request_id"] == shop.rows(schema.outbox)[0].message_id


def test_without_an_audit_event_nothing_is_sent(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deliver 1: If the event cannot be kept, the message does not leave."""
    shop.person("赵一")
    shop.plan()
    recorder = Recorder()

    def broken(*_: object) -> list[int]:
        raise EventNotRecordable("not_plain_text", "pass a code")

    monkeypatch.setattr(ledger.log, "append_all", broken)
    with pytest.raises(EventNotRecordable):
        shop.courier(recorder).deliver()
    assert recorder.sent == []
    assert shop.rows(schema.published) == []
