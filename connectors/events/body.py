"""A body of an SDK, bounded and parsed.

Invariants, each named by a test in ``tests/unit/connectors/events/test_body.py``:

1. Nothing is unpacked beyond the limit: a small body cannot fill the memory.
2. What is packed is told by its first bytes; what the headers say of it does not matter.
3. No error holds what was sent.
"""

import json
import zlib
from decimal import Decimal
from functools import cache
from typing import Any, Final

from connectors.attributes import canonical_decimal
from connectors.json_text import MAX_DEPTH, nests_too_deep

BATCH_LIMIT: Final = 512 * 1024
"""Bytes, unpacked. Segment's specification of the HTTP API names 500 KB; clients stop before."""
MESSAGE_LIMIT: Final = 32 * 1024
"""Bytes of one message, by the same specification."""
MOST_MESSAGES: Final = 2500
"""Messages of one batch, by the same specification."""
SHARED_LIMIT: Final = 16 * BATCH_LIMIT
"""Bytes of what a batch says for all of its messages, written out for each: it is looked at so
often. By a small body that would be work for half a minute."""
TOO_LARGE: Final = "message_too_large"
TOO_DEEP: Final = f"Nest objects and lists at most {MAX_DEPTH} deep."
_GZIP: Final = b"\x1f\x8b"
_ANY_WRAPPER: Final = 32 + zlib.MAX_WBITS  # zlib's or gzip's head, found by itself
_MOST_MEMBERS: Final = 8  # of gzip; what is left of the body is copied for each
_MAX_EXPONENT: Final = 400
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


class BodyRefused(ValueError):  # noqa: N818 - named for what happened
    """A whole body cannot be used. Carries the rule and the next step, never what was sent."""

    def __init__(self, rule: str, next_step: str, *, too_large: bool = False) -> None:
        super().__init__(rule, next_step)
        self.rule = rule
        self.next_step = next_step
        self.too_large = too_large


def unpacked(body: bytes, limit: int = BATCH_LIMIT) -> bytes:
    """Return a body without its gzip wrapper, if it has one.

    Raises:
        BodyRefused: it is cut short or broken, or larger than ``limit``.
    """
    if body.startswith(_GZIP):
        try:
            body = _members(body, limit)
        except zlib.error:
            raise BodyRefused("not_gzip", "Send the body again, packed whole.") from None
    if len(body) > limit:
        step = f"Send at most {limit} bytes at once."
        raise BodyRefused("body_too_large", step, too_large=True)
    return body


def _members(body: bytes, limit: int) -> bytes:
    """What is packed, in one member or a few behind each other: RFC 1952, 2.2."""
    found = b""
    for _ in range(_MOST_MEMBERS):
        running = zlib.decompressobj(_ANY_WRAPPER)
        found += running.decompress(body, limit + 1 - len(found))
        body = running.unused_data
        if len(found) > limit or (running.eof and not body):
            return found
        if not running.eof:
            break
    raise zlib.error


def parsed(body: bytes) -> Any:
    """Parse JSON in UTF-8: numbers become text with all their digits, NaN becomes a float.

    Of a key that is there twice the last one counts, as in the SDKs' own parsers.

    Raises:
        BodyRefused: it is no JSON, or nests too deep.
    """
    try:
        return _decoder().decode(body.decode("utf-8"))
    except RecursionError:
        rule, step = "too_deep", TOO_DEEP
    except (UnicodeDecodeError, json.JSONDecodeError):
        rule, step = "not_json", "Send valid JSON in UTF-8."
    raise BodyRefused(rule, step)  # outside of it, or the error would hold the text


def problem_of(message: object) -> tuple[str, str] | None:
    """Return why a message cannot be stored, as rule and next step; None: it can.

    It is too large, nests too deep, or holds half of a surrogate pair.
    """
    try:
        text = _ENCODER.encode(message)
        if len(text.encode()) > MESSAGE_LIMIT:
            return TOO_LARGE, f"Send messages of at most {MESSAGE_LIMIT} bytes."
        return ("too_deep", TOO_DEEP) if nests_too_deep(text) else None
    except UnicodeEncodeError:
        return "broken_text", "Write both halves of each \\u surrogate pair."
    except RecursionError:
        return "too_deep", TOO_DEEP


def size_of(message: object) -> int:
    """How many bytes a message has that has no problem."""
    return len(_ENCODER.encode(message).encode())


@cache
def _decoder() -> json.JSONDecoder:
    return json.JSONDecoder(parse_int=str, parse_float=_number, parse_constant=float)


def _number(text: str) -> str:
    exponent = text.lower().partition("e")[2]
    if exponent and (len(exponent) > 5 or abs(int(exponent)) > _MAX_EXPONENT):
        return text  # no type reads it, so that it is set aside where it is mapped
    return canonical_decimal(Decimal(text))
