"""CloudEvents 1.0 over HTTP: structured, batched and binary mode.

Written after the "CloudEvents" specification, "HTTP Protocol Binding" and "JSON Event Format".
``subject`` is the user's id; the extension ``anonymousid`` that of a browser or device. A type
that ends in ``.identify``, ``.group`` or ``.alias`` asserts; every other one is tracked, under
its whole type. ``source`` and ``id`` together name an event.
"""

import base64
import datetime as dt
import json
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Final
from urllib.parse import unquote

from connectors.events.body import BodyRefused, parsed, problem_of
from connectors.events.event import (
    Event,
    Kind,
    Message,
    MessageRefused,
    Unusable,
    corrected,
    id_of,
    name_of,
    time_of,
)
from connectors.events.reading import few, read_each

ONE: Final = "application/cloudevents+json"
BATCH: Final = "application/cloudevents-batch+json"
_HEAD: Final = "ce-"
_VERSIONS: Final = frozenset({"1.0", "1"})  # a number was brought to its shortest form
_JSON: Final = ("application/json", "text/json")
_ASSERTING: Final = {f".{kind}": kind for kind in Kind if kind.asserts}


def messages_of(media_type: str, headers: Mapping[str, str], body: bytes) -> list[Any]:
    """Return the events of a body, each as its JSON form.

    Args:
        media_type: the Content-Type, as sent.
        headers: with lower-case names; they hold the attributes in binary mode.
        body: unpacked.

    Raises:
        BodyRefused: it is none of the modes, no JSON, or has too many.
    """
    kind = media_type.partition(";")[0].strip().lower()
    if kind == BATCH:
        found = parsed(body)
        if not isinstance(found, list):
            raise BodyRefused("no_batch", "Send a list of events.")
        return few(found)
    if kind == ONE:
        return [parsed(body)]
    if f"{_HEAD}specversion" not in headers:
        raise BodyRefused("no_event", f"Send {ONE}, {BATCH}, or the attributes as ce- headers.")
    if body and kind not in _JSON and not kind.endswith("+json"):
        raise BodyRefused("data_not_json", "Send the data of an event as JSON.")
    attributes = {
        name.removeprefix(_HEAD): unquote(value)
        for name, value in headers.items()
        if name.startswith(_HEAD)
    }
    return [{**attributes, "data": parsed(body) if body else None}]


def read(messages: Iterable[Any], received: dt.datetime) -> list[Event | Unusable]:
    """Translate events, one result for each, in their order."""
    return read_each(messages, partial(_event, received=received))


def _event(message: Message, received: dt.datetime) -> Event:
    for name in ("id", "source", "type"):
        if not isinstance(message.get(name), str) or not message[name]:
            raise MessageRefused("attribute_missing", f"Send the attribute {name}.")
    if str(message.get("specversion")) not in _VERSIONS:
        raise MessageRefused("version_unknown", "Send specversion 1.0.")
    sent = name_of(message["type"])
    kind = next((found for end, found in _ASSERTING.items() if sent.endswith(end)), Kind.TRACK)
    user_id, anonymous_id = message.get("subject"), message.get("anonymousid")
    if (user_id is None and anonymous_id is None) or (
        kind is Kind.ALIAS and (user_id is None or anonymous_id is None)
    ):
        raise MessageRefused("id_missing", "Send subject, anonymousid, or for an alias both.")
    row: dict[str, Any] = {
        "userId": user_id,
        "previousId" if kind is Kind.ALIAS else "anonymousId": anonymous_id,
        "properties" if kind is Kind.TRACK else "traits": _data(message),
        "context": {"source": message["source"]},
        "name": sent,
    }
    if kind is Kind.GROUP:
        row["groupId"] = _data(message).get("groupId")
    return Event(
        kind,
        id_of(json.dumps([message["source"], message["id"]], ensure_ascii=False), "id"),
        sent,
        id_of(user_id, "subject"),
        id_of(anonymous_id, "anonymousid"),
        corrected(time_of(message.get("time")), None, received),
        row,
    )


def _data(message: Message) -> Message:
    data = message.get("data")
    if data is None and isinstance(message.get("data_base64"), str):
        try:
            data = parsed(base64.b64decode(message["data_base64"], validate=True))
        except (ValueError, BodyRefused):  # ValueError: also of letters outside of ASCII
            data = []
        if (problem := problem_of(data)) is not None:  # nobody looked inside before
            raise MessageRefused(*problem)
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise MessageRefused("data_not_an_object", "Send the data of an event as a JSON object.")
    return data
