"""Made-up declarations and messages of SDKs."""

import datetime as dt
import json
from typing import Any

from connectors.declaration import SourceDeclaration, parse_source
from connectors.events import body, segment
from connectors.events.event import Event, Unusable

NOW = dt.datetime(2026, 5, 4, 9, 0, tzinfo=dt.UTC)
ENTRY: dict[str, Any] = {
    "connector": "segment",
    "trust": "identities",
    "credentials": {"write_key": "env:SOURCE_WEB_KEY"},
    "fields": {
        "phone": "traits.phone",
        "email": "traits.email",
        "name": "traits.name",
        "city": "traits.address.city",
        "national_id": "traits.id_number",
        "loyalty_card": {"column": "userId", "scope": "kith"},
        "anonymous_id": {"column": "anonymousId", "scope": "web"},
    },
    "attributes": {
        "company": {"column": "groupId", "type": "category"},
        "orders": {"column": "traits.orders", "type": "integer"},
    },
    "consent": {"basis": "consent", "purposes": ["marketing", "analysis"]},
    "consent_categories": {"Advertising": ["marketing"], "Analytics": ["analysis"]},
    "events": {
        "Order Completed": {
            "properties": {
                "total": {"column": "properties.total", "type": "decimal"},
                "campaign": {"column": "context.campaign.name", "type": "category"},
            }
        },
        "Page viewed": {
            "kind": "page",
            "properties": {"path": {"column": "properties.path", "type": "category"}},
        },
    },
}


def declared(**changes: Any) -> SourceDeclaration:
    """The declaration of a web shop; ``changes`` replace whole parts."""
    entry = {name: part for name, part in (ENTRY | changes).items() if part is not None}
    return parse_source("web", entry)


def as_parsed(message: object) -> Any:
    """A message as it arrives: written as JSON and read again."""
    return body.parsed(json.dumps(message).encode())


def read(*messages: dict[str, Any]) -> list[Event | Unusable]:
    """Translate messages as one batch of Segment's."""
    return segment.read(segment.messages_of(as_parsed({"batch": messages}), None), NOW)


def event(**message: Any) -> Event:
    """One event, identify unless it says otherwise."""
    (found,) = read({"type": "identify", "userId": "u1", **message})
    assert isinstance(found, Event), found
    return found
