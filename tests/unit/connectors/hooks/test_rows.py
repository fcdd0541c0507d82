"""From the body of a webhook to rows."""

import json
from typing import Any

import pytest

from connectors.base import Deleted
from connectors.declaration import parse_source
from connectors.events.body import BodyRefused
from connectors.hooks.rows import LIMIT, MOST, HookRows, Post, Sent
from connectors.record import Record, Rejection

WHY = "read in a test"


def rows_of(**more: Any) -> HookRows:
    entry = {
        "connector": "webhook",
        "signature": {"scheme": "standard"},
        "credentials": {"secret": "ring:hook"},
        "record_id": "id",
        "fields": {"name": "name"},
        **more,
    }
    declaration = parse_source("crm", entry)
    assert declaration.hook is not None
    return HookRows(declaration, declaration.hook)


def read(rows: HookRows, body: Any, **headers: str) -> list[str] | None:
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    found = rows.of(Post({name.replace("_", "-"): text for name, text in headers.items()}, sent))
    return None if found is None else [said(one) for one in found]


def said(sent: Sent) -> str:
    row = sent.row
    if isinstance(row, Rejection):
        return row.rule
    assert isinstance(row, Record | Deleted)
    text = row.record_id.reveal(reason=WHY)
    return text if isinstance(row, Record) else f"-{text}"


def test_each_row_is_one_result_in_its_order() -> None:
    """Invariant 1: an object is one row, a list is several; what is no object is rejected."""
    assert read(rows_of(), {"id": 1}) == ["1"]
    found = read(rows_of(), [{"id": 1}, {"name": "x"}, 7, None, {"id": "=1"}, {"id": 2}])
    assert found == ["1", "record_id_missing", "not_an_object", "not_an_object", "formula", "2"]
    assert read(rows_of(), []) == []


def test_rows_lie_where_they_are_declared() -> None:
    """Keys and indexes; a path that leads nowhere is refused."""
    body = {"event": {"items": [{"id": 1}, {"id": 2}]}}
    assert read(rows_of(rows="event.items"), body) == ["1", "2"]
    assert read(rows_of(rows=["event", "items", 1]), body) == ["2"]
    assert read(rows_of(rows="event.items.0"), body) == ["1"]
    for path in ("event.nothing", "event.items.5", "event.items.0.id", "event.items.x"):
        with pytest.raises(BodyRefused, match="rows_missing"):
            read(rows_of(rows=path), body)


def test_a_header_a_path_or_a_column_says_deleted() -> None:
    """Whatever its case; of a header or a path, all rows of the message are."""
    header = rows_of(deleted={"header": "X-Topic", "values": ["customers/delete"]})
    assert read(header, {"id": 1}, x_topic=" Customers/Delete ") == ["-1"]
    assert read(header, {"id": 1}, x_topic="customers/deleted") == ["1"]
    assert read(header, {"id": 1}) == ["1"]
    path = rows_of(rows="data", deleted={"path": "type", "values": ["gone", "true"]})
    assert read(path, {"type": "GONE", "data": [{"id": 1}, {"id": 2}]}) == ["-1", "-2"]
    assert read(path, {"type": True, "data": [{"id": 1}, {}]}) == ["-1", "record_id_missing"]
    assert read(path, {"type": None, "data": {"id": 1}}) == ["1"]
    column = rows_of(deleted={"column": "state", "values": ["gone"]})
    assert read(column, [{"id": 1, "state": "gone"}, {"id": 2}]) == ["-1", "2"]


def test_what_was_not_asked_for_gives_no_row() -> None:
    """Invariant 2: by a header or a path; also a message that says nothing."""
    header = rows_of(only={"header": "x-topic", "values": ["customers/update"]})
    assert read(header, {"id": 1}, x_topic="customers/update") == ["1"]
    assert read(header, {"id": 1}, x_topic="orders/create") is None
    assert read(header, {"id": 1}) is None
    path = rows_of(only={"path": ["meta", "kind"], "values": ["member"]})
    assert read(path, {"id": 1, "meta": {"kind": "member"}}) == ["1"]
    assert read(path, [{"id": 1}]) is None


def test_an_order_comes_from_the_cursor() -> None:
    """Of rows and of deletions."""
    rows = rows_of(cursor="at", deleted={"header": "x", "values": ["gone"]})
    body = json.dumps({"id": 1, "at": "2026-03-01T00:00:00Z"}).encode()
    for headers in ({}, {"x": "gone"}):
        found = rows.of(Post(headers, body))
        assert found is not None
        row = found[0].row
        assert isinstance(row, Record | Deleted)
        assert row.order == 1_772_323_200_000_000


BAD = [
    (b"", "not_json"), (b"\xff", "not_json"), (b"{", "not_json"), (b"1}, {", "not_json"),
    (b'{}, "x": 1', "not_json"), (b'"canary"', "rows_missing"), (b"[" * 99, "too_deep"),
    (b'{"canary": 1, "canary": 2}', "key_repeated"), (b"[NaN]", "not_a_number"),
    (b" " * (LIMIT + 1), "body_too_large"), (b"\x1f\x8bcanary", "not_gzip"),
    (json.dumps([{}] * (MOST + 1)).encode(), "too_many_rows"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "rule"), BAD, ids=[f"{n}-{one[1]}" for n, one in enumerate(BAD)])
def test_a_body_that_cannot_be_read_is_refused(body: bytes, rule: str) -> None:
    """Invariant 3: by rule, with nothing of it."""
    with pytest.raises(BodyRefused) as refused:
        rows_of().of(Post({}, body))
    assert refused.value.rule == rule
    assert "canary" not in f"{refused.value} {refused.value.__cause__}"


def test_half_a_surrogate_pair_is_kept_as_it_was_sent() -> None:
    """It cannot be stored as a value; its row is rejected and its text is an escape."""
    found = rows_of().of(Post({}, b'{"id": "\\ud800"}'))
    assert found is not None
    assert said(found[0]) == "broken_text"
    assert found[0].text == '{"id": "\\ud800"}'
