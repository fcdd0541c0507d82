"""One message of an SDK, whichever it came from, and how its clock is put right.

Invariants, each named by a test in ``tests/unit/connectors/events``:

1. A message gives exactly one result: an event, or an ``Unusable`` that says why not.
2. No ``repr``, rule or next step shows what was sent.
3. A time is never after the moment of arrival, whatever the sender's clock says.
"""

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from connectors.cells import trim
from connectors.record import RAW_LIMIT, Raw, Sensitive

MAX_ID: Final = 400  # characters; a record id has at most 512
MAX_NAME: Final = 256  # characters of an event's name
ANONYMOUS: Final = "anonymous_id="
"""Begins the record id of somebody of whom only an anonymous id is known."""
_SECONDS_ARE: Final = 100_000_000_000  # a number below counts seconds, above milliseconds
TIMES_OF_SENDING: Final = frozenset({"sentAt", "_flush_time"})  # another in each attempt
ABSENT: Final = object()  # nothing stands there, which is not the same as null
Message = Mapping[str, Any]
"""One message as JSON gave it; numbers are text with all their digits."""


class Kind(StrEnum):
    """What a message does."""

    IDENTIFY = "identify"
    TRACK = "track"
    PAGE = "page"
    SCREEN = "screen"
    GROUP = "group"
    ALIAS = "alias"

    @property
    def asserts(self) -> bool:
        """Whether it says who somebody is."""
        return self in {Kind.IDENTIFY, Kind.GROUP, Kind.ALIAS}


@dataclass(frozen=True, slots=True, eq=False)
class Event(Raw):
    """One message.

    Attributes:
        kind: what it does.
        message_id: the sender's name for it; None where it gave none.
        name: of what was tracked, or of the page; empty elsewhere.
        user_id: of somebody known to the sender.
        anonymous_id: of a browser or device; in an alias, the one that is joined.
        time: when it happened, the sender's clock put right.
        row: the message under the names of the Segment specification (``userId``, ``traits``,
            ``properties``, ``context`` ...), which a declaration maps columns from.
        once: its traits count only where nobody has said anything else.
    """

    kind: Kind
    message_id: Sensitive | None
    name: str = field(repr=False)
    user_id: Sensitive | None
    anonymous_id: Sensitive | None
    time: dt.datetime
    row: Message = field(repr=False)
    once: bool = False

    def __repr__(self) -> str:
        return f"<{self.kind} event>"


@dataclass(frozen=True, slots=True, eq=False)
class Unusable:
    """A message that gives no event: why, and its content by which it is known when it comes again.

    ``content`` is cut after ``RAW_LIMIT`` characters, and holds no time of sending.
    """

    rule: str
    next_step: str
    content: Sensitive


class MessageRefused(ValueError):  # noqa: N818 - caught where messages are read
    """A message gives no event. Carries the rule and the next step, never what was sent."""

    def __init__(self, rule: str, next_step: str) -> None:
        super().__init__(rule, next_step)
        self.rule = rule
        self.next_step = next_step


def unusable(refused: MessageRefused, message: object) -> Unusable:
    """Return what is known of a message that was refused."""
    if isinstance(message, dict):
        message = {name: part for name, part in message.items() if name not in TIMES_OF_SENDING}
    try:
        content = json.dumps(message, ensure_ascii=True)[:RAW_LIMIT]
    except RecursionError:
        content = ""
    return Unusable(refused.rule, refused.next_step, Sensitive(content))


def id_of(value: object, column: str) -> Sensitive | None:
    """Return an id that was sent as text or as a number; None for none.

    Raises:
        MessageRefused: it is neither, too long, not printable, or begins as our own do.
    """
    if value is None:
        return None
    if not isinstance(value, str):
        raise MessageRefused("id_not_plain", f"Send {column} as text or as a number.")
    text = trim(value)
    if len(text) > MAX_ID:
        raise MessageRefused("id_too_long", f"Send {column} with at most {MAX_ID} characters.")
    if not text.isprintable() or text.startswith(ANONYMOUS):
        raise MessageRefused("id_form", f"Send {column} as one line of plain text.")
    return Sensitive(text) if text else None


def name_of(value: object) -> str:
    """Return the name of an event, trimmed; empty for none.

    Raises:
        MessageRefused: it is no text, or too long.
    """
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > MAX_NAME:
        raise MessageRefused("name_form", f"Name it with text of at most {MAX_NAME} characters.")
    return trim(value)


def part_of(message: Message, name: str) -> Message:
    """Return an object inside a message; empty where it is left out or null.

    Raises:
        MessageRefused: something else stands there.
    """
    found = message.get(name)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise MessageRefused("part_not_an_object", f"Send {name} as an object.")
    return found


def at_path(node: Any, path: tuple[str, ...]) -> Any:
    """Return what stands at a path, ``ABSENT`` for nothing; through a list, that of every item.

    Null for what is in something that is null, unless that is a whole part of the message:
    SDKs send null for a part that they leave out.
    """
    for depth, key in enumerate(path):
        if isinstance(node, list):
            inner = [at_path(one, path[depth:]) for one in node]
            return [one for one in inner if one is not ABSENT and one is not None]
        if not isinstance(node, dict) or key not in node:
            return ABSENT
        node = node[key]
        if node is None:
            return None if depth else ABSENT
    return node


def time_of(value: object) -> dt.datetime | None:
    """Read ISO 8601 text, or seconds or milliseconds since 1970; None where it is neither.

    A time without a zone is taken for UTC.
    """
    if not isinstance(value, str) or len(value) > 64:
        return None
    try:
        if value.isdecimal():
            number = int(value)
            seconds = number if number < _SECONDS_ARE else number / 1000
            return dt.datetime.fromtimestamp(seconds, dt.UTC)
        found = dt.datetime.fromisoformat(value)
        return found.replace(tzinfo=found.tzinfo or dt.UTC).astimezone(dt.UTC)
    except (ValueError, OverflowError, OSError):
        return None


def corrected(
    original: dt.datetime | None, sent: dt.datetime | None, received: dt.datetime
) -> dt.datetime:
    """Return when something happened by our clock.

    ``received - (sent - original)``: the Segment specification, "Timestamp overview". Without
    a time of sending the sender's clock is believed; without either it is now.
    """
    if original is None:
        return received
    if sent is None:
        return min(original, received)
    try:
        return min(received - (sent - original), received)
    except OverflowError:
        return received
