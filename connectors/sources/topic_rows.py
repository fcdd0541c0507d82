"""From a message of a topic to a record, a deletion or a rejection. Pure.

Invariants, each named by a test in ``tests/unit/connectors/test_topic_rows.py``:

1. A message that cannot be read is a rejection that names its place; the next one is read.
2. A message without a value deletes only where that was declared, and then the record of its key.
3. Where keys name records, a message whose key names another record than its value is a
   rejection: otherwise one person's message could delete somebody else.
"""

import json
from dataclasses import replace
from typing import Any, Final

from connectors.base import Deleted, Delivery
from connectors.columns import file_columns
from connectors.declaration import SourceDeclaration
from connectors.glimpse import Glimpse
from connectors.record import Record, Rejection, Sensitive
from connectors.sources.json_lines import LineRefused, cells_of, parse_object
from connectors.sources.topic_engine import Message
from connectors.streams.debezium import DebeziumMessages
from connectors.streams.stream_feed import Messages
from connectors.topic_declaration import MEGABYTE, TopicSpec

_REASON: Final = "compare the key of a message with the record that it is of"
_SHOWN: Final = 16 * 1024  # bytes of a message that cannot be read that are kept
_LARGE = ("message_too_large", "Send smaller messages, or raise topic.limits.message_mb.")
_BYTES = ("not_decodable", "Send JSON in UTF-8. What a schema registry packs cannot be read.")
_NO_VALUE = (
    "no_value",
    "Declare deleted: tombstone where it means that the record is gone; else send a value.",
)
_NO_KEY = ("key_missing", "Send each message with the record id as its key.")
_OTHER_KEY = ("key_of_another_record", "Send each message with its own record id as its key.")
_KEY_FORM = ("key_unreadable", "Send the record id as the key, in the form of topic.key.")


class TopicRows:
    """Reads the messages of one topic, in the order of each partition."""

    def __init__(self, declaration: SourceDeclaration, spec: TopicSpec) -> None:
        self._spec = spec
        self._messages: Messages = (
            DebeziumMessages(declaration)
            if spec.format == "debezium"
            else _KeyedMessages(declaration, spec)
        )

    @property
    def glimpse(self) -> Glimpse:
        """The first rows that were read, unmapped."""
        return self._messages.glimpse

    def of(self, position: int, partition: int, message: Message) -> Delivery | None:
        """What one message says; None: nothing of a row of this source.

        Args:
            position: of the row in this reading, from 1.
            partition: that it was read from.
            message: as it was read.
        """
        place = f"topic {self._spec.name}, partition {partition}, offset {message.offset}"
        if len(message.value or b"") > self._spec.limits.message_mb * MEGABYTE:
            return self._refuse(position, _LARGE, place, message)
        try:
            key, value = _text(message.key), _text(message.value)
        except UnicodeDecodeError:
            return self._refuse(position, _BYTES, place, message)
        found: Delivery | None
        if isinstance(self._messages, _KeyedMessages):
            found = self._messages.read(position, key, value)
        else:
            found = self._messages.of(position, _together(self._spec.name, key, value))
        return _placed(found, place, message) if isinstance(found, Rejection) else found

    def _refuse(
        self, position: int, problem: tuple[str, str], place: str, message: Message
    ) -> Rejection:
        return _placed(self._messages.refuse(position, problem, ""), place, message)


class _KeyedMessages(Messages):
    """Each value is a row; where that was declared, each key is the id of its record."""

    def __init__(self, declaration: SourceDeclaration, spec: TopicSpec) -> None:
        super().__init__(declaration)
        self._form = spec.key
        self._keyed = spec.tombstones
        self._ids = file_columns(declaration.derived, declaration.record_id)

    def read(self, position: int, key: str | None, value: str | None) -> Delivery:
        """What one message says."""
        gone = self._of_key(position, key) if self._keyed else None
        if value is None:
            return gone or self._rows.reject(position, *_NO_VALUE, "")
        found = self.of(position, value)
        if gone is None or found is None:
            return found or self._rows.reject(position, *_NO_VALUE, "")
        if isinstance(gone, Rejection):
            return gone
        if isinstance(found, Record | Deleted):
            same = _opened(found.record_id) == _opened(gone.record_id)
            return found if same else self._rows.reject(position, *_OTHER_KEY, "")
        if isinstance(found, Rejection) and found.record_id is None:
            return replace(found, record_id=gone.record_id)
        return found

    def _of(self, position: int, message: dict[str, Any], text: str) -> Delivery:
        return self._row(position, message, text)

    def _of_key(self, position: int, key: str | None) -> Deleted | Rejection:
        """The deletion of the record that a key names."""
        if not key:
            return self._rows.reject(position, *_NO_KEY, "")
        try:
            row = {self._ids[0]: key} if self._form == "text" else self._row_of(key)
            return self._rows.deleted(position, cells_of(row, self._columns, key), lambda: "")
        except LineRefused:
            return self._rows.reject(position, *_KEY_FORM, "")

    def _row_of(self, key: str) -> dict[str, Any]:
        """The columns of a key in JSON, with its schema beside it or without."""
        parsed = parse_object(f'{{"key": {key}}}')
        if len(parsed) != 1:
            raise LineRefused(*_KEY_FORM)
        held = parsed["key"]
        if isinstance(held, dict) and set(held) == {"schema", "payload"}:
            held = held["payload"]
        if isinstance(held, dict):
            return held
        if len(self._ids) != 1 or not isinstance(held, str):
            raise LineRefused(*_KEY_FORM)
        return {self._ids[0]: held}


def _text(part: bytes | None) -> str | None:
    return None if part is None else part.decode()


def _together(topic: str, key: str | None, value: str | None) -> str:
    """Key and value as one line, as ``kcat -J`` writes them."""
    if key is None and value is not None:
        return value
    return json.dumps({"topic": topic, "key": key, "payload": value}, ensure_ascii=False)


def _placed(rejection: Rejection, place: str, message: Message) -> Rejection:
    """A rejection whose kept text names the place of its message, and holds key and value."""
    parts = [
        (part or b"")[:_SHOWN].decode(errors="replace") for part in (message.key, message.value)
    ]
    return replace(rejection, raw=Sensitive(f"{place}, key {json.dumps(parts[0])}\n{parts[1]}"))


def _opened(record_id: Sensitive) -> str:
    return record_id.reveal(reason=_REASON)
