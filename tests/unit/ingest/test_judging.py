"""What one message may do: invariants of `cdp/ingest/judging.py`."""

import datetime as dt
from uuid import uuid4

import pytest

from cdp.ingest.judging import (
    NO_CONSENT,
    NOBODY,
    NOT_DECLARED,
    NOT_TRUSTED,
    TOO_OLD,
    Judge,
    Judged,
)
from cdp.vault.keyring import KeyRing
from connectors.events import segment
from connectors.events.telling import CONSENT_UPDATED
from connectors.record import Sensitive
from tests.unit.connectors.events.inbound import NOW, as_parsed, declared, event
from tests.unit.vault.test_event_keys import signature

KEY = "identity-key"
GRANTED = {"context": {"consent": {"categoryPreferences": {"Advertising": True}}}}
ORDER = {"type": "track", "event": "Order Completed", **GRANTED}


@pytest.fixture(scope="module")
def ring(tmp_path_factory):
    return KeyRing.create(tmp_path_factory.mktemp("ring") / "ring", uuid4())


@pytest.fixture
def judge(ring):
    def made(trust="identities", key=KEY):
        secret = Sensitive(key) if key else None
        return Judge(ring, declared(trust=trust), lambda: secret)

    return made


def test_a_key_that_is_not_trusted_asserts_nobody(judge):
    """Invariant 1: whatever it sends, and a user's id of an event does not count."""
    public = judge("events")
    for sent in (
        {"type": "identify"}, {"type": "identify", "userId": None, "anonymousId": "d"},
        {"type": "alias", "previousId": "d"}, {"type": "group", "groupId": "g"},
    ):  # fmt: skip
        assert public.judge(event(**sent), NOW) == NOT_TRUSTED
    kept = public.judge(event(**ORDER, anonymousId="d"), NOW)
    assert (kept.assertion, kept.device, kept.left_out) == (None, None, (NOT_TRUSTED,))
    assert kept.subject == public.judge(event(**ORDER, userId=None, anonymousId="d"), NOW).subject
    assert public.judge(event(**ORDER), NOW) == NOBODY


@pytest.mark.parametrize("key", [None, "another"])
def test_a_signature_needs_the_key_of_the_source(judge, key):
    """Invariant 1: without an identity key no signature holds, nor one under another."""
    text = signature(KEY, "web", "u1", NOW, 60)
    sent = event(context={"signature": text})
    assert judge("events", key).judge(sent, NOW) == NOT_TRUSTED


def test_a_signed_id_tells_itself_and_its_device(judge):
    """Invariant 1: no trait."""
    text = signature(KEY, "web", "u1", NOW, 60)
    sent = event(context={"signature": text}, traits={"phone": "139"}, anonymousId="d")
    found = judge("events").judge(sent, NOW)
    assert isinstance(found, Judged)
    assert (dict(found.assertion.told.columns), list(found.assertion.told.devices)) == ({}, ["d"])
    assert found.device is not None


def test_what_is_not_declared_or_not_consented_is_not_kept(judge):
    """Invariants 2 and 3."""
    assert judge().judge(event(type="track", event="Other"), NOW) == NOT_DECLARED
    assert judge().judge(event(type="screen"), NOW) == NOT_DECLARED
    assert judge().judge(event(type="track", event="Order Completed"), NOW) == NO_CONSENT
    kept = judge().judge(event(**ORDER, properties={"total": "x", "more": 1}), NOW)
    assert (kept.purposes, kept.left_out) == (
        ("marketing",), ("property_not_declared", "not_decimal"),
    )  # fmt: skip


def test_what_happened_longer_ago_than_events_are_kept_is_not_kept(judge):
    """Invariant 2: it would be removed at once, and could come again after it was."""
    for days, kept in ((399, True), (401, False)):
        sent = event(**ORDER, timestamp=(NOW - dt.timedelta(days=days)).isoformat())
        found = judge().judge(sent, NOW)
        assert (isinstance(found, Judged), found == TOO_OLD) == (kept, not kept)
    told = event(timestamp=(NOW - dt.timedelta(days=401)).isoformat())
    assert isinstance(judge().judge(told, NOW), Judged)


def test_who_is_signed_says_what_they_agree_to(judge):
    """Invariant 1: an identify and the event of a new choice, with the consent alone."""
    text = signature(KEY, "web", "u1", NOW, 60)
    signed = {"context": {**GRANTED["context"], "signature": text}, "traits": {"phone": "139"}}
    chosen = {"type": "track", "event": CONSENT_UPDATED}
    name = "context.consent.categoryPreferences.Advertising"
    for sent in (signed, {**signed, **chosen}):
        told = judge("events").judge(event(**sent), NOW).assertion.told
        assert {column: value for column, (_, value) in told.columns.items()} == {name: True}
    assert judge("events").judge(event(**chosen, **GRANTED), NOW) == NOT_DECLARED
    device = event(**chosen, **GRANTED, userId=None, anonymousId="d")
    assert judge().judge(device, NOW) == NOT_DECLARED  # it counts for its own events alone


def test_a_message_has_one_name(judge):
    """Invariant 4: whether its sender named it, and whenever it sent it."""
    one = judge()

    def name(**more):
        return one.judge(event(**ORDER, **more), NOW).message

    assert name(messageId="m") == name(messageId="m", properties={"total": 1}) != name()
    assert name(sentAt="2026-05-04T08:00:00Z") == name(sentAt="2026-05-04T08:00:09Z")
    assert len({name(), name(userId="u2"), name(properties={"total": 1}), name(messageId="m")}) == 4


def test_nothing_shows(judge):
    """Neither of what was sent nor of whom it is about."""
    found = judge().judge(event(userId="13912346789", traits={"phone": "13912346789"}), NOW)
    assert "13912346789" not in repr(found)
    entry = {"connector": "jsonl", "location": "a", "record_id": "id", "credentials": None}
    file = declared(**dict.fromkeys(("trust", "events", "consent_categories")) | entry)
    with pytest.raises(ValueError, match="nothing is sent"):
        Judge(None, file, lambda: None)


def test_a_body_has_one_name_however_often_it_is_sent(judge):
    """Invariant 4: whenever it is sent, and whether its messages can be used or not."""

    def named(*messages, made=judge):
        return made().body(segment.read(as_parsed(list(messages)), NOW))

    good, bad = {"type": "track", "userId": "u", "event": "x"}, {"type": "delete", "userId": "u"}
    body = named(good, bad)
    assert body == named({**good, "sentAt": "2026-01-01"}, {**bad, "sentAt": "2026-01-02"})
    assert len({body, named(good), named(bad), named(bad, good), named(good, bad, bad)}) == 5
    assert body != named(good, {**bad, "userId": "v"})
    assert body != named({**good, "event": "y"}, bad)
