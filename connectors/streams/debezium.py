"""Change events of Debezium: created, updated, read and deleted rows, and tombstones.

Source: Debezium's documentation, *change event values*. A line is the value of an event, with or
without its schema; or key and value together, as ``kcat -J`` writes them, in which a value of null
is a tombstone; or the flat row of the "new record state" transformation. Columns of the
declaration are columns of the table.

The order of a row is its declared cursor, else the position in the database's log, else the time
of the change at the database. A tombstone has none: behind the deletion that it belongs to it says
nothing, so that a stream that is read again destroys no record that came back since.
"""

import json
import re
from typing import Any, Final

from connectors.base import Delivery
from connectors.declaration import SourceDeclaration
from connectors.errors import Stop
from connectors.feed_rows import order_of
from connectors.sources.json_lines import LineRefused, parse_object
from connectors.streams.stream_feed import NOT_A_MESSAGE, Messages, word_of

_ROWS: Final = frozenset("cru")
_FILE_NUMBER: Final = re.compile(r"(\d+)$")
_FILE_SHIFT: Final = 40  # bits of a position inside a file of the log
_FLAT_DELETED: Final = "__deleted"
_REMEMBERED: Final = 10_000  # keys that were deleted last


class DebeziumMessages(Messages):
    """Reads what Debezium sends."""

    def __init__(self, declaration: SourceDeclaration) -> None:
        super().__init__(declaration)
        self._gone: dict[str, None] = {}  # keys whose deletion was the last that came of them
        self._topics: dict[str, bool] = {}  # topic -> whether its changes are of this source

    def of(self, position: int, text: str) -> Delivery | None:
        """What one line says; a bare null is a tombstone of nobody knows whom: nothing."""
        return None if text.strip() == "null" else super().of(position, text)

    def _of(self, position: int, message: dict[str, Any], text: str) -> Delivery | None:
        value: dict[str, Any] | None = message
        key: dict[str, Any] | None = None
        if "key" in message and ("payload" in message or "value" in message):
            key = _content(message["key"])
            value = _content(message.get("payload", message.get("value")))
            if value is None:
                return self._tombstone(position, key, message.get("topic"), text)
        value = _payload(value)
        if "op" in value and ("after" in value or "before" in value or "source" in value):
            if value["op"] == "m" or not self._is_ours(value.get("source"), message.get("topic")):
                return None  # a message of the database's log is no row
            return self._change(position, value, _payload(key) if key else None, text)
        if value.get(_FLAT_DELETED) in ("true", True):
            return self._deleted(position, value, text)
        return self._row(position, value, text)

    def _change(
        self, position: int, value: dict[str, Any], key: dict[str, Any] | None, text: str
    ) -> Delivery | None:
        source = value.get("source")
        order = _order(source if isinstance(source, dict) else {}, value)
        operation = word_of(value["op"])
        self._note(key, gone=operation == "d")
        if operation in _ROWS:
            return self._row(position, value.get("after"), text, order=order)
        if operation == "d":
            return self._deleted(position, value.get("before") or key, text, order)
        step = "Empty the source by hand, then: cdp source reset NAME."
        raise LineRefused("truncated" if operation == "t" else "message_unknown", step)

    def _is_ours(self, source: object, topic: object) -> bool:
        """Whether a change is of the declared table, or of the one that came first.

        Raises:
            Stop: several tables came, and the declaration names none.
        """
        source = source if isinstance(source, dict) else {}
        table = word_of(source.get("table"))
        name = f"{source.get('schema') or source.get('db')}.{table}"
        if self._spec.table is None and table:
            self._stream = self._stream or name
            if name != self._stream:
                step = "Several tables came: declare table: with the name of one."
                raise Stop(self._declaration.name, "several_streams", step, field="table")
        ours = self._spec.table in (None, table, name)
        if isinstance(topic, str):
            self._topics[topic] = ours
        return ours

    def _tombstone(
        self, position: int, key: dict[str, Any] | None, topic: object, text: str
    ) -> Delivery | None:
        """The deletion that it follows was said before; said alone, it says the same.

        It names no table: of a stream with several, only its topic tells whose it is.
        """
        table, topic = self._spec.table, word_of(topic)
        if table is not None and not self._topics.get(topic, False):
            if topic and self._topics.get(topic) is False:
                return None
            if topic.rpartition(".")[2] != table.rpartition(".")[2]:
                step = "Send key, value and topic together, as kcat -J does, of this table alone."
                raise LineRefused("tombstone_unclear", step)
        if not key or _text(_payload(key)) in self._gone:
            return None
        return self._deleted(position, _payload(key), text)

    def _note(self, key: dict[str, Any] | None, *, gone: bool) -> None:
        """Remember whether the last that came of a key was its deletion."""
        if not key:
            return
        name = _text(key)
        self._gone.pop(name, None)
        if gone:
            self._gone[name] = None
            if len(self._gone) > _REMEMBERED:
                del self._gone[next(iter(self._gone))]


def _text(key: dict[str, Any]) -> str:
    return json.dumps(key, sort_keys=True)


def _order(source: dict[str, Any], value: dict[str, Any]) -> int | None:
    if source.get("lsn") is not None:
        return order_of(source["lsn"])
    number = _FILE_NUMBER.search(str(source.get("file") or ""))
    place = order_of(source.get("pos"))
    if number and place is not None:
        return order_of((int(number[1]) << _FILE_SHIFT) + place)
    return order_of(source.get("ts_us") or source.get("ts_ms") or value.get("ts_ms"))


def _content(part: object) -> dict[str, Any] | None:
    """An object, or the text of one; None: there is none."""
    if isinstance(part, str):
        return None if part.strip() in ("", "null") else parse_object(part)
    if part is None or isinstance(part, dict):
        return part
    raise LineRefused(*NOT_A_MESSAGE)


def _payload(value: dict[str, Any] | None) -> dict[str, Any]:
    """What stands beside a schema, or the value itself."""
    if value is not None and "schema" in value and "payload" in value:
        value = value["payload"]
    if not isinstance(value, dict):
        raise LineRefused(*NOT_A_MESSAGE)
    return value
