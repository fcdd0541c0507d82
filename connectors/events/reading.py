"""What reading has in common, whichever SDK sent: how many there may be, and one result for each.

Invariant 1 of ``connectors/events/event.py`` is kept here.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final

from connectors.events.body import MOST_MESSAGES, BodyRefused, problem_of
from connectors.events.event import Event, Message, MessageRefused, Unusable, unusable

_NO_OBJECT: Final = ("not_an_object", "Send each message as an object.")


def few(messages: list[Any]) -> list[Any]:
    """Return the messages of a body.

    Raises:
        BodyRefused: there are too many for one body.
    """
    if len(messages) > MOST_MESSAGES:
        step = f"Send at most {MOST_MESSAGES} messages at once."
        raise BodyRefused("too_many_messages", step, too_large=True)
    return messages


def read_each(
    messages: Iterable[Any], translate: Callable[[Message], Event]
) -> list[Event | Unusable]:
    """Translate messages, one result for each, in their order.

    Args:
        messages: as JSON gave them.
        translate: of one that is an object, small enough and storable; raises `MessageRefused`.
    """
    return [_result(message, translate) for message in messages]


def _result(message: Any, translate: Callable[[Message], Event]) -> Event | Unusable:
    problem = problem_of(message) if isinstance(message, dict) else _NO_OBJECT
    if problem is not None:
        return unusable(MessageRefused(*problem), message)
    try:
        return translate(message)
    except MessageRefused as refused:
        return unusable(refused, message)
