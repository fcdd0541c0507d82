"""Segment's and RudderStack's messages: invariants of `connectors/events/event.py`."""

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.events import rudder, segment
from connectors.events.body import MESSAGE_LIMIT, BodyRefused
from connectors.events.event import Event, Kind, Unusable, corrected, time_of
from tests.unit.connectors.events.inbound import NOW, as_parsed, event, read

CANARY = "13912346789"
JSON = st.recursive(
    st.none() | st.booleans() | st.text(max_size=8) | st.integers(-9, 9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=6,
)
NAMES = ["type", "userId", "anonymousId", "messageId", "traits", "properties", "context",
         "event", "timestamp", "sentAt", "previousId", "originalTimestamp"]  # fmt: skip
KINDS = st.sampled_from([kind.value for kind in Kind])


@given(st.lists(st.dictionaries(st.sampled_from(NAMES), JSON | KINDS) | JSON, max_size=4))
def test_each_message_gives_one_result(messages):
    """Invariant 1: whatever is sent, there are as many results as messages, and no other error."""
    found = segment.read(messages, NOW)
    assert len(found) == len(messages)
    assert all(isinstance(one, Event | Unusable) for one in found)
    assert len(rudder.read(messages, NOW)) == len(messages)


def test_nothing_of_a_message_shows():
    """Invariant 2: neither an event nor a refusal shows what was sent."""
    shown = repr(event(userId=CANARY, traits={"phone": CANARY}, messageId=CANARY))
    refused = read({"type": CANARY, "userId": CANARY}, {"type": "track", "userId": [CANARY]})
    assert CANARY not in shown + repr(refused)
    assert all(CANARY not in one.rule + one.next_step for one in refused)


@given(st.datetimes(), st.none() | st.datetimes(), st.datetimes(NOW.replace(tzinfo=None)))
def test_no_time_lies_after_the_arrival(original, sent, received):
    """Invariant 3: whatever the clocks say."""
    zoned = [None if one is None else one.replace(tzinfo=dt.UTC) for one in (original, sent)]
    at = received.replace(tzinfo=dt.UTC)
    assert corrected(*zoned, at) <= at


def test_a_clock_that_is_wrong_is_put_right():
    """Arrival - (sent - original): a device a day ahead tells the right time all the same."""
    found = event(timestamp="2026-05-05T08:59:50Z", sentAt="2026-05-05T09:00:00+00:00")
    assert found.time == NOW - dt.timedelta(seconds=10)
    assert event(timestamp="2026-05-04T10:00:00+08:00").time == dt.datetime(
        2026, 5, 4, 2, tzinfo=dt.UTC
    )
    assert event(originalTimestamp="2026-05-04T08:00:00", timestamp="2020-01-01").time.hour == 8
    assert event().time == event(timestamp="soon").time == NOW


def test_a_time_is_text_or_a_number():
    """ISO 8601, seconds or milliseconds; anything else is none."""
    assert time_of("1777885200") == time_of("1777885200000") == time_of("2026-05-04T09:00:00Z")
    assert time_of("9" * 30) is time_of({}) is time_of("") is None


def test_what_the_batch_says_holds_for_its_messages():
    """Time of sending and context stand in the batch or in a message; the message's own counts."""
    sent = {
        "sentAt": "2026-05-05T09:00:00Z",
        "context": {"ip": "batch"},
        "batch": [
            {"type": "track", "event": "a", "userId": 7, "timestamp": "2026-05-05T08:59:59Z"},
            {"type": "track", "event": "b", "userId": "u", "context": {"ip": "own"}},
        ],
    }
    first, second = segment.read(segment.messages_of(as_parsed(sent), None), NOW)
    assert first.time == NOW - dt.timedelta(seconds=1)
    assert (first.row["context"]["ip"], second.row["context"]["ip"]) == ("batch", "own")
    assert first.user_id.reveal(reason="test") == "7"


def test_a_single_call_has_the_kind_of_its_address():
    """The address says what it is, whatever the body says."""
    (message,) = segment.messages_of({"type": "alias", "userId": "u"}, Kind.IDENTIFY)
    assert segment.event_of(message, NOW).kind is Kind.IDENTIFY


@pytest.mark.parametrize(
    ("message", "rule"),
    [
        ({"type": "delete", "userId": "u"}, "type_unknown"),
        ({"userId": "u"}, "type_unknown"),
        ({"type": "track", "event": "a"}, "id_missing"),
        ({"type": "track", "event": "a", "userId": "", "anonymousId": None}, "id_missing"),
        ({"type": "alias", "userId": "u"}, "id_missing"),
        ({"type": "alias", "previousId": "u"}, "id_missing"),
        ({"type": "identify", "userId": {"a": 1}}, "id_not_plain"),
        ({"type": "identify", "userId": "u" * 401}, "id_too_long"),
        ({"type": "identify", "userId": "a\u0001b"}, "id_form"),
        ({"type": "identify", "userId": "anonymous_id=b"}, "id_form"),
        ({"type": "identify", "userId": "u", "traits": ["a"]}, "part_not_an_object"),
        ({"type": "track", "userId": "u", "event": {"a": 1}}, "name_form"),
        ({"type": "track", "userId": "u", "event": "n" * 257}, "name_form"),
        ({"type": "identify", "userId": "\ud800"}, "broken_text"),
        ({"type": "track", "userId": "u", "event": "a", "properties": {"a": "x" * MESSAGE_LIMIT}},
         "message_too_large"),
    ],
)  # fmt: skip
def test_a_message_that_cannot_be_used_is_told_by_rule(message, rule):
    """The others of its batch go on."""
    refused, taken = read(message, {"type": "track", "event": "a", "userId": "u"})
    assert (refused.rule, type(taken)) == (rule, Event)


@pytest.mark.parametrize("sent", [[], "x", None, {"batch": {}}, {"batch": [{}] * 2501}, {}])
def test_a_body_that_is_no_batch_is_refused(sent):
    """An object with a list of messages, not too many, and nothing else."""
    with pytest.raises(BodyRefused):
        segment.messages_of(sent, None)


def test_null_counts_as_left_out():
    """Segment's SDK for Python sends anonymousId: null, and null for parts it has not."""
    found = event(anonymousId=None, traits=None, context=None, messageId=None)
    assert (found.anonymous_id, found.message_id) == (None, None)


def test_traits_in_the_context_count_once_towards_the_size():
    """A message is as large as it was sent."""
    sent = {"type": "identify", "userId": "u1", "context": {"traits": {"bio": "x" * 20_000}}}
    (found,) = rudder.read([sent], NOW)
    assert len(found.row["traits"]["bio"]) == 20_000
    (refused,) = rudder.read([sent | {"traits": {"bio": "x" * 20_000}}], NOW)
    assert refused.rule == "message_too_large"


def test_rudder_has_traits_in_the_context():
    """They count as the message's own, which win."""
    sent = {"type": "identify", "userId": "u", "context": {"traits": {"a": "1", "b": "1"}},
            "traits": {"b": "2"}}  # fmt: skip
    (found,) = rudder.read([sent], NOW)
    assert found.row["traits"] == {"a": "1", "b": "2"}
    (tracked,) = rudder.read([sent | {"type": "track", "event": "x"}], NOW)
    assert tracked.row["traits"] == {"b": "2"}


def test_what_a_batch_says_for_all_is_bounded() -> None:
    """Written out for each message it would be much more than what was sent."""

    def asked(messages: int, **shared: Any) -> str:
        body = {"batch": [{"type": "track"}] * messages, **shared}
        with pytest.raises(BodyRefused) as caught:
            segment.messages_of(body, None)
        assert caught.value.too_large is (caught.value.rule == "message_too_large")
        return caught.value.rule

    def fine(messages: int, **shared: Any) -> bool:
        body = {"batch": [{"type": "track"}] * messages, **shared}
        return len(segment.messages_of(body, None)) == messages

    large, small = {"a": "x" * 30_000}, {"a": "x" * 3_000}
    assert fine(100, context=large)
    assert asked(2500, context=large) == "message_too_large"
    assert fine(2500, context=small)
    assert asked(1, context={"a": "x" * 40_000}) == "message_too_large"
    assert asked(1, sentAt="x" * 40_000) == "message_too_large"
    assert fine(2500, sentAt=[small] * 100)  # it is no time, and nobody's
    assert asked(1, context={"a": "\ud800"}) == "broken_text"
    deep: Any = "x"
    for _ in range(70):
        deep = {"a": deep}
    assert asked(1, context=deep) == "too_deep"
