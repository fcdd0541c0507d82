"""Messages of a Singer tap: SCHEMA, RECORD, STATE, ACTIVATE_VERSION.

Source: the Singer specification, and the messages of the Meltano SDK. Columns of the declaration
are keys of ``record``; a row whose ``_sdc_deleted_at`` is filled is a deletion. The order of a row
is its declared cursor, or the one replication key that SCHEMA names. ACTIVATE_VERSION says that
what came under an earlier version is gone; whether that is followed is for whoever stores.
"""

from typing import Any, Final

from connectors.base import Delivery, Outdated
from connectors.feed_rows import order_of
from connectors.sources.json_lines import LineRefused
from connectors.streams.stream_feed import (
    NOT_A_MESSAGE,
    Messages,
    as_sent,
    is_deleted,
    marked,
    version_of,
    word_of,
)

DELETED_AT: Final = "_sdc_deleted_at"


class SingerMessages(Messages):
    """Reads what a tap sends."""

    _bookmark: str | None = None  # the replication key of the stream

    def _of(self, position: int, message: dict[str, Any], text: str) -> Delivery | None:
        kind = word_of(message.get("type"))
        if kind == "STATE":
            if "value" not in message:
                raise LineRefused(*NOT_A_MESSAGE)
            return marked(as_sent(text)["value"])
        if kind not in {"RECORD", "SCHEMA", "ACTIVATE_VERSION"}:
            raise LineRefused(
                "message_unknown", "Send SCHEMA, RECORD, STATE or ACTIVATE_VERSION messages."
            )
        if not self._is_mine(message.get("stream")):
            return None
        if kind == "SCHEMA":
            self._schema(message)
            return None
        version = version_of(message.get("version"))
        if kind == "RECORD":
            return self._record(position, message.get("record"), text, version)
        if version is None:
            raise LineRefused(*NOT_A_MESSAGE)
        return Outdated(self._declaration.name, position, version)

    def _schema(self, message: dict[str, Any]) -> None:
        keys = message.get("bookmark_properties")
        alone = isinstance(keys, list) and len(keys) == 1
        self._bookmark = word_of(keys[0]) if keys and alone else None

    def _record(self, position: int, row: object, text: str, version: int | None) -> Delivery:
        order = order_of(row.get(self._bookmark)) if isinstance(row, dict) else None
        if isinstance(row, dict) and is_deleted(row.get(DELETED_AT)):
            return self._deleted(position, row, text, order)
        return self._row(position, row, text, order=order, load=version)
