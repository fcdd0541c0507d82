"""Feeds that can be read from a place that a person names."""

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final, Protocol, runtime_checkable

from connectors.base import State


@runtime_checkable
class Rewinding(Protocol):
    """A feed whose cursor people can write: a time, a number."""

    def state_since(self, text: str) -> State:
        """The state from which what changed at ``text`` or later is read.

        Raises:
            Stop: the text is no such cursor, or the feed is read whole.
        """
        ...


def like(example: Any, text: str) -> Any:
    """A cursor that a person wrote, of the type of one of the system; a day begins at midnight.

    A time without a zone is in UTC where the system's have one.

    Raises:
        ValueError: it cannot be read so. The error holds the text.
    """
    for kinds, read in _READERS:
        if isinstance(example, kinds):
            return read(example, text)
    dt.datetime.fromisoformat(text)  # of text, only times have an order
    return text


def _time(example: dt.datetime, text: str) -> dt.datetime:
    time = dt.datetime.fromisoformat(text)
    if (example.tzinfo is None) == (time.tzinfo is None):
        return time
    if example.tzinfo is not None:
        return time.replace(tzinfo=dt.UTC)
    return time.astimezone(dt.UTC).replace(tzinfo=None)


# A datetime is a date too, so the order matters.
_READERS: Final[tuple[tuple[type, Callable[[Any, str], Any]], ...]] = (
    (dt.datetime, _time),
    (dt.date, lambda _, text: dt.date.fromisoformat(text)),
    (int, lambda _, text: int(text)),
    (Decimal, lambda _, text: Decimal(text)),
    (float, lambda _, text: float(text)),
)
