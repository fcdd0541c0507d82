"""Segment's HTTP tracking API: one call, or a batch of calls.

Written after Segment's "HTTP API source" and "Spec: Common fields". ``anonymousId: null``,
``traits: null`` and the like count as left out: several of its SDKs send them always.
"""

import datetime as dt
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Final

from connectors.events.body import SHARED_LIMIT, TOO_LARGE, BodyRefused, problem_of, size_of
from connectors.events.event import (
    Event,
    Kind,
    Message,
    MessageRefused,
    Unusable,
    corrected,
    id_of,
    name_of,
    part_of,
    time_of,
)
from connectors.events.reading import few, read_each

_KINDS: Final = {kind.value: kind for kind in Kind}


def messages_of(body: object, kind: Kind | None) -> list[Any]:
    """Return the messages of a parsed body.

    Args:
        body: an object; with ``batch``, a list of messages.
        kind: which the address names, for a single one; None: a batch.

    Raises:
        BodyRefused: it is neither, or has too many.
    """
    if not isinstance(body, dict):
        raise BodyRefused("not_an_object", "Send one JSON object.")
    batch = body.get("batch")
    if kind is not None and batch is None:
        return [{**body, "type": kind.value}]
    if not isinstance(batch, list):
        raise BodyRefused("no_batch", "Send a list of messages as batch.")
    shared = _shared(body, len(few(batch)))
    return [_within(shared, one) for one in batch] if shared else batch


def _shared(body: Message, messages: int) -> Message:
    """What a batch says for all of its messages.

    Raises:
        BodyRefused: it cannot be used; or written out for each of them, it is too much.
    """
    shared: dict[str, Any] = {}
    if isinstance(body.get("sentAt"), str):
        shared["sentAt"] = body["sentAt"]
    if isinstance(body.get("context"), Mapping):
        shared["context"] = body["context"]
    problem = problem_of(shared)
    if problem is not None:
        raise BodyRefused(*problem, too_large=problem[0] == TOO_LARGE)
    if size_of(shared) * messages > SHARED_LIMIT:
        step = "Send fewer messages at once, or less that holds for all of them."
        raise BodyRefused(TOO_LARGE, step, too_large=True)
    return shared


def _within(shared: Message, message: Any) -> Any:
    """A message of a batch with what the batch says for all of them."""
    if not isinstance(message, dict):
        return message
    more = {name: part for name, part in shared.items() if message.get(name) is None}
    return {**message, **more} if more else message


def read(messages: Iterable[Any], received: dt.datetime) -> list[Event | Unusable]:
    """Translate messages, one result for each, in their order."""
    return read_each(messages, partial(event_of, received=received))


def event_of(message: Message, received: dt.datetime) -> Event:
    """Translate one message.

    Raises:
        MessageRefused: its kind is not known, it names nobody, or a part is not of its form.
    """
    kind = _KINDS.get(str(message.get("type")))
    if kind is None:
        raise MessageRefused("type_unknown", f"Send one of: {', '.join(_KINDS)}.")
    for name in ("traits", "properties", "context"):
        part_of(message, name)
    user_id = id_of(message.get("userId"), "userId")
    column = "previousId" if kind is Kind.ALIAS else "anonymousId"
    anonymous_id = id_of(message.get(column), column)
    _require_somebody(kind, user_id is not None, anonymous_id is not None)
    original = time_of(message.get("originalTimestamp")) or time_of(message.get("timestamp"))
    return Event(
        kind,
        id_of(message.get("messageId"), "messageId"),
        name_of(message.get("event" if kind is Kind.TRACK else "name")),
        user_id,
        anonymous_id,
        corrected(original, time_of(message.get("sentAt")), received),
        message,
    )


def _require_somebody(kind: Kind, known: bool, anonymous: bool) -> None:  # noqa: FBT001
    if kind is Kind.ALIAS and not (known and anonymous):
        raise MessageRefused("id_missing", "Send userId and previousId.")
    if not (known or anonymous):
        raise MessageRefused("id_missing", "Send userId or anonymousId.")
