"""CloudEvents over HTTP: the three modes."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.events import cloudevents
from connectors.events.body import BodyRefused
from connectors.events.cloudevents import BATCH, ONE
from connectors.events.event import Event, Kind, Unusable
from tests.unit.connectors.events.inbound import NOW

SENT = {
    "specversion": "1.0", "id": "7", "source": "/orders", "type": "com.example.order.paid",
    "subject": "u1", "time": "2026-05-04T08:00:00Z", "data": {"total": 12.5},
}  # fmt: skip


def one(**changes):
    message = {k: v for k, v in {**SENT, **changes}.items() if v is not None}
    messages = cloudevents.messages_of(ONE, {}, json.dumps(message).encode())
    (found,) = cloudevents.read(messages, NOW)
    return found


def test_every_mode_gives_the_same():
    """Structured, batched and binary."""
    binary = {f"ce-{name}": value for name, value in SENT.items() if name != "data"}
    bodies = [
        cloudevents.messages_of(f"{ONE}; charset=utf-8", {}, json.dumps(SENT).encode()),
        cloudevents.messages_of(BATCH, {}, json.dumps([SENT]).encode()),
        cloudevents.messages_of("application/json", binary, b'{"total": 12.5}'),
    ]
    for messages in bodies:
        (found,) = cloudevents.read(messages, NOW)
        assert (found.kind, found.name) == (Kind.TRACK, "com.example.order.paid")
        assert found.user_id.reveal(reason="test") == "u1"
        assert found.row["properties"] == {"total": "12.5"}
        assert found.time.hour == 8


def test_attributes_in_headers_are_percent_encoded():
    """As the HTTP binding says."""
    headers = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/", "ce-type": "a",
               "ce-subject": "%E5%BC%A0"}  # fmt: skip
    (found,) = cloudevents.read(cloudevents.messages_of("", headers, b""), NOW)
    assert found.user_id.reveal(reason="test") == "张"


def test_source_and_id_together_name_an_event():
    """The same id of another source is another event."""
    ids = {one(source=s, id=i).message_id.reveal(reason="t") for s in "ab" for i in "12"}
    assert len(ids) == 4


def test_a_type_that_asserts():
    """By the end of its type; its data are traits."""
    found = one(type="com.example.user.identify", anonymousid="d1")
    assert (found.kind, found.row["traits"]) == (Kind.IDENTIFY, {"total": "12.5"})
    assert one(type="x.alias", anonymousid="d").kind is Kind.ALIAS
    assert one(type="x.group", data={"groupId": "g"}).row["groupId"] == "g"


def test_data_in_base_64():
    """JSON inside it is read."""
    packed = base64.b64encode(b'{"total": 1}').decode()
    assert one(data=None, data_base64=packed).row["properties"] == {"total": "1"}


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"id": None}, "attribute_missing"), ({"type": ["x"]}, "attribute_missing"),
        ({"specversion": "0.3"}, "version_unknown"), ({"specversion": {}}, "version_unknown"),
        ({"subject": None}, "id_missing"), ({"type": "x.alias"}, "id_missing"),
        ({"data": [1]}, "data_not_an_object"),
        *(
            ({"data": None, "data_base64": text}, rule)
            for text, rule in (
                ("%", "data_not_an_object"), ("é", "data_not_an_object"),
                (base64.b64encode(b'{"a": "\\ud800"}').decode(), "broken_text"),
                (base64.b64encode(b'{"a":' * 90 + b"1" + b"}" * 90).decode(), "too_deep"),
            )
        ),
    ],
)  # fmt: skip
def test_what_is_no_event_is_told_by_rule(changes, rule):
    """One result a message."""
    assert one(**changes).rule == rule


@pytest.mark.parametrize(
    ("kind", "headers", "body"),
    [
        (BATCH, {}, b"{}"), (ONE, {}, b"{"), ("application/json", {}, b"{}"),
        ("text/plain", {"ce-specversion": "1.0"}, b"x"),
        (BATCH, {}, json.dumps([1] * 2501).encode()),
    ],
)  # fmt: skip
def test_a_body_of_no_mode_is_refused(kind, headers, body):
    """By rule, as a whole."""
    with pytest.raises(BodyRefused):
        cloudevents.messages_of(kind, headers, body)


@given(st.lists(st.dictionaries(st.sampled_from([*SENT, "anonymousid", "data_base64"]),
                                st.none() | st.text(max_size=9) | st.lists(st.text(max_size=3))
                                | st.sampled_from(["1.0", "x.alias", "x.identify"]))))  # fmt: skip
def test_each_message_gives_one_result(messages):
    """Whatever is sent, there are as many results as messages, and no other error."""
    found = cloudevents.read(messages, NOW)
    assert len(found) == len(messages)
    assert all(isinstance(x, Event | Unusable) for x in found)
