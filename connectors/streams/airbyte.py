"""Messages of an Airbyte source: RECORD and STATE; what else it says is no row.

Source: the Airbyte protocol. Columns of the declaration are keys of ``record.data``; a row whose
``_ab_cdc_deleted_at`` is filled is a deletion, and ``_ab_cdc_lsn`` is its order where no cursor is
declared. A STATE message is given back whole, as a destination does. ``table`` may name the stream
alone, or after its namespace and a dot.
"""

from typing import Any, Final

from connectors.base import Delivery
from connectors.errors import Stop
from connectors.feed_rows import order_of
from connectors.sources.json_lines import LineRefused
from connectors.streams.stream_feed import (
    NOT_A_MESSAGE,
    Messages,
    as_sent,
    is_deleted,
    marked,
    word_of,
)

DELETED_AT: Final = "_ab_cdc_deleted_at"
POSITION: Final = "_ab_cdc_lsn"
_SAID: Final = frozenset(
    {"LOG", "TRACE", "SPEC", "CATALOG", "CONNECTION_STATUS", "CONTROL", "DESTINATION_CATALOG"}
)


class AirbyteMessages(Messages):
    """Reads what an Airbyte source sends."""

    _space: str | None = None  # the namespace of the stream, once a row of it came

    def _of(self, position: int, message: dict[str, Any], text: str) -> Delivery | None:
        kind = word_of(message.get("type"))
        if kind == "STATE":
            if not isinstance(message.get("state"), dict):
                raise LineRefused(*NOT_A_MESSAGE)
            return marked(as_sent(text))
        if kind == "RECORD":
            return self._record(position, message.get("record"), text)
        if kind == "TRACE" and _is_failure(message.get("trace")):
            step = "See what it wrote to standard error, then run it again from the last state."
            raise Stop(self._declaration.name, "sender_failed", step)
        if kind in _SAID:
            return None
        raise LineRefused("message_unknown", "Send the messages of an Airbyte source.")

    def _record(self, position: int, record: object, text: str) -> Delivery | None:
        if not isinstance(record, dict):
            raise LineRefused(*NOT_A_MESSAGE)
        if not self._is_mine_in(record):
            return None
        row = record.get("data")
        order = order_of(row.get(POSITION)) if isinstance(row, dict) else None
        if isinstance(row, dict) and is_deleted(row.get(DELETED_AT)):
            return self._deleted(position, row, text, order)
        return self._row(position, row, text, order=order)

    def _is_mine_in(self, record: dict[str, Any]) -> bool:
        """Whether a row is of this source: streams of one name stand in several namespaces."""
        space, stream = word_of(record.get("namespace")), record.get("stream")
        if space and self._spec.table == f"{space}.{stream}":
            return True
        if not self._is_mine(stream):
            return False
        self._space = space if self._space is None else self._space
        if space != self._space:
            step = "Several namespaces came: declare table: NAMESPACE.STREAM."
            raise Stop(self._declaration.name, "several_streams", step, field="table")
        return True


def _is_failure(trace: object) -> bool:
    return isinstance(trace, dict) and trace.get("type") == "ERROR"
