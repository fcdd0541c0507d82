"""Sensors Analytics (神策): a form with ``data`` or ``data_list``, or the same as JSON.

Written after its "Data format" and the sources of its SDK for Python: base 64 of gzip of JSON,
``gzip=1`` said beside it; times in milliseconds. ``distinct_id`` is a user's with
``$is_login_id``, with ``login_id``, or in what sets a profile without saying otherwise;
elsewhere it is a device's.
"""

import base64
import datetime as dt
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Final
from urllib.parse import parse_qs

from connectors.events.body import BodyRefused, parsed, unpacked
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

_PAGES: Final = {"$pageview": Kind.PAGE, "$AppViewScreen": Kind.SCREEN, "$MPViewScreen": Kind.PAGE}
_PROFILES: Final = frozenset({"profile_set", "profile_set_once", "profile_unset"})
_STEP: Final = "Send data or data_list, as the Sensors Analytics SDKs do."


def messages_of(body: bytes) -> list[Any]:
    """Return the messages of a body, which may be packed.

    Raises:
        BodyRefused: it is none of the forms, too large, or has too many.
    """
    found = parsed(_content(unpacked(body)))
    return few(found if isinstance(found, list) else [found])


def _content(body: bytes) -> bytes:
    if body[:1] in {b"{", b"["}:
        return body
    form: dict[str, list[str]] = {}
    with suppress(ValueError):  # it would hold the body
        form = parse_qs(body.decode("ascii"), max_num_fields=8)
    # A plus sign that was not escaped reads as a space.
    sent = (form.get("data_list") or form.get("data") or [""])[0].replace(" ", "+")
    if not sent:
        raise BodyRefused("no_data", _STEP)
    try:
        packed = base64.b64decode(sent, validate=True)
    except ValueError:  # also of letters outside of ASCII
        raise BodyRefused("not_base64", _STEP) from None
    return unpacked(packed)


def read(messages: Iterable[Any], received: dt.datetime) -> list[Event | Unusable]:
    """Translate messages, one result for each, in their order."""
    return read_each(messages, partial(_event, received=received))


def _event(message: Message, received: dt.datetime) -> Event:
    kind, name = _kind(message)
    properties = part_of(message, "properties")
    user_id, anonymous_id = _ids(message, kind, properties)
    traits: Mapping[str, Any] = properties
    if message.get("type") == "profile_unset":
        traits = dict.fromkeys(properties)
    part = "traits" if kind is Kind.IDENTIFY else "properties"
    row: dict[str, Any] = {
        "userId": user_id,
        "previousId" if kind is Kind.ALIAS else "anonymousId": anonymous_id,
        part: traits,
        "context": {"lib": message.get("lib")},
        "name": name,
        # What was sent names the message: two that differ in time alone are two.
        "time": message.get("time"),
        "_track_id": message.get("_track_id"),
    }
    return Event(
        kind,
        None,  # its track id alone is a short random number
        name,
        id_of(user_id, "distinct_id"),
        id_of(anonymous_id, "distinct_id"),
        _when(message, received),
        row,
        once=message.get("type") == "profile_set_once",
    )


def _kind(message: Message) -> tuple[Kind, str]:
    sent = str(message.get("type"))
    name = name_of(message.get("event"))
    if sent == "track":
        return _PAGES.get(name, Kind.TRACK), name
    if sent in _PROFILES:
        return Kind.IDENTIFY, ""
    if sent == "track_signup":
        return Kind.ALIAS, name
    if sent == "profile_delete":
        raise MessageRefused("not_erased_here", "Erase a person with cdp vault shred.")
    raise MessageRefused(
        "type_unknown", f"Send one of: track, track_signup, {', '.join(sorted(_PROFILES))}."
    )


def _ids(message: Message, kind: Kind, properties: Message) -> tuple[Any, Any]:
    """The user's and the device's id, neither checked yet."""
    distinct, login = message.get("distinct_id"), message.get("login_id")
    device = message.get("anonymous_id")
    if kind is Kind.ALIAS:
        device = message.get("original_id") or device
        return _both(distinct, device)
    if login is None and not _is_device(distinct, device, kind, properties):
        login = distinct
    if login is None and device is None:
        device = distinct
    if login is None and device is None:
        raise MessageRefused("id_missing", "Send distinct_id.")
    return login, device


def _is_device(distinct: object, device: object, kind: Kind, properties: Message) -> bool:
    said = properties.get("$is_login_id")
    if isinstance(said, bool):
        return not said
    return kind is not Kind.IDENTIFY or (device is not None and distinct == device)


def _both(user: Any, device: Any) -> tuple[Any, Any]:
    if user is None or device is None:
        raise MessageRefused("id_missing", "Send distinct_id and original_id.")
    return user, device


def _when(message: Message, received: dt.datetime) -> dt.datetime:
    sent = time_of(message.get("_flush_time"))
    return corrected(time_of(message.get("time")), sent, received)
