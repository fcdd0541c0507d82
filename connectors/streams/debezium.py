"""Change events of Debezium: created, updated, read and deleted rows, and tombstones.

Source: Debezium's documentation, *change event values*. A line is the value of an event, with or
without its schema; or key and value together, as ``kcat -J`` writes them, in which a value of null
is a tombstone; or the flat row of the "new record state" transformation. Columns of the
declaration are columns of the table.

The order of a row is its declared cursor, else the position in the database's log, else the time
of the change at the database.
"""

import re
from typing import Any, Final

from connectors.base import Delivery
from connectors.feed_rows import order_of
from connectors.sources.json_lines import LineRefused, parse_object
from connectors.streams.stream_feed import NOT_A_MESSAGE, Messages, word_of

_ROWS: Final = frozenset("cru")
_FILE_NUMBER: Final = re.compile(r"(\d+)$")
_FILE_SHIFT: Final = 40  # bits of a position inside a file of the log
_FLAT_DELETED: Final = "__deleted"


class DebeziumMessages(Messages):
    """Reads what Debezium sends."""

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
                return self._tombstone(position, key, text)
        value = _payload(value)
        if "op" in value and ("after" in value or "before" in value or "source" in value):
            return self._change(position, value, _payload(key) if key else None, text)
        if value.get(_FLAT_DELETED) in ("true", True):
            return self._deleted(position, value, text)
        return self._row(position, value, text)

    def _change(
        self, position: int, value: dict[str, Any], key: dict[str, Any] | None, text: str
    ) -> Delivery | None:
        source = value.get("source")
        source = source if isinstance(source, dict) else {}
        if self._spec.table is not None and not self._is_named(source):
            return None
        order = _order(source, value)
        operation = word_of(value["op"])
        if operation in _ROWS:
            return self._row(position, value.get("after"), text, order=order)
        if operation == "d":
            return self._deleted(position, value.get("before") or key, text, order)
        if operation == "m":
            return None  # a message of the database's log, no row
        step = "Empty the source by hand, then: cdp source reset NAME."
        raise LineRefused("truncated" if operation == "t" else "message_unknown", step)

    def _is_named(self, source: dict[str, Any]) -> bool:
        schema, table = source.get("schema") or source.get("db"), source.get("table")
        return self._spec.table in (table, f"{schema}.{table}")

    def _tombstone(self, position: int, key: dict[str, Any] | None, text: str) -> Delivery | None:
        """The deletion that it follows was said before; said alone, it says the same."""
        return self._deleted(position, _payload(key), text) if key else None


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
