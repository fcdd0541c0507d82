"""The streams that the Meltano SDK tests targets with, and what a tap built on it writes."""

import json
import os
import sys
from pathlib import Path

import pytest

from connectors.base import Mark
from connectors.declaration import parse_source
from connectors.record import Record, Rejection
from connectors.sources.physical_lines import Line
from connectors.streams.singer import SingerMessages
from connectors.streams.stream_feed import StreamFeed
from connectors.testing_feeds import applied

OURS = Path(__file__).parent / "taps"  # what a tap built on the SDK wrote of made-up members
# File: stream, key, and how many records, rejections and states there are, and how many are left.
EXPECTED = {
    "members": ("members", "id", 25, 0, 1, 25),
    "array_data": ("test_array_data", "id", 4, 0, 1, 4),
    "camelcase": ("TestCamelcase", "Id", 2, 0, 0, 2),
    "camelcase_complex_schema": ("ForecastingTypeToCategory", "Id", 0, 0, 0, 0),
    "duplicate_records": ("test_duplicate_records", "id", 5, 0, 1, 2),
    "encoded_string_data": ("test_strings", "id", 11, 0, 1, 11),
    "invalid_schema": ("test_invalid_schema", "id", 0, 0, 0, 0),
    "multiple_state_messages": ("test_multiple_state_messages_a", "id", 6, 0, 5, 6),
    "no_primary_keys": ("test_no_pk", "id", 3, 0, 1, 3),
    "no_primary_keys_append": ("test_no_pk", "id", 5, 0, 1, 5),
    "optional_attributes": ("test_optional_attributes", "id", 4, 0, 1, 4),
    "pk_updates": ("example_stream", "id", 2, 0, 0, 2),
    "record_before_schema": ("test_record_before_schema", "id", 2, 0, 0, 2),
    "record_missing_fields": ("record_missing_fields", "id", 2, 0, 1, 2),
    "record_missing_key_property": ("test_record_missing_key_property", "id", 0, 1, 0, 0),
    "record_missing_required_property": ("test_record_missing_required_property", "id", 0, 1, 0, 0),
    "schema_no_properties": ("test_object_schema_no_properties", "object_store.id", 2, 0, 0, 2),
    "schema_updates": ("test_schema_updates", "id", 6, 0, 1, 6),
    "special_chars_in_attributes": ("test:SpecialChars!in?attributes", "_id", 1, 0, 0, 1),
    "user_location_data": ("test_users", "id", 5, 0, 1, 5),
    "user_location_upsert_data": ("test_users", "id", 6, 0, 1, 6),
}


def streams():
    """The folder of the SDK's target test streams; the SDK itself is not imported."""
    folder = Path(sys.prefix) / "singer" / "singer_sdk" / "testing" / "target_test_streams"
    if not folder.is_dir():
        lacks = "the files of singer-sdk are not there: make test fetches them"
        assert "CI" not in os.environ, lacks
        pytest.skip(lacks)
    return folder


def path_of(name):
    """Where a stream is: ours, or the SDK's."""
    ours = OURS / f"{name}.singer"
    return ours if ours.exists() else streams() / f"{name}.singer"


def given_by(name, stream, key):
    """What a feed gives of a file."""
    entry = {"connector": "piped", "table": stream, "record_id": key, "fields": {"name": "name"}}
    messages = SingerMessages(parse_source("shop", entry))
    text = path_of(name).read_text("utf-8")
    lines = [Line(one, "\n", decoded=True, whole=True, end=0) for one in text.splitlines()]
    given = list(StreamFeed("shop", messages, lines).read(None))
    states = [messages.state_as_sent(one.state) for one in given if isinstance(one, Mark)]
    sent = [json.loads(one) for one in text.splitlines() if '"STATE"' in one]
    assert [json.loads(one or "") for one in states] == [one["value"] for one in sent]
    return given


@pytest.mark.parametrize("name", EXPECTED)
def test_the_streams_of_the_sdk_are_read(name):
    """Each record is one or a rejection, each state comes back, and the last of a key is left."""
    stream, key, *expected = EXPECTED[name]
    given = given_by(name, stream, key)
    kinds = [sum(isinstance(one, kind) for one in given) for kind in (Record, Rejection, Mark)]
    assert [*kinds, len(applied(given))] == expected


def test_every_stream_has_an_expectation():
    """A file that is added is looked at."""
    assert {path.stem for folder in (OURS, streams()) for path in folder.glob("*.singer")} == set(
        EXPECTED
    )


def test_a_row_has_the_order_of_its_replication_key():
    """What the tap names as the bookmark orders its rows."""
    given = given_by("members", "members", "id")
    orders = [one.order for one in given if isinstance(one, Record)]
    assert None not in orders
    assert orders == sorted(orders)
