"""Plain JSON lines: one object a line, one row an object."""

from typing import Any

from connectors.base import Delivery
from connectors.streams.stream_feed import Messages


class PlainMessages(Messages):
    """Each object is a row."""

    def _of(self, position: int, message: dict[str, Any], text: str) -> Delivery | None:
        return self._row(position, message, text)
