"""Messages of other tools, read line by line."""

import json
import os
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.base import Deleted, Mark, Outdated, State
from connectors.declaration import parse_source
from connectors.errors import Stop
from connectors.record import Record, Rejection
from connectors.sources.physical_lines import Line
from connectors.streams.airbyte import AirbyteMessages
from connectors.streams.debezium import DebeziumMessages
from connectors.streams.pipe import lines_of
from connectors.streams.plain import PlainMessages
from connectors.streams.singer import SingerMessages
from connectors.streams.stream_feed import StreamFeed

WHY = "compare in a test"
EVERY = (SingerMessages, AirbyteMessages, DebeziumMessages, PlainMessages)


def declared(**more):
    entry = {"connector": "piped", "record_id": "id", "fields": {"name": "name"}, **more}
    return parse_source("shop", entry)


def given_by(kind, lines, **more):
    """What a feed of such messages gives."""
    texts = [one if isinstance(one, str) else json.dumps(one) for one in lines]
    rows = [Line(text, "\n", decoded=True, whole=True, end=0) for text in texts]
    feed = StreamFeed("shop", kind(declared(**more)), rows)
    return list(feed.read(None)), feed


def said(one):
    """One delivery in short words."""
    if isinstance(one, Record):
        return one.record_id.reveal(reason=WHY), one.order, one.load
    if isinstance(one, Deleted):
        return f"-{one.record_id.reveal(reason=WHY)}", one.order
    if isinstance(one, Rejection):
        return f"!{one.rule}"
    if isinstance(one, Outdated):
        return f"<{one.load}"
    return one.state.value.get("sent")


def told(kind, lines, **more):
    return [said(one) for one in given_by(kind, lines, **more)[0]]


def record(number, **more):
    return {"type": "RECORD", "stream": "m", "record": {"id": number, "name": "x"}, **more}


def test_a_tap_is_followed():
    """Rows, the order of the replication key, versions, deletions and states."""
    schema = {"type": "SCHEMA", "stream": "m", "schema": {}, "bookmark_properties": ["at"]}
    dated = record(2)
    dated["record"]["at"] = "2026-03-01T00:00:00Z"
    removed = record(3)
    removed["record"]["_sdc_deleted_at"] = "2026-03-01"
    state = '{"type": "STATE", "value": {"m": 1.50, "n": 12345678901234567890}}'
    lines = [schema, record(1, version=5), dated, removed, state]
    lines.append({"type": "ACTIVATE_VERSION", "stream": "m", "version": 5})
    assert told(SingerMessages, lines) == [
        ("1", None, 5),
        ("2", 1772323200000000, None),
        ("-3", None),
        '{"m": 1.5, "n": 12345678901234567890}',
        "<5",
    ]


def test_rows_of_other_streams_are_passed_over_or_stop():
    """A declared table chooses one stream; without it a second stream is not guessed at."""
    lines = [record(1), {**record(2), "stream": "n"}]
    given, feed = given_by(SingerMessages, lines, table="n")
    assert [said(one)[0] for one in given] == ["2"]
    assert feed.passed_over == 1
    with pytest.raises(Stop, match="several_streams"):
        told(SingerMessages, lines)


TIME = "2026-03-01T08:00:00.000000Z"


def airbyte(number, **more):
    data = {"id": number, "name": "x", **more}
    return {"type": "RECORD", "record": {"stream": "m", "data": data, "emitted_at": 1}}


def test_an_airbyte_source_is_followed():
    """Rows, deletions, and a STATE message that goes back whole."""
    state = {"type": "STATE", "state": {"type": "GLOBAL", "global": {"x": [1.0, None]}}}
    log = {"type": "LOG", "log": {"level": "INFO", "message": "13957140286"}}
    lines = [log, airbyte(1, _ab_cdc_lsn=7), airbyte(2, _ab_cdc_deleted_at=TIME), state]
    given, feed = given_by(AirbyteMessages, lines)
    assert [said(one) for one in given[:2]] == [("1", 7, None), ("-2", None)]
    assert json.loads(said(given[2])) == state
    assert feed.passed_over == 1


def test_namespaces_are_not_mixed():
    """Two streams of one name are two tables: the second stops, or one is declared."""
    lines = [airbyte(1), airbyte(2)]
    for line, space in zip(lines, ("a", "b"), strict=True):
        line["record"]["namespace"] = space
    assert told(AirbyteMessages, lines, table="b.m") == [("2", None, None)]
    with pytest.raises(Stop, match="several_streams"):
        told(AirbyteMessages, lines, table="m")


@pytest.mark.parametrize("mark", ["active", "9999-12-31", [1], "1900-01-01T00:00:00Z"])
def test_a_mark_that_is_no_time_deletes_nobody(mark):
    """What is neither a time nor empty is rejected: a wrong guess would destroy a person."""
    removed = record(1)
    removed["record"]["_sdc_deleted_at"] = mark
    assert told(SingerMessages, [removed]) == ["!deleted_unclear"]
    assert told(AirbyteMessages, [airbyte(1, _ab_cdc_deleted_at=mark)]) == ["!deleted_unclear"]


