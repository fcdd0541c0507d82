"""RudderStack's flavour of Segment's API: what differs, brought to it.

Some of its SDKs put the traits of an identify under ``context.traits``: they count as the
message's own.
"""

import datetime as dt
from collections.abc import Iterable
from typing import Any

from connectors.events import segment
from connectors.events.event import Event, Message, Unusable
from connectors.events.reading import read_each

messages_of = segment.messages_of


def read(messages: Iterable[Any], received: dt.datetime) -> list[Event | Unusable]:
    """Translate messages, one result for each, in their order."""
    return read_each(messages, lambda one: segment.event_of(_as_segment(one), received))


def _as_segment(message: Message) -> Message:
    context = message.get("context")
    traits = context.get("traits") if isinstance(context, dict) else None
    if not isinstance(traits, dict) or message.get("type") != "identify":
        return message
    own = message.get("traits")
    return {**message, "traits": {**traits, **(own if isinstance(own, dict) else {})}}
