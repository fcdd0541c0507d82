"""What stands inside a cell, once it is open: the values of one field of one record.

A JSON list of ``[value, scope]`` pairs, so that a field with several values (phones) and
an identifier with a scope (an openid of one app) need no format of their own.
"""

import json
from collections.abc import Iterable

Values = list[tuple[str, str | None]]
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def encode(values: Iterable[tuple[str, str | None]]) -> bytes:
    """Write canonical values, each with its scope, as the bytes to seal."""
    return _ENCODER.encode(list(values)).encode()


def decode(text: str) -> Values:
    """Read what ``encode`` wrote."""
    return [(value, scope) for value, scope in json.loads(text)]