@pytest.mark.parametrize("mark", [None, "", False, 0, "0000-00-00 00:00:00"])
def test_an_empty_mark_deletes_nobody(mark):
    """A column that is there and says no is a row."""
    assert told(AirbyteMessages, [airbyte(1, _ab_cdc_deleted_at=mark)]) == [("1", None, None)]


def test_a_sender_that_failed_stops_the_feed():
    """What the sender says went wrong is not quoted."""
    failed = {"type": "TRACE", "trace": {"type": "ERROR", "error": {"message": "13957140286"}}}
    with pytest.raises(Stop, match="sender_failed") as stopped:
        told(AirbyteMessages, [failed])
    assert "139" not in str(stopped.value)


def change(operation, before=None, after=None, **source):
    return {"op": operation, "before": before, "after": after, "source": source, "ts_ms": 9}


def row(number):
    return {"id": number, "name": "x"}


def test_changes_of_a_database_are_followed():
    """Created, read, updated and deleted rows; positions of either log, or the time."""
    lines = [
        change("c", after=row(1), lsn=11, table="m", schema="crm"),
        {"schema": {}, "payload": change("r", after=row(2), file="bin.000002", pos=5)},
        change("u", before=row(3), after=row(3), ts_ms=7),
        change("d", before=row(1), lsn=12),
        "null",
        {"key": '{"id": 4}', "payload": None},
        {"key": {"schema": {}, "payload": {"id": 5}}, "value": change("d", lsn=13)},
        {"id": 6, "name": "x", "__deleted": "true"},
        {"id": 7, "name": "x", "__deleted": "false"},
    ]
    assert told(DebeziumMessages, lines) == [
        ("1", 11, None),
        ("2", (2 << 40) + 5, None),
        ("3", 7, None),
        ("-1", 12),
        ("-4", None),
        ("-5", 13),
        ("-6", None),
        ("7", None, None),
    ]
    assert told(DebeziumMessages, lines[:1], table="crm.m") == [("1", 11, None)]
    assert told(DebeziumMessages, lines[:1], table="n") == []
    assert told(DebeziumMessages, [change("t")]) == ["!truncated"]


def keyed(number, value, **more):
    return {"key": {"id": number}, "payload": value, **more}


def test_a_tombstone_behind_its_deletion_says_nothing():
    """Read again, it would come without an order and destroy who came back since."""
    gone = change("d", before=row(1), lsn=2)
    lines = [
        keyed(1, change("c", after=row(1), lsn=1)),
        keyed(1, gone),
        keyed(1, None),
        keyed(1, change("c", after=row(1), lsn=3)),
    ]
    assert told(DebeziumMessages, lines) == [("1", 1, None), ("-1", 2), ("1", 3, None)]
    # alone it is a deletion, also of a key that came back since
    assert told(DebeziumMessages, [*lines, keyed(1, None)])[-1] == ("-1", None)


def test_a_tombstone_of_another_table_deletes_nobody():
    """It names no table: its topic tells, or it is not followed."""
    here, there = {"topic": "shop.crm.m"}, {"topic": "shop.crm.n"}
    other = change("c", after=row(1), lsn=1, table="n", schema="crm")
    lines = [keyed(1, other, **there), keyed(1, None, **there), keyed(2, None, **here)]
    assert told(DebeziumMessages, lines, table="crm.m") == [("-2", None)]
    assert told(DebeziumMessages, [keyed(1, None)], table="crm.m") == ["!tombstone_unclear"]
    routed = {"topic": "members"}
    mine = keyed(3, change("c", after=row(3), lsn=1, table="m", schema="crm"), **routed)
    assert told(DebeziumMessages, [mine, keyed(4, None, **routed)], table="m")[1:] == [("-4", None)]


def test_changes_of_several_tables_are_not_mixed():
    """Without a declared table the second one stops: ids of two tables are not of one person."""
    lines = [change("c", after=row(1), lsn=n, table=n, schema="crm") for n in ("m", "n")]
    with pytest.raises(Stop, match="several_streams"):
        told(DebeziumMessages, lines)


def test_the_declared_cursor_and_deletion_count_everywhere():
    """A column may give the order and say deleted, whoever sends the row."""
    more = {"cursor": "n", "deleted": {"column": "gone", "values": ["Y"]}}
    data = {"id": 1, "name": "x", "n": 4}
    assert told(PlainMessages, [data, {**data, "gone": "y"}], **more) == [("1", 4, None), ("-1", 4)]
    wrapped = {"type": "RECORD", "stream": "m", "record": data}
    assert told(SingerMessages, [wrapped], **more) == [("1", 4, None)]
    assert told(DebeziumMessages, [change("c", after=data, lsn=9)], **more) == [("1", 4, None)]


