"""What SDKs send and are answered, as /openapi.json describes it. The readers are elsewhere."""

from typing import Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field

from api.errors import described
from cdp.resolution.inbound import Delivered
from connectors.events import cloudevents
from connectors.events.body import BATCH_LIMIT, MESSAGE_LIMIT, MOST_MESSAGES
from connectors.events.event import MAX_ID, MAX_NAME, Kind

PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    400: described("The body cannot be read: correct it, sent again it is refused again"),
    401: described("No write key, or not a good one"),
    403: described("A page of an origin that the source does not declare, or no keys here"),
    408: described("The body came too slowly"),
    413: described("Too much at once"),
    429: described("Too many at once: send the same again after Retry-After"),
    503: described("Not available right now: send the same again after Retry-After"),
}


class RefusedMessage(BaseModel):
    """A message that cannot be used; nothing of it is kept."""

    position: int = Field(description="Its place in what was sent, from 1.", examples=[1])
    rule: str = Field(examples=["type_unknown"])
    next_step: str = Field(examples=["Send one of: identify, track, page, screen, group, alias."])


class Acknowledged(BaseModel):
    """Everything that could be used is committed."""

    model_config = ConfigDict(extra="forbid")
    success: bool = Field(examples=[True])
    refused: list[RefusedMessage] | None = Field(
        default=None, description="The first messages that cannot be used; left out: none."
    )
    left_out: dict[str, int] | None = Field(
        default=None,
        description="Messages and parts of them that were left out, by rule.",
        examples=[{"event_not_declared": 1}],
    )

    @classmethod
    def of(cls, found: Delivered) -> Self:
        """Translate; what there is none of is left out, as clients know the answer."""
        refused = [
            RefusedMessage(position=one.position, rule=one.rule, next_step=one.next_step)
            for one in found.refused
        ]
        left_out = dict(sorted(found.left_out.items()))
        return cls(success=True, refused=refused or None, left_out=left_out or None)


_ID: Final = {"type": ["string", "integer", "null"], "maxLength": MAX_ID}
_OBJECT: Final = {"type": ["object", "null"], "additionalProperties": True}
_TIME: Final = {"type": ["string", "null"], "description": "ISO 8601."}
_MESSAGE: Final[dict[str, Any]] = {
    "type": "object",
    "description": f"At most {MESSAGE_LIMIT} bytes. What the source does not declare is not kept.",
    "properties": {
        "messageId": _ID,
        "userId": _ID,
        "anonymousId": _ID,
        "previousId": _ID,
        "groupId": _ID,
        "event": {"type": ["string", "null"], "maxLength": MAX_NAME},
        "name": {"type": ["string", "null"], "maxLength": MAX_NAME},
        "traits": _OBJECT,
        "properties": _OBJECT,
        "context": _OBJECT,
        "timestamp": _TIME,
        "sentAt": _TIME,
    },
    "additionalProperties": True,
}
_TRACK: Final = {
    "userId": "u1", "messageId": "m1", "event": "Order Completed", "properties": {"total": 12.5},
}  # fmt: skip
_IDENTIFY: Final = {"userId": "u1", "messageId": "m2", "traits": {"phone": "13957140286"}}


def one_call(kind: Kind) -> dict[str, Any]:
    """Return how the body of a single call is described."""
    sent = _IDENTIFY if kind is Kind.IDENTIFY else _TRACK
    return _json(_MESSAGE, sent)


def batch() -> dict[str, Any]:
    """Return how a batch is described."""
    kinds = {"type": "string", "enum": [kind.value for kind in Kind]}
    message = {
        **_MESSAGE,
        "properties": {**_MESSAGE["properties"], "type": kinds},
        "required": ["type"],
    }
    shape = {
        "type": "object",
        "description": f"At most {BATCH_LIMIT} bytes, unpacked; gzip is welcome.",
        "properties": {
            "batch": {"type": "array", "maxItems": MOST_MESSAGES, "items": message},
            "sentAt": _TIME,
            "context": _OBJECT,
        },
        "required": ["batch"],
        "additionalProperties": True,
    }
    return _json(shape, {"batch": [{**_TRACK, "type": "track"}, {**_IDENTIFY, "type": "identify"}]})


def sensors() -> dict[str, Any]:
    """Return how what SDKs of Sensors Analytics send is described."""
    packed = {"type": "string", "description": "Base 64 of JSON, or of gzip of JSON."}
    message = {"type": "object", "additionalProperties": True}
    sent = {"type": "track", "event": "Order Completed", "distinct_id": "u1",
            "time": 1777885190000, "properties": {"total": 12.5}}  # fmt: skip
    form = {
        "type": "object",
        "properties": {"data": packed, "data_list": packed, "gzip": {"type": "string"}},
    }
    described_as = _json({"oneOf": [message, {"type": "array", "items": message}]}, sent)
    described_as["content"]["application/x-www-form-urlencoded"] = {"schema": form}
    return described_as


def events() -> dict[str, Any]:
    """Return how CloudEvents are described, structured and batched; binary is headers."""
    event = {
        "type": "object",
        "properties": {
            "specversion": {"type": "string"},
            "id": {"type": "string"},
            "source": {"type": "string"},
            "type": {"type": "string", "maxLength": MAX_NAME},
            "subject": _ID,
            "anonymousid": _ID,
            "time": _TIME,
            "data": _OBJECT,
        },
        "required": ["specversion", "id", "source", "type"],
        "additionalProperties": True,
    }
    sent = {"specversion": "1.0", "id": "1", "source": "/till", "type": "Order Completed",
            "subject": "u1", "data": {"total": 12.5}}  # fmt: skip
    several = {"type": "array", "maxItems": MOST_MESSAGES, "items": event}
    return {
        "required": True,
        "content": {
            cloudevents.ONE: {"schema": event, "examples": {"one": {"value": sent}}},
            cloudevents.BATCH: {"schema": several, "examples": {"two": {"value": [sent]}}},
        },
    }


def _json(schema: dict[str, Any], example: object) -> dict[str, Any]:
    content = {"schema": schema, "examples": {"one": {"value": example}}}
    return {"required": True, "content": {"application/json": content}}
