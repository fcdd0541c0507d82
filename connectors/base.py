"""What a source and a destination are, and nothing about any one of them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol, runtime_checkable

from connectors.record import Raw, Record, Rejection


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
