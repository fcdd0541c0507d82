"""From a message of a topic to a record, a deletion or a rejection."""

import json
from typing import Any

import pytest

from connectors.base import Deleted, Delivery
from connectors.declaration import parse_source
from connectors.record import Record, Rejection
from connectors.sources.topic_engine import Message
from connectors.sources.topic_rows import TopicRows

WHY = "read in a test"
NAME = "张敏"


def rows_of(**more: Any) -> TopicRows:
    entry = {
        "connector": "kafka",
        "location": "localhost:9092",
        "record_id": "id",
        "fields": {"name": "name"},
        **more,
        "topic": {"name": "members", **more.get("topic", {})},
    }
    declaration = parse_source("crm", entry)
    assert declaration.topic is not None
    return TopicRows(declaration, declaration.topic)


def read(rows: TopicRows, key: bytes | None, value: bytes | None) -> Delivery | None:
    return rows.of(1, 2, Message(17, key, value))


def said(found: Delivery | None) -> str:
    if isinstance(found, Rejection):
        return found.rule
    assert isinstance(found, Record | Deleted)
    opened = found.record_id.reveal(reason=WHY)
    return opened if isinstance(found, Record) else f"-{opened}"


def of(number: str, **more: Any) -> bytes:
    return json.dumps({"id": number, "name": NAME, **more}, ensure_ascii=False).encode()


POISON = [
    (b"\xff", "not_decodable"),
    (b"\x00\x00\x00\x00\x07members", "not_json"),
    (b"{", "not_json"),
    (b"[1]", "not_an_object"),
    (b"[" * 5000, "too_deep"),
    (b'{"id": NaN}', "not_a_number"),
    (b'{"id": "1", "id": "2"}', "key_repeated"),
    (b'{"name": "x"}', "record_id_missing"),
    (b'{"id": "\\ud800"}', "broken_text"),
    (b"", "not_json"),
]


@pytest.mark.parametrize(("value", "rule"), POISON)
def test_poison_is_a_rejection_that_names_its_place(value: bytes, rule: str) -> None:
    """Invariant 1: its kept text holds topic, partition, offset, key and value; nothing shows."""
    rows = rows_of()
    found = read(rows, b"k\xff1" if rule == "not_decodable" else b"k1", value)
    assert isinstance(found, Rejection)
    assert (found.rule, found.position) == (rule, 1)
    kept = found.raw.reveal(reason=WHY)
    assert kept.startswith("topic members, partition 2, offset 17, key ")
    assert "17" not in found.next_step
    assert said(read(rows, None, of("8"))) == "8"


def test_a_message_beyond_the_limit_is_a_rejection() -> None:
    """Invariant 1: its beginning is kept."""
    found = read(rows_of(topic={"limits": {"message_mb": 1}}), None, b"x" * (1024 * 1024 + 1))
    assert said(found) == "message_too_large"
    assert isinstance(found, Rejection)
    assert len(found.raw.reveal(reason=WHY)) < 17_000


TOMBSTONES = [
    ("text", b"7", None, "-7"),
    ("text", b"7", of("7"), "7"),
    ("text", b"7", of("8"), "key_of_another_record"),
    ("text", None, of("7"), "key_missing"),
    ("text", b"", None, "key_missing"),
    ("text", None, None, "key_missing"),
    ("text", b"7", b"{", "not_json"),
    ("text", b"\xff", None, "not_decodable"),
    ("text", b'{"id": 7}', None, '-{"id": 7}'),
    ("json", b'{"id": 7}', None, "-7"),
    ("json", b'{"id": "7"}', of("7"), "7"),
    ("json", b'"7"', None, "-7"),
    ("json", b"7", None, "-7"),
    ("json", b'{"schema": {"type": "string"}, "payload": "7"}', None, "-7"),
    ("json", b'{"schema": {}, "payload": {"id": 7}}', None, "-7"),
    ("json", b"null", None, "key_unreadable"),
    ("json", b"[7]", None, "key_unreadable"),
    ("json", b'7, "x": 8', None, "key_unreadable"),
    ("json", b"7}", None, "key_unreadable"),
    ("json", b"{}", None, "record_id_missing"),
]


@pytest.mark.parametrize(("form", "key", "value", "expected"), TOMBSTONES)
def test_a_tombstone_deletes_the_record_of_its_key(
    form: str, key: bytes | None, value: bytes | None, expected: str
) -> None:
    """Invariants 2 and 3: and a key that names another record than its value deletes nobody."""
    rows = rows_of(deleted="tombstone", topic={"key": form})
    assert said(read(rows, key, value)) == expected


def test_without_that_declaration_a_tombstone_is_a_rejection() -> None:
    """Invariant 2: it says what to declare; a column may say deleted all the same."""
    rows = rows_of(deleted={"column": "gone"})
    assert said(read(rows, b"7", None)) == "no_value"
    assert said(read(rows, None, of("7", gone="yes"))) == "-7"
    assert said(read(rows, b"another", of("7"))) == "7"


def test_a_broken_value_is_kept_with_the_id_of_its_key() -> None:
    """So that it goes when its record is destroyed."""
    found = read(rows_of(deleted="tombstone"), b"7", b"{")
    assert isinstance(found, Rejection)
    assert found.record_id is not None
    assert found.record_id.reveal(reason=WHY) == "7"


def test_keys_of_several_columns_and_derived_ones() -> None:
    """An object of the columns in the file; a derived record id is made of them."""
    two = rows_of(record_id=["id", "shop"], deleted="tombstone", topic={"key": "json"})
    assert said(read(two, b'{"id": "7", "shop": "BJ01"}', None)) == "-7|BJ01"
    made = rows_of(
        record_id="number",
        columns={"number": {"from": "id"}},
        deleted="tombstone",
    )
    assert said(read(made, b"7", of("7"))) == "7"
    assert said(read(made, b"7", None)) == "-7"


def test_change_events_with_and_without_keys() -> None:
    """An envelope, its tombstone, and one that stands alone."""
    rows = rows_of(topic={"format": "debezium"})

    def change(op: str, **more: Any) -> bytes:
        source = {"lsn": 5, "table": "members", "schema": "public"}
        return json.dumps({"op": op, "source": source, **more}).encode()

    key = b'{"id": 7}'
    assert said(read(rows, key, change("c", after={"id": 7, "name": NAME}))) == "7"
    assert said(read(rows, None, change("u", after={"id": 7, "name": NAME}))) == "7"
    assert said(read(rows, key, change("d", before={"id": 7}))) == "-7"
    assert read(rows, key, None) is None
    assert said(read(rows, b'{"id": 8}', None)) == "-8"
    found = read(rows, key, b"{")
    assert isinstance(found, Rejection)
    assert found.raw.reveal(reason=WHY).startswith("topic members, partition 2, offset 17, ")