BROKEN = (
    "",
    "no JSON",
    "[]",
    "{}",
    '{"type": "RECORD"}',
    '{"type": "RECORD", "stream": "m", "record": 1}',
    '{"type": "RECORD", "record": {"stream": "m", "data": null}}',
    '{"type": "STATE"}',
    '{"type": "ACTIVATE_VERSION", "stream": "m"}',
    '{"type": "NOBODY_KNOWS"}',
    '{"op": "c", "after": null, "source": null}',
    '{"op": "d", "before": null, "source": {}}',
    '{"op": "z", "source": {}}',
    '{"key": 1, "payload": 2}',
    '{"a": NaN}',
    '{"a": 1, "a": 2}',
    '{"a": ' * 200 + "1" + "}" * 200,
    '{"id": "\\ud800", "name": "x"}',
)


@pytest.mark.parametrize("kind", EVERY)
def test_a_broken_line_is_a_rejection_and_the_next_is_read(kind):
    """Nothing crashes, nothing is lost, and nothing is quoted (invariants 1 and 2)."""
    good = {
        SingerMessages: record(1),
        AirbyteMessages: airbyte(1),
        DebeziumMessages: change("c", after=row(1)),
        PlainMessages: row(1),
    }[kind]
    given, feed = given_by(kind, [*BROKEN, good])
    rows = [one for one in given if isinstance(one, Record)]
    rejected = [one for one in given if isinstance(one, Rejection)]
    assert len(rows) == 1
    assert rows[0].position == len(BROKEN) + 1
    assert len(rejected) + feed.passed_over == len(BROKEN) - 1  # the blank line says nothing
    assert len(rejected) >= 10
    assert all(one.next_step for one in rejected)


@pytest.mark.parametrize("kind", EVERY)
@given(text=st.text())
def test_any_text_is_one_delivery_at_most(kind, text):
    """Whatever is sent, a line gives a delivery or nothing, and never an error."""
    given, feed = given_by(kind, [text])
    assert len(given) + feed.passed_over <= 1


_KEYS = st.sampled_from(
    ("type", "stream", "record", "data", "state", "value", "op", "before", "after", "source",
     "key", "payload", "schema", "id", "name", "version", "trace", "lsn", "file", "pos", "ts_ms")
)  # fmt: skip
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=12,
)
_KINDS = st.sampled_from(("RECORD", "STATE", "SCHEMA", "ACTIVATE_VERSION", "LOG", "c", "d", "u"))


@pytest.mark.parametrize("kind", EVERY)
@given(message=st.dictionaries(_KEYS, json_values | _KINDS, max_size=6))
def test_any_message_is_one_delivery_at_most(kind, message):
    """The words of the protocols in any order and nesting break nothing."""
    given, feed = [], None
    with suppress(Stop):  # the sender says that it failed
        given, feed = given_by(kind, [message])
    assert len(given) + (feed.passed_over if feed else 0) <= 1


def test_a_quiet_moment_gives_the_last_state_again():
    """Who follows an endless stream hears of where it is, though no line comes."""
    state = json.dumps({"type": "STATE", "value": {"m": 1}})
    lines = [None, Line(state, "\n", decoded=True, whole=True, end=0), None]
    messages = SingerMessages(declared())
    first, second, third = StreamFeed("shop", messages, lines).read(None)
    assert isinstance(first, Mark)
    assert messages.state_as_sent(first.state) is None
    assert said(second) == said(third) == '{"m": 1}'
    assert messages.state_as_sent(State({"version": 1, "sent": "x"})) == "x"


def test_a_pipe_gives_whole_lines_and_says_when_none_comes():
    """Half a line is waited for; the rest without a break is a line; the end is the end."""
    read_end, write_end = os.pipe()
    lines = lines_of(read_end, 0.05)
    os.write(write_end, b'\xef\xbb\xbf{"a": 1}\n{"b"')
    assert next(lines).text == '{"a": 1}'
    assert next(lines) is None
    os.write(write_end, ': "é"}\r\n'.encode() + b"\xff\nend")
    assert next(lines).text == '{"b": "é"}'
    assert next(lines).decoded is False
    os.close(write_end)
    assert next(lines).text == "end"
    assert next(lines, "over") == "over"
    os.close(read_end)


def test_a_line_without_an_end_does_not_fill_the_memory(tmp_path):
    """A line of fifty megabytes is cut, refused and passed, and the next one is read."""
    path = tmp_path / "long"
    with path.open("wb") as file:
        for _ in range(50):
            file.write(b"x" * 1024 * 1024)
        file.write(b'\n{"id": 1, "name": "x"}\n')
    with path.open("rb") as file:
        feed = StreamFeed("shop", PlainMessages(declared()), lines_of(file.fileno()))
        long, good = feed.read(None)
    assert said(long) == "!row_too_large"
    assert said(good) == ("1", None, None)
