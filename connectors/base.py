"""What a source and a destination are, and nothing about any one of them.

A source is a file, read from end to end, or a feed, which gives what came since a state.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

from connectors.record import Raw, Record, Rejection, Sensitive


class Level(StrEnum):
    """How much a finding weighs."""

    ERROR = "error"  # reading would stop
    WARNING = "warning"  # reading goes on; somebody should look
    NOTE = "note"  # worth knowing, such as the detected encoding


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing a check found. ``subject`` is a column, sheet, encoding or file; never a value."""

    level: Level
    rule: str
    subject: str
    next_step: str


@runtime_checkable
class Source(Protocol):
    """Rows in a fixed order, each with a position that stays the same while the bytes do."""

    @property
    def name(self) -> str:
        """The name the declaration gives the source."""
        ...

    def fingerprint(self) -> str:
        """SHA-256 of the content, 64 hex digits; changes whenever the content does."""
        ...

    def count(self) -> int | None:
        """About how many rows there are, for progress; None when it cannot be told quickly."""
        ...

    def check(self) -> list[Finding]:
        """Look without reading everything. Never raises ``Stop``: gives it as an ERROR."""
        ...

    def read(self, after: int = 0) -> Iterator[Record | Rejection]:
        """Give the rows with position > ``after``, positions ascending; raises ``Stop``."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class State(Raw):
    """Where a feed stands. Only the feed knows what it says; it may hold a value of a row.

    Attributes:
        value: a JSON object of the feed's own form, with a number under ``version``.
    """

    value: Mapping[str, Any] = field(repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.value.get("version"), int):
            raise ValueError("a state says the version of its form")  # noqa: TRY004

    @property
    def version(self) -> int:
        """The version of the form, for the feed that reads it."""
        return int(self.value["version"])

    def text(self) -> Sensitive:
        """The state as it is kept."""
        return Sensitive(json.dumps(dict(self.value), ensure_ascii=False, separators=(",", ":")))

    @classmethod
    def of(cls, text: Sensitive) -> "State":
        """Read what ``text`` gave.

        Raises:
            ValueError: it is no state. It shows nothing of it.
        """
        try:
            value = json.loads(text.reveal(reason="read on from a state"))
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise ValueError("a state is a JSON object")  # noqa: TRY004
        return cls(value)


@dataclass(frozen=True, slots=True, eq=False)
class Mark(Raw):
    """Everything before it may be committed together with ``state``; the rest comes after it.

    Attributes:
        state: reading again from it gives what comes after.
        at: the newest time that the source gave so far, with a time zone; None: it gives none.
    """

    state: State
    at: datetime | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Deleted:
    """The source says that this record is gone."""

    source: str
    position: int
    record_id: Sensitive  # as in a record
    order: int | None = None  # as in a record
    day: str | None = field(default=None, repr=False)  # as in a record


@dataclass(frozen=True, slots=True, eq=False)
class Outdated:
    """The source says: what it gave under a load before ``load`` and not since is gone."""

    source: str
    position: int
    load: int  # see Record


Delivery = Record | Rejection | Deleted | Outdated | Mark


@runtime_checkable
class Feed(Protocol):
    """Rows since a state. It holds nothing open between readings, nor after one was closed."""

    @property
    def name(self) -> str:
        """The name the declaration gives the source."""
        ...

    def check(self) -> list[Finding]:
        """Look without reading everything. Never raises ``Stop``: gives it as an ERROR."""
        ...

    def count(self, state: State | None) -> int | None:
        """About how many rows came since ``state``; None when it cannot be told quickly."""
        ...

    def read(self, state: State | None) -> Iterator[Delivery]:
        """Give what came since ``state``; None: from the beginning. Raises ``Stop``, ``Retry``.

        Positions ascend from 1 within one reading. Closing the generator ends the reading.
        """
        ...


@dataclass(frozen=True, slots=True)
class Message(Raw):
    """One event for one receiver. ``id`` stays the same however often delivery is tried."""

    id: str
    type: str
    subject: str
    time: datetime  # when it happened, with a time zone
    # JSON values only, already treated by policy
    data: Mapping[str, object] = field(repr=False)

    def __repr__(self) -> str:
        return f"Message(id={self.id!r}, type={self.type!r})"  # data may be personal


@runtime_checkable
class MessageDestination(Protocol):
    """A receiver of one event at a time."""

    @property
    def name(self) -> str:
        """The name the declaration gives the destination."""
        ...

    def deliver(self, message: Message) -> None:
        """Hand over one event. Returns when accepted; raises ``Retry``, ``Skip`` or ``Stop``."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


Row = Mapping[str, object]


@runtime_checkable
class TableDestination(Protocol):
    """A receiver of a whole table at a time: all of it arrives, or the old one stays."""

    @property
    def name(self) -> str:
        """The name the declaration gives the destination."""
        ...

    @property
    def header(self) -> tuple[str, ...]:
        """The contracted fields, in order; a row may have no other."""
        ...

    def write(self, rows: Iterable[Row]) -> int:
        """Replace the table; returns the number of rows written. Raises ``Stop``."""
        ...


Destination = MessageDestination | TableDestination
