"""Sensors Analytics: forms, packed lists, ids and profiles."""

import base64
import datetime as dt
import gzip
import json
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.events import sensors
from connectors.events.body import BodyRefused
from connectors.events.event import Event, Kind, Unusable
from tests.unit.connectors.events.inbound import NOW, as_parsed

TRACK = {
    "type": "track", "event": "PayOrder", "distinct_id": "u1", "time": 1777885190000,
    "properties": {"$is_login_id": True, "amount": 12.5}, "_flush_time": 1777885200000,
}  # fmt: skip


def form(messages, *, name="data_list", pack=True):
    """A body as the SDK for Python writes it."""
    text = json.dumps(messages).encode()
    data = base64.b64encode(gzip.compress(text, mtime=0) if pack else text).decode()
    return urlencode({name: data, "gzip": int(pack)}).encode()


def one(**changes):
    (found,) = sensors.read([as_parsed({**TRACK, **changes})], NOW)
    return found


@pytest.mark.parametrize(
    "body",
    [
        form([TRACK]), form([TRACK], pack=False), form(TRACK, name="data"),
        json.dumps([TRACK]).encode(), json.dumps(TRACK).encode(),
        gzip.compress(form([TRACK]), mtime=0),
        form([TRACK]).replace(b"%2B", b"+"),
    ],
)  # fmt: skip
def test_each_form_gives_the_same(body):
    """A form with one or a list, packed or not, or JSON as it is."""
    (message,) = sensors.messages_of(body)
    assert message == as_parsed(TRACK)


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        (b"", "no_data"), (b"data=", "no_data"), (b"x=1", "no_data"), (b"\xff\xfe", "no_data"),
        (b"data_list=%%%", "not_base64"), (b"data_list=%C3%A9", "not_base64"),
        (form(["x"])[:-30], "not_base64"),
        (b"data=" + base64.b64encode(b"{"), "not_json"),
        (b"data_list=" + base64.b64encode(gzip.compress(bytes(10**7), mtime=0)), "body_too_large"),
        (form([1] * 2501), "too_many_messages"),
    ],
)  # fmt: skip
def test_a_body_that_cannot_be_used_is_refused_by_rule(body, rule):
    """Bombs inside base 64 as well."""
    with pytest.raises(BodyRefused) as caught:
        sensors.messages_of(body)
    assert caught.value.rule in {rule, "not_gzip"}


def test_a_tracked_event():
    """Its time is put right by the time of sending."""
    found = one()
    assert (found.kind, found.name) == (Kind.TRACK, "PayOrder")
    assert found.time == NOW - dt.timedelta(seconds=10)
    assert found.user_id.reveal(reason="test") == "u1"
    assert found.row["properties"]["amount"] == "12.5"


@pytest.mark.parametrize(
    ("changes", "user", "device"),
    [
        ({}, "u1", None),
        ({"properties": {}}, None, "u1"),
        ({"properties": {"$is_login_id": False}}, None, "u1"),
        ({"properties": {}, "login_id": "u2", "anonymous_id": "d"}, "u2", "d"),
        ({"type": "profile_set", "properties": {"a": 1}}, "u1", None),
        ({"type": "profile_set", "properties": {}, "anonymous_id": "u1"}, None, "u1"),
        ({"type": "track_signup", "original_id": "d"}, "u1", "d"),
    ],
)
def test_whose_it_is(changes, user, device):
    """A login id is said; a profile without a word is a user's, an event a device's."""
    found = one(**changes)
    ids = [x and x.reveal(reason="test") for x in (found.user_id, found.anonymous_id)]
    assert ids == [user, device]


def test_what_names_a_message_tells_when_it_happened():
    """It has no id of its own: two that differ in time, or in their number, are two."""
    rows = [dict(one(**more).row) for more in ({}, {"time": 1777885190001}, {"_track_id": 9})]
    assert len({json.dumps(row, sort_keys=True) for row in rows}) == 3
    assert dict(one(_flush_time=1777885300000).row) == rows[0]


def test_profiles():
    """Set tells, unset takes away, set once gives way."""
    assert one(type="profile_set", properties={"a": "b"}).row["traits"] == {"a": "b"}
    assert one(type="profile_unset", properties={"a": True}).row["traits"] == {"a": None}
    assert one(type="profile_set_once").once
    assert not one(type="profile_set").once
    assert one(event="$pageview").kind is Kind.PAGE


@pytest.mark.parametrize("kind", ["profile_delete", "profile_append", "item_set", None, ["track"]])
def test_what_is_not_done_is_refused_by_rule(kind):
    """An erasure is not one message of an SDK."""
    assert one(type=kind).rule in {"not_erased_here", "type_unknown"}


NAMES = st.sampled_from([*TRACK, "login_id", "anonymous_id"])
KINDS = st.sampled_from(["track", "profile_set", "track_signup"])


@given(st.lists(st.dictionaries(NAMES, st.none() | st.text(max_size=9) | st.lists(KINDS) | KINDS)))
def test_each_message_gives_one_result(messages):
    """Whatever is sent, there are as many results as messages, and no other error."""
    found = sensors.read(messages, NOW)
    assert len(found) == len(messages)
    assert all(isinstance(x, Event | Unusable) for x in found)
